using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>Files that are either complete or not there: written under a temporary name in the same folder, then renamed.</summary>
public static class AtomicFile
{
    /// <summary>Creates or replaces <paramref name="path"/> with what <paramref name="write"/> puts into the stream.
    /// On any failure the temporary file is removed and an earlier file of that name stays as it was.</summary>
    /// <exception cref="MdmException">The folder cannot be written or the disk is full.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        string full = Path.GetFullPath(path);
        string temporary = $"{full}.{Environment.ProcessId}.tmp";
        try
        {
            CreateFolder(Path.GetDirectoryName(full)!);
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, full, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException
            or ArgumentOutOfRangeException { ParamName: "value" })
        {
            // The last kind is how .NET says that a file would be larger than the file system or the user's limit allows.
            Remove(temporary);
            throw new MdmException($"cannot write {path}: {e.Message}", e);
        }
        catch
        {
            Remove(temporary);
            throw;
        }
    }

    /// <summary>As <see cref="Write"/>, for text (UTF-8, no byte-order mark).</summary>
    public static void WriteText(string path, string text) =>
        Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>Makes a folder and those above it, if need be.</summary>
    /// <exception cref="MdmException">It cannot be made; a file in its place is named.</exception>
    public static void CreateFolder(string path)
    {
        for (string? above = Path.GetFullPath(path); above != null; above = Path.GetDirectoryName(above))
            if (File.Exists(above))
                throw new MdmException($"cannot create the folder {path}: {above} is a file");
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot create the folder {path}: {e.Message}", e);
        }
    }

    private static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report.
        }
    }
}
