namespace Mdm.Kernels.Cuda;

/// <summary>Files of a cache that several processes may use at once: a file is replaced as a whole, and one that cannot be written
/// only means that nothing is kept.</summary>
internal static class CacheFile
{
    /// <summary>Writes a file under a temporary name and renames it; makes its folder.</summary>
    public static void TryReplace(string path, Action<Stream> write)
    {
        string temporary = $"{path}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using (FileStream file = File.Create(temporary))
                write(file);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
        }
    }

    /// <summary>Deletes a file, if it is there and can be.</summary>
    public static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It was never made, or the folder went read-only in between.
        }
    }
}
