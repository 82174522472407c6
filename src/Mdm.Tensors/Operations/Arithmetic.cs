using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

/// <summary>The operations on tensors, each recorded by the current tape where an input wants a gradient. Shapes that do not fit
/// are an <see cref="ArgumentException"/> which names them.</summary>
public static partial class Op
{
    /// <summary>a + b, same shapes.</summary>
    public static Tensor Add(Tensor a, Tensor b) => Combine(1, a, 1, b);

    /// <summary>a - b, same shapes.</summary>
    public static Tensor Subtract(Tensor a, Tensor b) => Combine(1, a, -1, b);

    /// <summary>s·x.</summary>
    public static Tensor Scale(Tensor x, float s)
    {
        Tensor y = Tensor.Like(x);
        x.Kernels.LinearCombination(x.Count, s, x.Ptr, 0, Ptr.None, new Target(y.Ptr, false));
        return Tape.Record(y, [x], saved: [],
            dy => AddScaled(x, s, dy.Ptr, dy.Target(x)));
    }

    /// <summary>α·a + β·b, same shapes.</summary>
    public static Tensor Combine(float alpha, Tensor a, float beta, Tensor b)
    {
        RequireSameShape(nameof(Combine), a, b);
        Tensor y = Tensor.Like(a);
        a.Kernels.LinearCombination(a.Count, alpha, a.Ptr, beta, b.Ptr, new Target(y.Ptr, false));
        return Tape.Record(y, [a, b], saved: [], dy =>
        {
            Contribute(dy, a, alpha);
            Contribute(dy, b, beta);
        });
    }

    /// <summary>a·b elementwise, same shapes.</summary>
    public static Tensor Multiply(Tensor a, Tensor b)
    {
        RequireSameShape(nameof(Multiply), a, b);
        Tensor y = Tensor.Like(a);
        a.Kernels.Multiply(a.Count, a.Ptr, b.Ptr, new Target(y.Ptr, false));
        return Tape.Record(y, [a, b], saved: [a, b], dy =>
        {
            a.Kernels.Multiply(a.Count, dy.Ptr, b.Ptr, dy.Target(a));
            a.Kernels.Multiply(a.Count, dy.Ptr, a.Ptr, dy.Target(b));
        });
    }

    /// <summary>y_s = a_s·x_s (+ b_s·z_s) for every sample s (first dimension); a and b are constants of shape [B].</summary>
    public static Tensor PerSample(Tensor a, Tensor x, Tensor? b = null, Tensor? z = null)
    {
        int batch = x.Shape[0];
        RequireCoefficients(a, batch);
        if (b == null != (z == null))
            throw new ArgumentException("per-sample combination: a second tensor and its coefficient should be given together");
        if (b != null)
            RequireCoefficients(b, batch);
        if (z != null)
            RequireSameShape(nameof(PerSample), x, z);
        long inner = batch == 0 ? 0 : x.Count / batch;
        Tensor y = Tensor.Like(x);
        x.Kernels.SampleCombination(batch, inner, a.Ptr, x.Ptr, b?.Ptr ?? Ptr.None, z?.Ptr ?? Ptr.None, new Target(y.Ptr, false));
        return Tape.Record(y, [x, z], saved: [a, b], dy =>
        {
            x.Kernels.SampleCombination(batch, inner, a.Ptr, dy.Ptr, Ptr.None, Ptr.None, dy.Target(x));
            if (z != null)
                x.Kernels.SampleCombination(batch, inner, b!.Ptr, dy.Ptr, Ptr.None, Ptr.None, dy.Target(z));
        });
    }

    /// <summary>clamp(x_s, -limit_s, limit_s) / limit_s per sample; limit is [B]. No gradient.</summary>
    public static Tensor ClampToUnit(Tensor x, Tensor limit)
    {
        int batch = x.Shape[0];
        RequireCoefficients(limit, batch);
        Tensor y = Tensor.Like(x);
        x.Kernels.ClampToUnit(batch, x.Count / batch, limit.Ptr, x.Ptr, y.Ptr);
        return y;
    }

    private static void Contribute(Gradients dy, Tensor x, float factor)
    {
        if (factor == 1)
            dy.Pass(x);
        else
            AddScaled(x, factor, dy.Ptr, dy.Target(x));
    }

    private static void AddScaled(Tensor x, float s, Ptr dy, Target dx)
    {
        if (!dx.IsNone)
            x.Kernels.LinearCombination(x.Count, s, dy, 0, Ptr.None, dx);
    }

    private static void RequireSameShape(string operation, Tensor a, Tensor b)
    {
        if (a.Shape != b.Shape)
            throw new ArgumentException($"{operation}: the shapes {a.Shape} and {b.Shape} should be equal");
        RequireSameType(operation, a, b);
    }

    private static void RequireSameType(string operation, Tensor a, Tensor b)
    {
        if (a.Type != b.Type)
            throw new ArgumentException($"{operation}: the types of {a} and {b} should be equal");
    }

    /// <summary>Biases, norms' weights, masks and numbers per sample are float32, whatever the activations are.</summary>
    private static void RequireFloat32(string operation, string what, Tensor? x)
    {
        if (x != null && x.Type != DType.Float32)
            throw new ArgumentException($"{operation}: the {what} is {x}, expected the type {DType.Float32}");
    }

    private static void RequireCoefficients(Tensor a, int batch)
    {
        if (a.Count != batch)
            throw new ArgumentException($"per-sample coefficients have the shape {a.Shape}, expected [{batch}]");
        RequireFloat32("per-sample combination", "coefficient", a);
    }
}
