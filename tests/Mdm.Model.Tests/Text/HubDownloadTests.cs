using System.Text;
using Mdm.Model.Text.Hub;
using Mdm.Model.Text.T5;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

/// <summary>Downloads from a server on this machine, which may do everything wrong.</summary>
[TestFixture]
public sealed class HubDownloadTests
{
    private const string Weights = "model.safetensors", Store = "/store/" + Weights;

    private static readonly TimeSpan[] s_waits = [TimeSpan.Zero, TimeSpan.FromMilliseconds(5)];

    private TemporaryFolder _folder = null!;
    private HubServer _server = null!;
    private HubCache _cache = null!;
    private List<HubProgress> _progress = null!;

    [SetUp]
    public void Start()
    {
        _folder = new TemporaryFolder();
        new T5Folder().Write(_folder["source"]);
        File.Copy(T5TextModelTests.Vocabulary(_folder["t5.vocab"], 40), _folder["source/spiece.model"]);
        (_server, _cache, _progress) = (new HubServer().Serve(_folder["source"]), new HubCache(_folder["hub"]), []);
    }

    [TearDown]
    public void Stop()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void The_cache_has_the_usual_layout_and_the_model_loads_from_it()
    {
        string snapshot = Fetch();
        Assert.That(snapshot, Is.EqualTo(Path.Combine(_folder["hub"], "models--google--tiny", "snapshots", HubServer.Commit)));
        Assert.That(File.ReadAllText(Path.Combine(_folder["hub"], "models--google--tiny", "refs", "main")),
            Is.EqualTo(HubServer.Commit));
        foreach (string name in (string[])[Weights, "config.json", "spiece.model"])
            Assert.That(File.ReadAllBytes(Path.Combine(snapshot, name)), Is.EqualTo(_server[name]), name);
        Assert.That(Directory.GetFiles(snapshot), Has.Length.EqualTo(3), "and no README");
        if (!OperatingSystem.IsWindows())
            Assert.That(new FileInfo(Path.Combine(snapshot, Weights)).LinkTarget, Does.StartWith("../../blobs/"));
        Assert.That(_progress[^1].Done, Is.EqualTo(_progress[^1].Total));
        using var text = new T5TextModel(Devices.Open("cpu"), HubServer.Repository, _folder["t5.vocab"], cache: _cache);
        Assert.That(text.Width, Is.EqualTo(24));
    }

    [Test]
    public void What_is_there_is_not_got_again()
    {
        Fetch();
        _server.Requests.Clear();
        Fetch();
        Assert.That(_server.Requests.Where(request => request.Method == "GET").Select(request => request.Path),
            Is.EqualTo(new[] { "/api/models/google/tiny/revision/main" }));
    }

    [Test]
    public void A_folder_gets_plain_files_and_new_ones_where_they_changed()
    {
        string folder = Fetch("dir");
        Assert.That(File.ReadAllBytes(Path.Combine(folder, Weights)), Is.EqualTo(_server[Weights]));
        byte[] other = [.. _server["spiece.model"]];
        other[^2]++;
        _server.Serve("spiece.model", other);
        Fetch("dir");
        Assert.That(File.ReadAllBytes(Path.Combine(folder, "spiece.model")), Is.EqualTo(other));
        Assert.That(Directory.GetFiles(folder), Has.Length.EqualTo(3));
    }

    [Test]
    public void A_cut_connection_is_taken_up_where_it_was_cut()
    {
        int cuts = 0;
        _server.Fault = request =>
        {
            if (request.Path != Store || request.Method != "GET" || cuts == 6)
                return null;
            cuts++;
            byte[] rest = _server[Weights][(int)request.From..];
            string range = request.From == 0 ? "" : $"Content-Range: bytes {request.From}-{rest.Length + request.From - 1}/*\r\n";
            return HubServer.Answer(request.From == 0 ? 200 : 206, rest[..1000], range, rest.Length);
        };
        Fetch();
        Assert.That(cuts, Is.EqualTo(6));
        Assert.That(_server.Requests.Where(r => r.Path == Store).Select(r => r.From),
            Is.EqualTo(new[] { 0L, 1000, 2000, 3000, 4000, 5000, 6000 }));
    }

