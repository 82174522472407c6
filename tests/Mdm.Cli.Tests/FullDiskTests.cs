using System.Diagnostics;

namespace Mdm.Cli.Tests;

/// <summary>No room for a checkpoint: the program says so, and the checkpoint before stays usable.</summary>
public sealed class FullDiskTests
{
    [Test]
    public void AFileThatMayNotGrowIsReported()
    {
        string folder = Tiny.Folder();
        Tiny.Train(folder).Succeeded();
        // The checkpoint fits into the limit (blocks of 512 bytes), the training state behind it does not. .NET's own double mapping
        // of code would run into the limit too.
        CliResult result = Cli.Shell("trap '' XFSZ; ulimit -f 3000; export DOTNET_EnableWriteXorExecute=0; exec \"$0\" \"$@\"",
            "train", "--config-path", Tiny.Config, "--output-dir", folder, "--resume", "--num-training-steps=5");
        CheckRefused(result, folder);
    }

    [Test]
    public void AFullDiskIsReported()
    {
        string folder = Tiny.Folder();
        Directory.CreateDirectory(folder);
        if (Mount("mount", "-t", "tmpfs", "-o", "size=7m", "tmpfs", folder) != 0)
            Assert.Ignore("mounting a small disk needs root");
        try
        {
            Tiny.Train(folder).Succeeded();
            CheckRefused(Cli.Start("train", "--config-path", Tiny.Config, "--output-dir", folder, "--resume", "--num-training-steps=5"),
                folder);
        }
        finally
        {
            Mount("umount", folder);
        }
    }

    [Test]
    public void TrainingOutlivesACheckpointThatFindsNoRoom()
    {
        string folder = Tiny.Folder();
        CliResult result = Cli.Shell("trap '' XFSZ; ulimit -f 200; export DOTNET_EnableWriteXorExecute=0; exec \"$0\" \"$@\"",
            "train", "--config-path", Tiny.Config, "--output-dir", folder, "--num-training-steps=4", "--save-freq=2");
        result.Refused("cannot write", "vis_model");
        Assert.That(result.Error, Does.Contain("no checkpoint at step 2").And.Contain("training goes on").And.Contain("step      3"));
    }

    private static void CheckRefused(CliResult result, string folder)
    {
        result.Refused("cannot write", folder);
        Assert.That(Directory.GetFiles(folder, "*.tmp"), Is.Empty);
        string samples = Path.Combine(Tiny.Root, "tests", "samples");
        Cli.Run("sample", "--model-file", Path.Combine(folder, "vis_model_000003.pth"), "--sample-dir", samples, "a circle").Succeeded();
        Assert.That(Cli.Run("inspect", Path.Combine(folder, "training_state.safetensors")).Succeeded().Output, Does.Match("step +3\n"));
    }

    private static int Mount(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }
}
