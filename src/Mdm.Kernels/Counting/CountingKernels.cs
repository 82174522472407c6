using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Counting;

/// <summary>
/// Counts what kernels would do. A multiplication with addition is two operations. Products count exactly what their formula
/// says (a convolution's taps over the border included, bias and residual not); the backward pass of attention recomputes its
/// scores, as a streaming softmax must. All other kernels count one operation per element and term of their formula, a
/// function such as exp being one: a rough figure, but their time is that of their bytes.
/// </summary>
public sealed partial class CountingKernels : IKernels
{
    private readonly Dictionary<KernelFamily, Work> families = [];
    private readonly Dictionary<string, Work> kernels = [];

    /// <summary>Called with every kernel call, to attribute it to whoever is running.</summary>
    public Action<KernelCall>? Observer { get; set; }

    public IReadOnlyDictionary<KernelFamily, Work> ByFamily => families;

    public IReadOnlyDictionary<string, Work> ByKernel => kernels;

    public Work Total => families.Values.Aggregate(default(Work), (a, b) => a + b);

    /// <summary>Starts again at zero.</summary>
    public void Reset()
    {
        families.Clear();
        kernels.Clear();
    }

    private void Count(KernelFamily family, long operations, long bytes, [CallerMemberName] string kernel = "")
    {
        var call = new KernelCall(family, kernel, operations, bytes);
        families[family] = families.GetValueOrDefault(family) + call;
        kernels[kernel] = kernels.GetValueOrDefault(kernel) + call;
        Observer?.Invoke(call);
    }

    /// <summary>Bytes of n elements there, none if there is no operand.</summary>
    private static long Read(Ptr p, long n) => p.IsNone ? 0 : n * p.Type.Size();

    /// <summary>Adding reads what is there before it writes.</summary>
    private static long Write(Target t, long n) => t.IsNone ? 0 : n * t.Ptr.Type.Size() * (t.Accumulate ? 2 : 1);

    private static long Write(RowsTarget t, long n) => Write(new Target(t.Ptr, t.Accumulate), n);

    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias, Ptr residual)
    {
        long m = shape.M, n = shape.N, k = shape.K;
        Count(KernelFamily.Matrix, 2 * m * n * k,
            Read(a, m * k) + Read(b, k * n) + Write(c, m * n) + Read(bias, n) + Read(residual, m * n));
    }

    public void MatMulBackwardWeight(in MatMulShape shape, Ptr dy, Ptr x, Target dw, Target db)
    {
        long m = shape.M, n = shape.N, k = shape.K;
        if (!dw.IsNone || !db.IsNone)
            Count(KernelFamily.Matrix, (dw.IsNone ? 0 : 2 * m * n * k) + (db.IsNone ? 0 : m * k),
                Read(dy, m * k) + (dw.IsNone ? 0 : Read(x, k * n)) + Write(dw, m * n) + Write(db, m));
    }

    public void MatMulGelu(in MatMulShape shape, Ptr a, Ptr b, Ptr bias, Ptr z, Ptr c)
    {
        long m = shape.M, n = shape.N, k = shape.K;
        Count(KernelFamily.Matrix, 2 * m * n * k,
            Read(a, m * k) + Read(b, k * n) + Read(bias, n) + Read(z, m * n) + Read(c, m * n));
    }

    public void MatMulGeluBackward(in MatMulShape shape, Ptr a, Ptr b, Ptr z, Ptr c)
    {
        long m = shape.M, n = shape.N, k = shape.K;
        Count(KernelFamily.Matrix, 2 * m * n * k, Read(a, m * k) + Read(b, k * n) + Read(z, m * n) + Read(c, m * n));
    }

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y)
    {
        (long operations, long input, long weight, long output) = Sizes(shape);
        Count(KernelFamily.Convolution, operations, Read(x, input) + Read(w, weight) + Read(bias, shape.OutChannels)
            + Read(residual, output) + Read(y, output));
    }

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx)
    {
        (long operations, long input, long weight, long output) = Sizes(shape);
        if (!dx.IsNone)
            Count(KernelFamily.Convolution, operations, Read(dy, output) + Read(w, weight) + Write(dx, input));
    }

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw, Target db = default)
    {
        (long operations, long input, long weight, long output) = Sizes(shape);
        if (!dw.IsNone || !db.IsNone)
            Count(KernelFamily.Convolution, (dw.IsNone ? 0 : operations) + (db.IsNone ? 0 : output),
                (dw.IsNone ? 0 : Read(x, input)) + Read(dy, output) + Write(dw, weight) + Write(db, shape.OutChannels));
    }

    private static (long Operations, long Input, long Weight, long Output) Sizes(in ConvShape s)
    {
        long output = (long)s.Batch * s.OutHeight * s.OutWidth * s.OutChannels, taps = 9L * s.InChannels;
        return (2 * output * taps, (long)s.Batch * s.Height * s.Width * s.InChannels, s.OutChannels * taps, output);
    }

    public void AttentionForward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp,
        Ptr bias = default)
    {
        (long product, long queries, long keys) = Sizes(shape);
        Count(KernelFamily.Attention, 2 * product,
            Read(q.Ptr, queries) + Read(k.Ptr, keys) + Read(v.Ptr, keys) + Read(o.Ptr, queries)
            + Read(keyMask, (long)shape.Batch * shape.Keys) + Read(logSumExp, (long)shape.Batch * shape.Heads * shape.Queries)
            + Read(bias, (long)shape.Heads * shape.Queries * shape.Keys));
    }

    public void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO,
        RowsTarget dq, RowsTarget dk, RowsTarget dv, Ptr bias = default)
    {
        (long product, long queries, long keys) = Sizes(shape);
        int products = 2 + (dq.IsNone ? 0 : 1) + (dk.IsNone ? 0 : 1) + (dv.IsNone ? 0 : 1);
        Count(KernelFamily.Attention, products * product, Read(q.Ptr, queries) + Read(k.Ptr, keys) + Read(v.Ptr, keys)
            + Read(o.Ptr, queries) + Read(dO.Ptr, queries) + Write(dq, queries) + Write(dk, keys) + Write(dv, keys)
            + Read(keyMask, (long)shape.Batch * shape.Keys) + Read(logSumExp, (long)shape.Batch * shape.Heads * shape.Queries)
            + Read(bias, (long)shape.Heads * shape.Queries * shape.Keys));
    }

    /// <summary>Operations of one product over all heads (q kᵀ), and elements of the queries and of the keys.</summary>
    private static (long Product, long Queries, long Keys) Sizes(in AttentionShape s)
    {
        long queries = (long)s.Batch * s.Queries * s.Heads * s.HeadWidth;
        return (2 * queries * s.Keys, queries, (long)s.Batch * s.Keys * s.Heads * s.HeadWidth);
    }
}
