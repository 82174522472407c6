using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text.Hub;
using Mdm.Model.Text.T5;
using Spectre.Console;

namespace Mdm.Cli.Verbs;

internal static class FetchVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm fetch [options] REPOSITORY",
        "Downloads a T5 text model, such as google/flan-t5-xl, into the cache that Hugging Face's programs use, or into a folder. "
        + "What was interrupted goes on with the same command. HF_ENDPOINT names another server, HF_TOKEN a token, HF_HOME "
        + "another place for the cache.");

    public static Verb Verb { get; } = Verb.Of("fetch", "downloads a text model", s_options, Run);

    public sealed class Options
    {
        [Setting("Folder for the files; default: the cache", Placeholder = "DIR")]
        public string Dir { get; set; } = "";

        [Setting("Branch, tag or commit", Placeholder = "NAME")]
        public string Revision { get; set; } = HubCache.MainRevision;
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count != 1)
            throw new MdmException($"fetch: {given.Words.Count} repositories given, expected one, such as google/flan-t5-xl");
        string repository = T5Location.RepositoryOf(given.Words[0]);
        (string folder, string revision) = (given.Options.Dir, given.Options.Revision);
        using var interruption = new Interruption("interrupted: the same command goes on");
        using HubClient client = HubClient.FromEnvironment();
        var download = new HubDownload(client);
        string place = Draw(repository, report =>
        {
            Task<string> task = folder.Length > 0
                ? download.ToFolderAsync(repository, revision, folder, report, interruption.Token)
                : download.ToCacheAsync(repository, revision, HubCache.Default, report, interruption.Token);
            return task.GetAwaiter().GetResult();
        });
        Console.WriteLine($"{repository}  {place}");
        Console.WriteLine($"use it with --text-model={(folder.Length > 0 ? folder : repository)}");
        return Shell.Success;
    }

    /// <summary>Runs a download under a bar; without a terminal, says which file it is at.</summary>
    private static string Draw(string repository, Func<Action<HubProgress>, string> job)
    {
        if (!Console.IsErrorRedirected)
        {
            return Terminal.Draw(repository, bar => job(progress =>
            {
                bar.Description = progress.File;
                bar.MaxValue = Math.Max(1, progress.Total);
                bar.Value = progress.Done;
            }), stays: true, new TaskDescriptionColumn(), new ProgressBarColumn(), new DownloadedColumn(),
                new TransferSpeedColumn(), new RemainingTimeColumn());
        }

        string? file = null;
        return job(progress =>
        {
            if (progress.File != file)
                Terminal.Note($"{progress.File} ({progress.Total / 1e6:F1} MB in all)");
            file = progress.File;
        });
    }
}
