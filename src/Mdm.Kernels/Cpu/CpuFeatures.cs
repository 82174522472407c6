using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu;

/// <summary>Which kernels run: each level needs what the one before it needs.</summary>
public enum CpuLevel
{
    /// <summary>Scalar code; runs everywhere.</summary>
    Plain,

    /// <summary>256-bit vectors with fused multiply-add.</summary>
    Avx2,

    /// <summary>512-bit vectors.</summary>
    Avx512,
}

/// <summary>The instruction set in use. The environment variable MDM_CPU (plain, avx2, avx512) lowers it.</summary>
public static class CpuFeatures
{
    // Read at the first use, not in a static constructor, so that the message about a bad value stays readable.
    private static CpuLevel? level;

    /// <summary>The most this machine can do.</summary>
    public static CpuLevel Best { get; } =
        Avx512F.IsSupported && Avx512DQ.IsSupported && Avx512BW.IsSupported ? CpuLevel.Avx512
        : Avx2.IsSupported && Fma.IsSupported ? CpuLevel.Avx2
        : CpuLevel.Plain;

    /// <summary>The level that kernels use. Setting one above <see cref="Best"/> gives <see cref="Best"/>.</summary>
    public static CpuLevel Level
    {
        get => level ??= FromEnvironment(Environment.GetEnvironmentVariable("MDM_CPU"));
        set => level = value < Best ? value : Best;
    }

    private static CpuLevel FromEnvironment(string? text) => text?.ToLowerInvariant() switch
    {
        null or "" => Best,
        "plain" => CpuLevel.Plain,
        "avx2" => Best < CpuLevel.Avx2 ? Best : CpuLevel.Avx2,
        "avx512" => Best,
        _ => throw new MdmException($"MDM_CPU is '{text}'; expected plain, avx2 or avx512"),
    };
}
