namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string RandomFile = "random.cu";

    private static KernelModule[] RandomModules => KernelModule.BothTypes(RandomFile);

    public void Normal(long n, RandomKey key, long offset, Ptr y)
    {
        if (n > 0)
            LaunchBlocks(RandomFile, "normal", y.Type, RandomBlocks(n), n, key.Seed, key.Stream, offset, y);
    }

    public void Uniform(long n, RandomKey key, long offset, Ptr y)
    {
        if (n > 0)
            LaunchBlocks(RandomFile, "uniform", y.Type, RandomBlocks(n), n, key.Seed, key.Stream, offset, y);
    }

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y)
    {
        RequireType("dropout: y", y, x.Type);
        if (n > 0 && !y.IsNone)
            LaunchBlocks(RandomFile, "dropout", x.Type, RandomBlocks(n), n, p, 1f / (1f - p), key.Seed, key.Stream, offset,
                x, y.Ptr, y.Accumulate);
    }

    /// <summary>A thread makes four numbers; the first of them may lie before element 0.</summary>
    private int RandomBlocks(long n) => StrideBlocks(n / 4 + 2);
}