    [Test]
    public void An_interrupted_download_goes_on()
    {
        using var stop = new CancellationTokenSource();
        _server.Fault = request =>
        {
            if (request.Path != Store)
                return null;
            stop.CancelAfter(50);
            Thread.Sleep(100);
            return HubServer.Answer(200, _server[Weights][..500], "", _server[Weights].Length);
        };
        Assert.Throws<TaskCanceledException>(() => Fetch(cancellation: stop.Token));
        RequireNothingDone();
        // As if it had been stopped half way.
        string partial = Directory.GetFiles(_folder["hub"], "*.incomplete", SearchOption.AllDirectories).Single();
        File.WriteAllBytes(partial, _server[Weights][..777]);
        _server.Fault = _ => null;
        Fetch();
        Assert.That(_server.Requests.Last(r => r.Path == Store).From, Is.EqualTo(777));
        Assert.That(Directory.GetFiles(_folder["hub"], "*.incomplete", SearchOption.AllDirectories), Is.Empty);
    }

    [Test]
    public void Two_at_once_do_not_spoil_each_others_files()
    {
        using ManualResetEventSlim begun = new(), goOn = new();
        _server.Fault = request =>
        {
            if (request.Path != Store || begun.IsSet)
                return null;
            begun.Set();
            goOn.Wait(TimeSpan.FromSeconds(20));
            return null;
        };
        Task<string> first = Task.Run(() => Fetch());
        Assert.That(begun.Wait(TimeSpan.FromSeconds(20)));
        using (HubServer other = new HubServer().Serve(_folder["source"]))
        using (var client = new HubClient(other.Address, waits: s_waits))
        {
            OneLine.Require(() => new HubDownload(client).ToCacheAsync(HubServer.Repository, "main", _cache, _ => { }, default)
                .GetAwaiter().GetResult(), "model.safetensors: another program is downloading it", "the same command");
        }

        goOn.Set();
        Assert.That(File.ReadAllBytes(Path.Combine(first.Result, Weights)), Is.EqualTo(_server[Weights]));
    }

    [Test]
    public void A_server_that_does_not_know_ranges_starts_again()
    {
        int gets = 0;
        _server.Fault = request => request.Path != Store ? null
            : HubServer.Answer(200, gets++ == 0 ? _server[Weights][..900] : _server[Weights], "", _server[Weights].Length);
        Fetch();
        Assert.That(gets, Is.EqualTo(2));
        Assert.That(_progress[^1].Done, Is.EqualTo(_progress[^1].Total));
    }

    [TestCase(404, "404", "does not have the list of files of google/tiny")]
    [TestCase(401, "401", "HF_TOKEN")]
    [TestCase(403, "403", "HF_TOKEN")]
    [TestCase(500, "500", "does not give the list of files of google/tiny")]
    [TestCase(503, "503")]
    [TestCase(429, "429")]
    [TestCase(418, "418")]
    public void Refusals_of_the_list(int status, params string[] words)
    {
        _server.Fault = _ => HubServer.Answer(status, "no");
        OneLine.Require(() => Fetch(), words);
        bool passing = status is >= 500 or 429;
        Assert.That(_server.Requests, Has.Count.EqualTo(passing ? 1 + s_waits.Length : 1));
        Assert.That(_folder["hub"], Does.Not.Exist);
    }

    [Test]
    public void Trouble_that_passes_is_waited_out()
    {
        var seen = new HashSet<(string, string)>();
        _server.Fault = request => seen.Add((request.Method, request.Path)) ? HubServer.Answer(502, "later") : null;
        Fetch();
        Assert.That(seen, Has.Count.EqualTo(8), "the list, and three files twice, one of them redirected");
    }

    [Test]
    public void A_file_that_never_comes()
    {
        _server.Fault = request => request.Path == Store ? [] : null;
        OneLine.Require(() => Fetch(), "does not give model.safetensors", "try the same command again later");
        _server.Fault = request => request.Path == Store && request.Method == "GET"
            ? HubServer.Answer(request.From == 0 ? 200 : 206, request.From == 0 ? _server[Weights][..100] : [],
                $"Content-Range: bytes {request.From}-{_server[Weights].Length - 1}/*\r\n", _server[Weights].Length - request.From)
            : null;
        OneLine.Require(() => Fetch(), "connection was cut 3 times after 100 of", "goes on from there");
        RequireNothingDone();
    }

    [Test]
    public void A_web_page_in_place_of_something()
    {
        byte[] page = HubServer.Answer(200, "<html>Please log in</html>", "text/html");
        _server.Fault = _ => page;
        OneLine.Require(() => Fetch(), "found text/html in place of the list of files", "HF_ENDPOINT");
        _server.Fault = request => request.Path.StartsWith("/api", StringComparison.Ordinal) ? null : page;
        OneLine.Require(() => Fetch(), "found a web page in place of model.safetensors");
        _server.Fault = request => request.Path == Store ? page : null;
        OneLine.Require(() => Fetch(), "found a web page in place of model.safetensors");
        RequireNothingDone();
    }

