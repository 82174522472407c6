using System.Text;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>NVRTC, NVIDIA's compiler for CUDA C++ as a library.</summary>
internal sealed unsafe class Nvrtc : ICudaCompiler
{
    private const int CompilationError = 6;

    private readonly delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int> createProgram;
    private readonly delegate* unmanaged<nint, int, byte**, int> compileProgram;
    private readonly delegate* unmanaged<nint, nuint*, int> getProgramLogSize;
    private readonly delegate* unmanaged<nint, byte*, int> getProgramLog;
    private readonly delegate* unmanaged<nint, nuint*, int> getCubinSize;
    private readonly delegate* unmanaged<nint, byte*, int> getCubin;
    private readonly delegate* unmanaged<nint, nuint*, int> getPtxSize;
    private readonly delegate* unmanaged<nint, byte*, int> getPtx;
    private readonly delegate* unmanaged<nint*, int> destroyProgram;
    private readonly delegate* unmanaged<int, byte*> getErrorString;

    /// <exception cref="MdmException">The library lacks a function.</exception>
    public Nvrtc(LoadedLibrary library)
    {
        Library = library;
        createProgram = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)library.Function("nvrtcCreateProgram");
        compileProgram = (delegate* unmanaged<nint, int, byte**, int>)library.Function("nvrtcCompileProgram");
        getProgramLogSize = (delegate* unmanaged<nint, nuint*, int>)library.Function("nvrtcGetProgramLogSize");
        getProgramLog = (delegate* unmanaged<nint, byte*, int>)library.Function("nvrtcGetProgramLog");
        getCubinSize = (delegate* unmanaged<nint, nuint*, int>)library.Function("nvrtcGetCUBINSize");
        getCubin = (delegate* unmanaged<nint, byte*, int>)library.Function("nvrtcGetCUBIN");
        getPtxSize = (delegate* unmanaged<nint, nuint*, int>)library.FunctionIfThere("nvrtcGetPTXSize");
        getPtx = (delegate* unmanaged<nint, byte*, int>)library.FunctionIfThere("nvrtcGetPTX");
        destroyProgram = (delegate* unmanaged<nint*, int>)library.Function("nvrtcDestroyProgram");
        getErrorString = (delegate* unmanaged<int, byte*>)library.Function("nvrtcGetErrorString");
        var version = (delegate* unmanaged<int*, int*, int>)library.Function("nvrtcVersion");
        int major, minor;
        Check(version(&major, &minor), "nvrtcVersion");
        Version = new Version(major, minor);
        Architectures = FindArchitectures(library);
    }

    public LoadedLibrary Library { get; }

    public Version Version { get; }

    public IReadOnlyList<int> Architectures { get; }

    public CompilerOutput Compile(SourceText source, IReadOnlyList<SourceText> headers, IReadOnlyList<string> options, bool ptx)
    {
        using var text = new CStrings([source.Text, source.Name]);
        using var contents = new CStrings(headers.Select(h => h.Text));
        using var names = new CStrings(headers.Select(h => h.Name));
        using var flags = new CStrings(options);
        nint program;
        Check(createProgram(&program, text[0], text[1], headers.Count, contents.Pointers, names.Pointers), "nvrtcCreateProgram");
        try
        {
            int code = compileProgram(program, options.Count, flags.Pointers);
            string log = Encoding.UTF8.GetString(Read(program, getProgramLogSize, getProgramLog, "nvrtcGetProgramLog"))
                .TrimEnd('\0', '\n');
            if (code == CompilationError)
                return new CompilerOutput(null, log);
            if (code != 0)
                throw Failure(code, $"nvrtcCompileProgram of {source.Name} ({string.Join(' ', options)})", log);
            byte[] binary = ptx
                ? Read(program, getPtxSize, getPtx, "nvrtcGetPTX")
                : Read(program, getCubinSize, getCubin, "nvrtcGetCUBIN");
            return new CompilerOutput(binary, log);
        }
        finally
        {
            _ = destroyProgram(&program);
        }
    }

    private byte[] Read(nint program, delegate* unmanaged<nint, nuint*, int> getSize, delegate* unmanaged<nint, byte*, int> get,
        string call)
    {
        nuint size;
        Check(getSize(program, &size), call + "Size");
        byte[] bytes = new byte[size];
        fixed (byte* target = bytes)
        {
            if (size > 0)
                Check(get(program, target), call);
        }

        return bytes;
    }

    private static int[] FindArchitectures(LoadedLibrary library)
    {
        var count = (delegate* unmanaged<int*, int>)library.FunctionIfThere("nvrtcGetNumSupportedArchs");
        var list = (delegate* unmanaged<int*, int>)library.FunctionIfThere("nvrtcGetSupportedArchs");
        int n;
        if (count == null || list == null || count(&n) != 0 || n <= 0)
            return [];
        int[] architectures = new int[n];
        fixed (int* target = architectures)
        {
            if (list(target) != 0)
                return [];
        }

        Array.Sort(architectures);
        return architectures;
    }

    private void Check(int code, string call)
    {
        if (code != 0)
            throw Failure(code, call, "");
    }

    private CudaException Failure(int code, string call, string log) =>
        new(code, $"NVRTC: {call} failed with {new string((sbyte*)getErrorString(code))}{(log.Length > 0 ? "\n" + log : "")}");
}
