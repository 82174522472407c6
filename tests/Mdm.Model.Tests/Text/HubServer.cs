using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Mdm.Tests;

/// <summary>A request as the server sees it.</summary>
internal sealed record HubRequest(string Method, string Path, long From, string? Authorization);

/// <summary>A server of one repository, <c>google/tiny</c>, on this machine. It speaks HTTP on a bare socket, so that it can do
/// everything wrong that a server can.</summary>
internal sealed class HubServer : IDisposable
{
    public const string Repository = "google/tiny", Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Dictionary<string, byte[]> _files = [];
    private readonly HashSet<string> _large = [];

    public HubServer()
    {
        _listener.Start();
        Address = $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";
        _ = Task.Run(AcceptAsync);
    }

    public string Address { get; }

    public List<HubRequest> Requests { get; } = [];

    /// <summary>May answer in place of the server: the raw bytes to send before the connection is closed; null: it does
    /// not.</summary>
    public Func<HubRequest, byte[]?> Fault { get; set; } = _ => null;

    /// <summary>Adds all files of a folder; those of a megabyte or more, and weights, are redirected to as large files are.</summary>
    public HubServer Serve(string folder)
    {
        foreach (string path in Directory.GetFiles(folder))
            Serve(Path.GetFileName(path), File.ReadAllBytes(path));
        return this;
    }

    public void Serve(string name, byte[] bytes)
    {
        _files[name] = bytes;
        if (name.EndsWith(".safetensors", StringComparison.Ordinal) || name.EndsWith(".bin", StringComparison.Ordinal))
            _large.Add(name);
    }

    public byte[] this[string name] => _files[name];

    /// <summary>An answer as bytes.</summary>
    public static byte[] Answer(int status, byte[] body, string headers = "", long? length = null, string type = "text/plain") =>
    [
        .. Encoding.ASCII.GetBytes($"HTTP/1.1 {status} X\r\nContent-Length: {length ?? body.Length}\r\nContent-Type: {type}\r\n"
            + $"{headers}Connection: close\r\n\r\n"),
        .. body,
    ];

    public static byte[] Answer(int status, string body, string type = "text/plain") =>
        Answer(status, Encoding.UTF8.GetBytes(body), type: type);

    public void Dispose() => _listener.Stop();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                using TcpClient client = await _listener.AcceptTcpClientAsync();
                using NetworkStream stream = client.GetStream();
                if (await ReadAsync(stream) is not { } request)
                    continue;
                lock (Requests)
                    Requests.Add(request);
                byte[] answer = Fault(request) ?? Usual(request);
                if (request.Method == "HEAD")
                    answer = answer[..(answer.AsSpan().IndexOf("\r\n\r\n"u8) + 4)];
                await stream.WriteAsync(answer);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or OperationCanceledException)
        {
            // Stopped.
        }
    }

    private static async Task<HubRequest?> ReadAsync(NetworkStream stream)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[4096];
        while (!text.ToString().Contains("\r\n\r\n"))
        {
            int count = await stream.ReadAsync(buffer);
            if (count == 0)
                return null;
            text.Append(Encoding.ASCII.GetString(buffer, 0, count));
        }

        string[] lines = text.ToString().Split("\r\n");
        string? Header(string name) => lines.FirstOrDefault(line => line.StartsWith(name + ": ", StringComparison.OrdinalIgnoreCase))
            ?[(name.Length + 2)..];
        long from = Header("Range") is { } range ? long.Parse(range["bytes=".Length..].TrimEnd('-')) : 0;
        string[] first = lines[0].Split(' ');
        return new HubRequest(first[0], first[1], from, Header("Authorization"));
    }

    private byte[] Usual(HubRequest request)
    {
        if (request.Path.StartsWith($"/api/models/{Repository}/revision/", StringComparison.Ordinal))
        {
            return Answer(200, JsonSerializer.Serialize(
                new { sha = Commit, siblings = _files.Keys.Append("README.md").Select(name => new { rfilename = name }) }),
                "application/json");
        }

        string name = request.Path[(request.Path.LastIndexOf('/') + 1)..];
        if (!_files.TryGetValue(name, out byte[]? bytes) || !(request.Path.StartsWith("/store/", StringComparison.Ordinal)
            || request.Path.StartsWith($"/{Repository}/resolve/{Commit}/", StringComparison.Ordinal)))
            return Answer(404, "no");
        if (_large.Contains(name) && !request.Path.StartsWith("/store/", StringComparison.Ordinal))
        {
            string sha = Convert.ToHexStringLower(SHA256.HashData(bytes));
            return Answer(302, [], $"X-Linked-ETag: \"{sha}\"\r\nX-Linked-Size: {bytes.Length}\r\nLocation: /store/{name}\r\n");
        }

        byte[] git = SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {bytes.Length}\0"), .. bytes]);
        string tag = $"ETag: \"{Convert.ToHexStringLower(git)}\"\r\n";
        if (request.From >= bytes.Length && request.From > 0)
            return Answer(416, "");
        return request.From == 0
            ? Answer(200, bytes, tag, type: "application/octet-stream")
            : Answer(206, bytes[(int)request.From..], $"{tag}Content-Range: bytes {request.From}-{bytes.Length - 1}/{bytes.Length}\r\n",
                type: "application/octet-stream");
    }
}
