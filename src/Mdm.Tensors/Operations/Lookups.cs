using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Rows of a table [V,C] by ids (int32, any shape): [..., C]. An id outside the table gives zeros.</summary>
    public static Tensor Embedding(Tensor ids, Tensor table)
    {
        if (ids.Type != DType.Int32 || table.Shape.Rank != 2)
            throw new ArgumentException(
                $"embedding: ids {ids} and table {table}, expected int32 ids and a table of shape [rows, width]");
        int rows = checked((int)ids.Count), tableRows = table.Shape[0], cols = table.Shape[1];
        Tensor y = Tensor.Empty(table.Device, new Shape([.. ids.Shape.ToArray(), cols]), table.Type);
        table.Kernels.GatherRows(rows, cols, tableRows, ids.Ptr, table.Ptr, y.Ptr);
        return Tape.Record(y, [table], saved: [ids], dy =>
        {
            Target target = dy.Target(table);
            if (!target.Accumulate)
                table.Kernels.Zero(table.Count * target.Ptr.Type.Size(), target.Ptr.Address);
            table.Kernels.ScatterAddRows(rows, cols, tableRows, ids.Ptr, dy.Ptr, target.Ptr);
        });
    }

    /// <summary>[sin(t f_k), cos(t f_k)] with f_k = 10000^(-k/d), k &lt; d = width/2, of times t [B]: [B,width], both
    /// float32. No gradient.</summary>
    public static Tensor Sinusoid(Tensor t, int width)
    {
        if (width < 2 || width % 2 != 0)
            throw new ArgumentException($"sinusoid: width {width}, expected an even number");
        RequireFloat32("sinusoid", "time", t);
        int batch = checked((int)t.Count);
        Tensor y = Tensor.Empty(t.Device, new Shape(batch, width));
        t.Kernels.Sinusoid(batch, width, t.Ptr, y.Ptr);
        return y;
    }

    /// <summary>Zeros a share p of the elements and divides the rest by 1-p, with numbers from
    /// <see cref="RandomStream.Current"/>; the identity where there is no such stream (sampling) or p = 0.</summary>
    public static Tensor Dropout(Tensor x, float p)
    {
        if (p == 0 || RandomStream.Current is not { } random)
            return x;
        if (p is not (> 0 and < 1))
            throw new ArgumentException($"dropout: p = {p}, expected 0 or more and less than 1");
        long offset = random.Take(x.Count);
        RandomKey key = random.Key;
        Tensor y = Tensor.Like(x);
        x.Kernels.Dropout(x.Count, p, key, offset, x.Ptr, new Target(y.Ptr, false));
        return Tape.Record(y, [x], saved: [], dy => x.Kernels.Dropout(x.Count, p, key, offset, dy.Ptr, dy.Target(x)));
    }

    /// <summary>The same values in another type, rounded to nearest even; x itself where it has that type. The gradient passes
    /// between float32 and bfloat16.</summary>
    public static Tensor Cast(Tensor x, DType type)
    {
        if (x.Type == type)
            return x;
        IKernels k = x.Kernels;
        Tensor y = Tensor.Empty(x.Device, x.Shape, type);
        k.Cast(x.Count, x.Ptr, y.Ptr);
        return type is DType.Float32 or DType.BFloat16 ? Tape.Record(y, [x], saved: [], Back) : y;

        void Back(Gradients dy)
        {
            Target dx = dy.Target(x);
            if (!dx.Accumulate)
            {
                k.Cast(x.Count, dy.Ptr, dx.Ptr);
                return;
            }

            Tensor cast = Tensor.Empty(x.Device, x.Shape, dx.Ptr.Type);
            k.Cast(x.Count, dy.Ptr, cast.Ptr);
            AddScaled(x, 1, cast.Ptr, dx);
        }
    }
}
