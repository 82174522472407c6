using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>x·σ(x), elementwise.</summary>
    public static Tensor Silu(Tensor x) => Unary(UnaryFunction.Silu, x);

    /// <summary>x·Φ(x) with the exact error function, elementwise.</summary>
    public static Tensor Gelu(Tensor x) => Unary(UnaryFunction.Gelu, x);

    /// <summary>tanh(x), elementwise.</summary>
    public static Tensor Tanh(Tensor x) => Unary(UnaryFunction.Tanh, x);

    /// <summary>½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), elementwise: GELU as T5 has it.</summary>
    public static Tensor GeluTanh(Tensor x) => Unary(UnaryFunction.GeluTanh, x);

    private static Tensor Unary(UnaryFunction f, Tensor x)
    {
        Tensor y = Tensor.Like(x);
        x.Kernels.Unary(f, x.Count, x.Ptr, y.Ptr);
        return Tape.Record(y, [x], saved: [x], dy => x.Kernels.UnaryBackward(f, x.Count, x.Ptr, dy.Ptr, dy.Target(x)));
    }

    /// <summary>min(max(x, low), high); the gradient passes where low ≤ x ≤ high.</summary>
    public static Tensor Clamp(Tensor x, float low, float high)
    {
        Tensor y = Tensor.Like(x);
        x.Kernels.Clamp(x.Count, low, high, x.Ptr, y.Ptr);
        return Tape.Record(y, [x], saved: [x],
            dy => x.Kernels.ClampBackward(x.Count, low, high, x.Ptr, dy.Ptr, dy.Target(x)));
    }
}
