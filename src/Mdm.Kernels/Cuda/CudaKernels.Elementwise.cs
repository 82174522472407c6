namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] ElementwiseModules => [];

    public void Unary(UnaryFunction f, long n, Ptr x, Ptr y) =>
        throw new NotImplementedException();

    public void UnaryBackward(UnaryFunction f, long n, Ptr x, Ptr dy, Target dx) =>
        throw new NotImplementedException();

    public void Clamp(long n, float low, float high, Ptr x, Ptr y) =>
        throw new NotImplementedException();

    public void ClampBackward(long n, float low, float high, Ptr x, Ptr dy, Target dx) =>
        throw new NotImplementedException();

    public void LinearCombination(long n, float a, Ptr x, float b, Ptr y, Target z) =>
        throw new NotImplementedException();

    public void Multiply(long n, Ptr x, Ptr y, Target z) =>
        throw new NotImplementedException();

    public void SampleCombination(int batch, long inner, Ptr a, Ptr x, Ptr b, Ptr y, Target z) =>
        throw new NotImplementedException();

    public void ClampToUnit(int batch, long inner, Ptr limit, Ptr x, Ptr y) =>
        throw new NotImplementedException();

    public void Fill(long n, float value, Ptr y) =>
        throw new NotImplementedException();

    public void Zero(long bytes, nint address) =>
        throw new NotImplementedException();

    public void CopyRows(int rows, int cols, Rows source, RowsTarget destination) =>
        throw new NotImplementedException();

    public void Cast(long n, Ptr source, Ptr destination) =>
        throw new NotImplementedException();
}
