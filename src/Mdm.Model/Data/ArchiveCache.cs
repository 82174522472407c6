using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Model.Data;

/// <summary>The archives of a data set, opened once (which reads all their headers) and shared by all reading threads. The
/// ones that were not used for longest are closed when there are many.</summary>
internal sealed class ArchiveCache(int most = 64) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = [];
    private long _uses;

    /// <summary>The bytes of a file in an archive; safe to call from any thread.</summary>
    /// <exception cref="MdmException">The archive or the file cannot be read.</exception>
    public byte[] Read(string archive, string name)
    {
        Entry entry = Take(archive);
        try
        {
            return entry.Archive.Value.Read(name);
        }
        finally
        {
            GiveBack(entry);
        }
    }

    public void Dispose()
    {
        foreach (Entry entry in _entries.Values)
            entry.Close();
        _entries.Clear();
    }

    private Entry Take(string path)
    {
        lock (_gate)
        {
            if (!_entries.TryGetValue(path, out Entry? entry))
                _entries[path] = entry = new Entry(path);
            entry.Users++;
            entry.LastUse = ++_uses;
            return entry;
        }
    }

    private void GiveBack(Entry entry)
    {
        lock (_gate)
        {
            entry.Users--;
            while (_entries.Count > most && _entries.Values.Where(e => e.Users == 0).MinBy(e => e.LastUse) is { } oldest)
            {
                _entries.Remove(oldest.Path);
                oldest.Close();
            }
        }
    }

    /// <summary>An archive and who reads from it. One that cannot be opened is remembered too, so that it is tried
    /// once.</summary>
    private sealed class Entry(string path)
    {
        public string Path => path;

        public Lazy<TarFile> Archive { get; } = new(() => TarFile.Open(path));

        public int Users { get; set; }

        public long LastUse { get; set; }

        public void Close()
        {
            // An archive that could not be opened has nothing to close.
            if (Archive.IsValueCreated)
                Archive.Value.Dispose();
        }
    }
}
