using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu;

/// <summary>Asks the system for large pages, which save address look-ups in large tensors.</summary>
internal static unsafe partial class CpuPages
{
    /// <summary>Bytes of a large page, and the alignment that lets a block have them.</summary>
    public const long Huge = 2 << 20;

    private const int AdviceHugePage = 14;

    /// <summary>Advice only: where the system has none to give, ordinary pages serve.</summary>
    public static void AskForHuge(void* block, long bytes)
    {
        if (bytes >= Huge && OperatingSystem.IsLinux())
            _ = MAdvise(block, (nuint)bytes, AdviceHugePage);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MAdvise(void* address, nuint length, int advice);
}
