namespace Mdm.Kernels.Cuda.Native;

/// <summary>What the compiler made of a source.</summary>
/// <param name="Binary">CUBIN or PTX; null if there were errors.</param>
/// <param name="Log">Errors and warnings, with file and line.</param>
internal readonly record struct CompilerOutput(byte[]? Binary, string Log);

/// <summary>A text that the compiler is given, under the name by which it is included or shown in messages.</summary>
internal readonly record struct SourceText(string Name, string Text);

/// <summary>A compiler for CUDA C++. Several threads may use it.</summary>
internal interface ICudaCompiler
{
    Version Version { get; }

    /// <summary>Compute capabilities that it compiles for, as 10·major + minor, ascending; empty if it does not tell.</summary>
    IReadOnlyList<int> Architectures { get; }

    /// <summary>Compiles a source.</summary>
    /// <param name="source">Its name stands in error messages.</param>
    /// <param name="headers">What it may include, under their names.</param>
    /// <param name="options">As NVRTC documents them.</param>
    /// <param name="ptx">PTX instead of CUBIN.</param>
    /// <exception cref="CudaException">The compiler failed for another reason than an error in the source.</exception>
    CompilerOutput Compile(SourceText source, IReadOnlyList<SourceText> headers, IReadOnlyList<string> options, bool ptx);
}
