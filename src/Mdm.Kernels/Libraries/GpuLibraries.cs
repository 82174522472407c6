namespace Mdm.Kernels.Libraries;

/// <summary>The optional libraries of a device, each opened when it is first asked for. One that is there but does not start is
/// told of once and counts as absent.</summary>
internal sealed class GpuLibraries : IDisposable
{
    private readonly Lazy<CublasLt?> cublasLt = new(() =>
    {
        CublasLt? library = CublasLt.Open(OptionalLibrary.CublasLt(), out string? problem);
        if (problem != null)
            Console.Error.WriteLine($"warning: {problem}; own matrix products are used");
        return library;
    });

    private readonly Lazy<Cudnn?> cudnn = new(() =>
    {
        Cudnn? library = Cudnn.Open(OptionalLibrary.Cudnn(), out string? problem);
        if (problem != null)
            Console.Error.WriteLine($"warning: {problem}; own convolutions are used");
        return library;
    });

    /// <summary>Null if it is not there. The device's context must be current.</summary>
    public CublasLt? CublasLt => cublasLt.Value;

    /// <summary>Null if it is not there. The device's context must be current.</summary>
    public Cudnn? Cudnn => cudnn.Value;

    /// <summary>What there is, in words.</summary>
    public string Versions => (CublasLt is { } products ? $"cuBLASLt {products.Version}" : "no cuBLASLt")
        + (Cudnn is { } convolutions ? $", cuDNN {convolutions.Version}" : ", no cuDNN");

    /// <summary>Whether there is one.</summary>
    public bool Any => CublasLt != null || Cudnn != null;

    /// <summary>What there is not; null if all are there.</summary>
    public string? Missing => (CublasLt, Cudnn) switch
    {
        (null, null) => "cuBLASLt and no cuDNN",
        (null, _) => "cuBLASLt",
        (_, null) => "cuDNN",
        _ => null,
    };

    public void Dispose()
    {
        if (cublasLt.IsValueCreated)
            cublasLt.Value?.Dispose();
        if (cudnn.IsValueCreated)
            cudnn.Value?.Dispose();
    }
}
