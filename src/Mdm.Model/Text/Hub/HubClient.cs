using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Mdm.Kernels;

namespace Mdm.Model.Text.Hub;

/// <summary>Asks a server of Hugging Face's kind for repositories and files. Troubles that pass (a cut connection, 429, 5xx) are
/// waited out a few times; everything else is a one-line error.</summary>
public sealed class HubClient : IDisposable
{
    private const int MostRedirects = 10;
    private const string UsualEndpoint = "https://huggingface.co";

    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        ConnectTimeout = TimeSpan.FromSeconds(30),
    })
    {
        Timeout = Timeout.InfiniteTimeSpan,
    };

    private readonly Uri _endpoint;
    private readonly string? _token;

    /// <param name="endpoint">The server's address.</param>
    /// <param name="token">Of an account, for repositories that are not public; null: none. Sent to this server only.</param>
    /// <param name="waits">How long to wait before each new try; null: 1, 3 and 10 seconds.</param>
    /// <exception cref="MdmException">The address is none.</exception>
    public HubClient(string endpoint, string? token = null, IReadOnlyList<TimeSpan>? waits = null)
    {
        _endpoint = Uri.TryCreate(endpoint.TrimEnd('/') + "/", UriKind.Absolute, out Uri? uri) && uri.Scheme is "http" or "https"
            ? uri
            : throw new MdmException($"HF_ENDPOINT is '{endpoint}', expected an address such as {UsualEndpoint}");
        _token = token;
        Waits = waits ?? [TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(10)];
    }

    /// <summary>The server that HF_ENDPOINT names, or Hugging Face's, with the token of HF_TOKEN.</summary>
    public static HubClient FromEnvironment()
    {
        static string? Given(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
        return new HubClient(Given("HF_ENDPOINT") ?? UsualEndpoint, Given("HF_TOKEN") ?? Given("HUGGING_FACE_HUB_TOKEN"));
    }

    /// <summary>How long to wait before each new try.</summary>
    public IReadOnlyList<TimeSpan> Waits { get; }

    /// <summary>The files of a repository.</summary>
    /// <exception cref="MdmException">It is not there, or the server does not answer as it should.</exception>
    public async Task<HubListing> ListAsync(string repository, string revision, CancellationToken cancellation)
    {
        var address = new Uri(_endpoint, $"api/models/{repository}/revision/{Uri.EscapeDataString(revision)}");
        string what = $"the list of files of {repository} ({revision})";
        using HttpResponseMessage response = await AskAsync(HttpMethod.Get, address, what, 0, cancellation).ConfigureAwait(false);
        try
        {
            using JsonDocument json = JsonDocument.Parse(
                await response.Content.ReadAsByteArrayAsync(cancellation).ConfigureAwait(false));
            string commit = json.RootElement.GetProperty("sha").GetString()!;
            string[] files = [.. json.RootElement.GetProperty("siblings").EnumerateArray()
                .Select(file => file.GetProperty("rfilename").GetString()!)];
            if (commit.Length == 40 && commit.All(char.IsAsciiHexDigit))
                return new HubListing(commit, files);
            throw new MdmException($"{address}: the commit is '{commit}', expected 40 hexadecimal digits");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or NullReferenceException)
        {
            throw new MdmException($"{address}: found {TypeOf(response)} in place of {what}; is HF_ENDPOINT right, or is a web page "
                + "of a proxy in between?", e);
        }
    }

    /// <summary>Asks how large a file is, and what its content should be.</summary>
    public async Task<HubFile> DescribeAsync(string repository, string commit, string name, CancellationToken cancellation)
    {
        var address = new Uri(_endpoint, $"{repository}/resolve/{commit}/{name}");
        using HttpResponseMessage response =
            await AskAsync(HttpMethod.Head, address, name, 0, cancellation).ConfigureAwait(false);
        // A large file's own numbers come with the redirection to where it lies.
        string? tag = Header(response, "X-Linked-ETag") ?? response.Headers.ETag?.Tag ?? Header(response, "ETag");
        long? size = long.TryParse(Header(response, "X-Linked-Size"), out long linked) ? linked
            : response.Content.Headers.ContentLength;
        if (IsPage(response, name))
            throw new MdmException($"{address}: found a web page in place of {name}; is a proxy or a login page in between?");
        return tag != null && size is >= 0
            ? new HubFile(name, address, size.Value, tag.StartsWith("W/", StringComparison.Ordinal) ? tag[2..].Trim('"') : tag.Trim('"'))
            : throw new MdmException($"{address}: the server does not say how large {name} is and what identifies it");
    }

    /// <summary>Begins to read a file at a byte.</summary>
    /// <returns>The answer: 200 with the whole file, 206 with the rest, or 416 where there is nothing at that byte.</returns>
    public async Task<HttpResponseMessage> ReadAsync(HubFile file, long from, CancellationToken cancellation)
    {
        HttpResponseMessage response =
            await AskAsync(HttpMethod.Get, file.Address, file.Name, from, cancellation).ConfigureAwait(false);
        if (!IsPage(response, file.Name))
            return response;
        response.Dispose();
        throw new MdmException($"{file.Address}: found a web page in place of {file.Name}; is a proxy or a login page in between?");
    }

    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> AskAsync(
        HttpMethod method, Uri address, string what, long from, CancellationToken cancellation)
    {
        for (int attempt = 0; ; attempt++)
        {
            string trouble;
            try
            {
                HttpResponseMessage response = await FollowAsync(method, address, from, cancellation).ConfigureAwait(false);
                if (response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable
                    || IsRedirection(response))
                    return response;
                using (response)
                {
                    trouble = $"{(int)response.StatusCode} ({response.ReasonPhrase})";
                    if (response.StatusCode != HttpStatusCode.TooManyRequests && (int)response.StatusCode < 500)
                        throw Refusal(response.StatusCode, address, what, trouble);
                }
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                trouble = e.InnerException?.Message ?? e.Message;
            }

            if (attempt == Waits.Count)
                throw new MdmException($"{_endpoint.Authority} does not give {what}: {trouble}; try the same command again later");
            await Task.Delay(Waits[attempt], cancellation).ConfigureAwait(false);
        }
    }

    private async Task<HttpResponseMessage> FollowAsync(HttpMethod method, Uri address, long from, CancellationToken cancellation)
    {
        for (int i = 0; i < MostRedirects; i++)
        {
            using var request = new HttpRequestMessage(method, address);
            request.Headers.UserAgent.Add(new ProductInfoHeaderValue("mdm", "1"));
            if (from > 0)
                request.Headers.Range = new RangeHeaderValue(from, null);
            if (_token != null && address.Authority == _endpoint.Authority)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _token);
            HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation)
                .ConfigureAwait(false);
            if (!IsRedirection(response) || (method == HttpMethod.Head && Header(response, "X-Linked-ETag") != null))
                return response;
            using (response)
                address = new Uri(address, response.Headers.Location!);
        }

        throw new HttpRequestException($"more than {MostRedirects} redirections");
    }

    private static MdmException Refusal(HttpStatusCode status, Uri address, string what, string trouble) => new(status switch
    {
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden =>
            $"{address}: {trouble}: {what} is not public or does not exist; HF_TOKEN gives a token of an account that may read it",
        HttpStatusCode.NotFound => $"{address}: {trouble}: the server does not have {what}; is the name right?",
        _ => $"{address}: the server answers {trouble} when asked for {what}",
    });

    private static bool IsRedirection(HttpResponseMessage response) =>
        (int)response.StatusCode is 301 or 302 or 303 or 307 or 308 && response.Headers.Location != null;

    private static bool IsPage(HttpResponseMessage response, string name) =>
        TypeOf(response) == "text/html" && !name.EndsWith(".html", StringComparison.Ordinal);

    private static string TypeOf(HttpResponseMessage response) =>
        response.Content.Headers.ContentType?.MediaType ?? "an answer of unknown type";

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? values.First() : null;
}
