using System.Security.Cryptography;
using System.Text;

namespace Mdm.Kernels.Cuda;

/// <summary>Compiled modules, from the cache or the compiler.</summary>
internal sealed class KernelBinaries(KernelCompiler compiler, CubinCache cache)
{
    /// <summary>The binary of a module, compiled now if the cache lacks it.</summary>
    /// <exception cref="MdmException">The source has errors: the message has the compiler's log.</exception>
    public byte[] this[KernelModule module]
    {
        get
        {
            string key = KeyOf(module);
            if (cache.Find(key) is { } known)
                return known;
            byte[] binary = compiler.Compile(module);
            cache.Store(key, binary);
            return binary;
        }
    }

    /// <summary>The modules that this GPU can run and the cache lacks.</summary>
    public KernelModule[] Missing(IEnumerable<KernelModule> modules) =>
        [.. modules.Distinct().Where(module => compiler.CanCompile(module) && !cache.Has(KeyOf(module)))];

    /// <summary>Compiles modules, several at a time. A dispensable one that has errors is passed over.</summary>
    /// <param name="modules">Which.</param>
    /// <param name="progress">Told how many are done, of how many, and which was the last; one call at a time.</param>
    public void Compile(IReadOnlyCollection<KernelModule> modules, Action<int, int, string>? progress)
    {
        int done = 0;
        var gate = new Lock();
        try
        {
            Parallel.ForEach(modules, module =>
            {
                try
                {
                    _ = this[module];
                }
                catch (MdmException) when (module.Dispensable)
                {
                    // Whoever wants to launch it warns.
                }

                lock (gate)
                    progress?.Invoke(++done, modules.Count, module.File);
            });
        }
        catch (AggregateException e) when (e.InnerExceptions.OfType<MdmException>().FirstOrDefault() is { } first)
        {
            throw new MdmException(first.Message, e);
        }
    }

    /// <summary>SHA-256 over all that decides what the compiler makes of a module.</summary>
    public string KeyOf(KernelModule module)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Native.SourceText source = compiler.Sources[module.File];
        Add(hash, compiler.Version.ToString());
        Add(hash, source.Name);
        Add(hash, source.Text);
        foreach (Native.SourceText header in compiler.Sources.Headers)
        {
            Add(hash, header.Name);
            Add(hash, header.Text);
        }

        foreach (string option in compiler.Options(module))
            Add(hash, option);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    // The length first, so that no two lists of texts look alike.
    private static void Add(IncrementalHash hash, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        hash.AppendData(BitConverter.GetBytes(bytes.Length));
        hash.AppendData(bytes);
    }
}