    [Test]
    public void Wrong_lengths_and_contents()
    {
        byte[] bytes = _server[Weights];
        _server.Fault = request => request.Path == Store ? HubServer.Answer(200, bytes[..^5]) : null;
        OneLine.Require(() => Fetch(), $"announces {bytes.Length - 5} bytes, expected {bytes.Length}");
        _server.Fault = request => request.Path == Store
            ? [.. Encoding.ASCII.GetBytes("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n"), .. bytes, 1, 2]
            : null;
        OneLine.Require(() => Fetch(), $"more than the {bytes.Length} bytes");
        byte[] changed = [.. bytes];
        changed[^1] ^= 1;
        foreach (string partial in Directory.GetFiles(_folder["hub"], "*.incomplete", SearchOption.AllDirectories))
            File.Delete(partial);
        _server.Fault = request => request.Path == Store ? HubServer.Answer(200, changed) : null;
        OneLine.Require(() => Fetch(), "checksum", Weights);
        RequireNothingDone();
        Assert.That(Directory.GetFiles(_folder["hub"], "*.incomplete", SearchOption.AllDirectories), Is.Empty);
    }

    [Test]
    public void Nobody_answers()
    {
        _server.Dispose();
        OneLine.Require(() => Fetch(), "127.0.0.1", "refused");
    }

    [TestCase("../etc", "main")]
    [TestCase("a/b/c", "main")]
    [TestCase("google/tiny", "../x")]
    [TestCase("google/tiny", "")]
    public void Names_that_are_none(string repository, string revision)
    {
        using var client = new HubClient(_server.Address, waits: s_waits);
        OneLine.Require(() => new HubDownload(client).ToCacheAsync(repository, revision, _cache, _ => { }, default)
            .GetAwaiter().GetResult(), "expected");
        Assert.That(_server.Requests, Is.Empty);
    }

    [Test]
    public void The_token_goes_to_the_server_and_nowhere_else()
    {
        using var store = new HubServer();
        store.Serve(_folder["source"]);
        _server.Fault = request => request.Path.EndsWith(Weights, StringComparison.Ordinal) && request.Method == "GET"
            ? HubServer.Answer(302, [], $"Location: {store.Address}{Store}\r\n")
            : null;
        Fetch(token: "secret");
        Assert.That(_server.Requests.Select(request => request.Authorization), Has.All.EqualTo("Bearer secret"));
        Assert.That(store.Requests, Has.Count.EqualTo(1));
        Assert.That(store.Requests[0].Authorization, Is.Null);
    }

    [Test]
    public void The_best_weights_are_chosen()
    {
        static IReadOnlyList<string> Choose(params string[] files) => HubDownload.Choose("r", [.. files, "config.json"]);
        const string Index = "model.safetensors.index.json";
        Assert.Multiple(() =>
        {
            Assert.That(Choose("pytorch_model.bin", Weights, "tf_model.h5", "spiece.model"),
                Is.EqualTo(new[] { Weights, "spiece.model", "config.json" }));
            Assert.That(Choose("model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors", Index, "pytorch_model.bin"),
                Is.EqualTo(new[] { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", Index, "config.json" }));
            Assert.That(Choose("pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin", "../model-00001-of-00001.bin"),
                Is.EqualTo(new[] { "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "config.json" }));
        });
        OneLine.Require(() => Choose("tf_model.h5"), "no weights", "2 files");
        OneLine.Require(() => HubDownload.Choose("r", [Weights]), "no config.json");
    }

    private string Fetch(string? folder = null, string? token = null, CancellationToken cancellation = default)
    {
        using var client = new HubClient(_server.Address, token, s_waits);
        var download = new HubDownload(client);
        Task<string> task = folder == null
            ? download.ToCacheAsync(HubServer.Repository, "main", _cache, _progress.Add, cancellation)
            : download.ToFolderAsync(HubServer.Repository, "main", _folder[folder], _progress.Add, cancellation);
        return task.GetAwaiter().GetResult();
    }

    /// <summary>No weights under a final name, no snapshot, no revision.</summary>
    private void RequireNothingDone()
    {
        string[] whole = [.. Directory.GetFiles(_folder["hub"], "*", SearchOption.AllDirectories)
            .Where(path => Path.GetExtension(path) != ".incomplete")];
        Assert.That(whole, Is.Empty);
    }
}
