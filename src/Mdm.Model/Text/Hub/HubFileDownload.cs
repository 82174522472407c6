using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Mdm.Kernels;

namespace Mdm.Model.Text.Hub;

/// <summary>Gets one file. It grows under a temporary name, which a later try goes on with, and takes its own name when its
/// length and its checksum are right.</summary>
/// <param name="client">The server.</param>
/// <param name="file">What to get.</param>
/// <param name="target">Its path in the end.</param>
/// <param name="progress">Told how many bytes came, or are there from before; negative if they have to come again.</param>
internal sealed class HubFileDownload(HubClient client, HubFile file, string target, Action<long> progress)
{
    /// <summary>Ending of files that are not complete.</summary>
    public const string Incomplete = ".incomplete";

    private static readonly TimeSpan s_longestSilence = TimeSpan.FromSeconds(60);

    private readonly byte[] _buffer = new byte[1 << 17];
    private IncrementalHash _hash = file.StartHash();

    /// <exception cref="MdmException">The server does not give it, or gives something else.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        string partial = target + Incomplete;
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        FileStream stream = OpenAlone(partial);
        bool good;
        await using (stream.ConfigureAwait(false))
        {
            if (stream.Length > file.Size)
                stream.SetLength(0);
            await TakeOverAsync(stream, cancellation).ConfigureAwait(false);
            await FillAsync(stream, cancellation).ConfigureAwait(false);
            stream.Flush(flushToDisk: true);
            good = !file.HasChecksum || Convert.ToHexStringLower(_hash.GetHashAndReset()) == file.Tag;
        }

        _hash.Dispose();
        if (!good)
        {
            File.Delete(partial);
            throw new MdmException($"{file.Name}: the checksum of what came is not {file.Tag}, which the server says it is; the file "
                + "was removed, the same command gets it again");
        }

        File.Move(partial, target, overwrite: true);
    }

    // Two programs that write the same file would spoil it for both.
    private FileStream OpenAlone(string partial)
    {
        try
        {
            return new FileStream(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (File.Exists(partial))
        {
            throw new MdmException($"{file.Name}: another program is downloading it to {partial}; once that has ended, the same "
                + "command takes what is there", e);
        }
    }

    /// <summary>What is there from before counts for the checksum.</summary>
    private async Task TakeOverAsync(FileStream stream, CancellationToken cancellation)
    {
        int count;
        while ((count = await stream.ReadAsync(_buffer, cancellation).ConfigureAwait(false)) > 0)
        {
            _hash.AppendData(_buffer, 0, count);
            progress(count);
        }
    }

    private async Task FillAsync(FileStream stream, CancellationToken cancellation)
    {
        int inVain = 0;
        while (stream.Position < file.Size)
        {
            long before = stream.Position;
            string trouble = await ReadOnAsync(stream, cancellation).ConfigureAwait(false);
            if (stream.Position >= file.Size)
                return;
            inVain = stream.Position > before ? 0 : inVain + 1;
            if (inVain > client.Waits.Count)
            {
                throw new MdmException($"{file.Name}: the connection was cut {inVain} times after {stream.Position} of {file.Size} "
                    + $"bytes ({trouble}); the same command goes on from there");
            }

            await Task.Delay(client.Waits.ElementAtOrDefault(Math.Max(0, inVain - 1)), cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Reads until the end or until the connection is cut, and says why it ended.</summary>
    private async Task<string> ReadOnAsync(FileStream stream, CancellationToken cancellation)
    {
        using HttpResponseMessage response = await client.ReadAsync(file, stream.Position, cancellation).ConfigureAwait(false);
        bool goesOn = response.StatusCode == HttpStatusCode.PartialContent
            && response.Content.Headers.ContentRange is { } range && range.From == stream.Position;
        if (!goesOn && stream.Position > 0)
            StartAgain(stream);
        if (!goesOn && response.StatusCode != HttpStatusCode.OK)
            return $"the server answers {(int)response.StatusCode}";
        long left = file.Size - stream.Position;
        if (response.Content.Headers.ContentLength is { } announced && announced != left)
            throw new MdmException($"{file.Name}: the server announces {announced} bytes, expected {left} of {file.Size}");
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            using Stream body = await response.Content.ReadAsStreamAsync(silence.Token).ConfigureAwait(false);
            while (true)
            {
                silence.CancelAfter(s_longestSilence);
                int count = await body.ReadAsync(_buffer, silence.Token).ConfigureAwait(false);
                if (count == 0)
                    return "the server ended it";
                if (stream.Position + count > file.Size)
                    throw new MdmException($"{file.Name}: the server sends more than the {file.Size} bytes that it should have");
                _hash.AppendData(_buffer, 0, count);
                await stream.WriteAsync(_buffer.AsMemory(0, count), cancellation).ConfigureAwait(false);
                progress(count);
            }
        }
        catch (HttpIOException e)
        {
            return e.Message;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return $"nothing came for {s_longestSilence.TotalSeconds} seconds";
        }
    }

    private void StartAgain(FileStream stream)
    {
        progress(-stream.Position);
        stream.SetLength(0);
        _hash.Dispose();
        _hash = file.StartHash();
    }
}
