using System.Security.Cryptography;

namespace Mdm.Kernels.Cuda;

/// <summary>Compiled kernels on disk. A file holds a checksum and the binary; one that is damaged counts as absent. A folder
/// that cannot be written only means that nothing is kept. Several processes may use a folder at once.</summary>
/// <param name="folder">Made at the first entry.</param>
internal sealed class CubinCache(string folder)
{
    /// <summary>Names the folder; without it, it is in the user's cache folder.</summary>
    public const string Variable = "MDM_CACHE_DIR";

    private static readonly byte[] s_magic = "MDMcubin"u8.ToArray();

    /// <summary>Where binaries are.</summary>
    public string Folder => folder;

    /// <summary>The user's cache.</summary>
    public static CubinCache Default() => new(DefaultFolder());

    /// <summary>The binary that was stored under a key; null if there is none or it is damaged.</summary>
    public byte[]? Find(string key)
    {
        try
        {
            string path = PathOf(key);
            if (!File.Exists(path))
                return null;
            ReadOnlySpan<byte> file = File.ReadAllBytes(path);
            int header = s_magic.Length + SHA256.HashSizeInBytes;
            if (file.Length <= header || !file.StartsWith(s_magic))
                return null;
            ReadOnlySpan<byte> binary = file[header..];
            return SHA256.HashData(binary).AsSpan().SequenceEqual(file[s_magic.Length..header]) ? binary.ToArray() : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Whether there is an entry, damaged or not.</summary>
    public bool Has(string key) => File.Exists(PathOf(key));

    /// <summary>Keeps a binary, if the folder can be written.</summary>
    public void Store(string key, ReadOnlySpan<byte> binary)
    {
        byte[] content = [.. s_magic, .. SHA256.HashData(binary), .. binary];
        CacheFile.TryReplace(PathOf(key), file => file.Write(content));
    }

    /// <summary>How many binaries there are, and their bytes.</summary>
    public (int Files, long Bytes) Size()
    {
        try
        {
            FileInfo[] files = Directory.Exists(folder) ? new DirectoryInfo(folder).GetFiles("*.cubin") : [];
            return (files.Length, files.Sum(file => file.Length));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (0, 0);
        }
    }

    /// <summary>Whether a file can be made in the folder; makes the folder.</summary>
    public bool IsWritable()
    {
        string file = Path.Combine(folder, $"{Guid.NewGuid():N}.tmp");
        try
        {
            Directory.CreateDirectory(folder);
            File.WriteAllBytes(file, []);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
        finally
        {
            CacheFile.TryDelete(file);
        }
    }

    private string PathOf(string key) => Path.Combine(folder, key + ".cubin");

    private static string DefaultFolder()
    {
        static string? Set(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
        if (Set(Variable) is { } given)
            return Path.GetFullPath(given);
        string user = OperatingSystem.IsWindows()
            ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
            : Set("XDG_CACHE_HOME") ?? Path.Combine(Set("HOME") ?? Path.GetTempPath(), ".cache");
        return Path.Combine(user, "mdm-native");
    }
}
