using System.Text;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>Stands in for NVRTC: its binaries are what it was asked for.</summary>
internal sealed class FakeCompiler : ICudaCompiler
{
    private int _compilations;

    public Version Version { get; init; } = new(12, 4);

    public IReadOnlyList<int> Architectures { get; init; } = [80, 86, 90];

    public int Compilations => _compilations;

    public CompilerOutput Compile(SourceText source, IReadOnlyList<SourceText> headers, IReadOnlyList<string> options, bool ptx)
    {
        Interlocked.Increment(ref _compilations);
        string text = $"{(ptx ? "ptx" : "cubin")} of {source.Text} {string.Join(' ', options)}";
        return source.Text.Contains("error")
            ? new CompilerOutput(null, $"{source.Name}(1): error")
            : new CompilerOutput(Encoding.UTF8.GetBytes(text), "");
    }
}
