using System.Text.Json;

namespace Mdm.Cli.Tests;

internal sealed class ProfileTests
{
    [Test]
    public void AStepIsDividedAmongItsKernels([Values("train", "sample")] string step)
    {
        string json = Path.Combine(Tiny.Folder(), "profile.json"), trace = Path.Combine(Tiny.Folder(), "trace.json");
        Directory.CreateDirectory(Tiny.Folder());
        CliResult result = Cli.Run(["profile", "--device=cpu", "--step", step, "--steps=2", "--json", json, "--trace", trace,
            "--by=shape", "--top=3", .. Tiny.Networks]).Succeeded();
        Assert.That(result.Output, Does.Contain("and ").And.Contain("% of the product's, ").And.Contain("% of the roofline"));

        using JsonDocument table = JsonDocument.Parse(File.ReadAllText(json));
        JsonElement[] rows = [.. table.RootElement.GetProperty("rows").EnumerateArray()];
        double inKernels = rows.Sum(row => row.GetProperty("seconds").GetDouble());
        double inStep = table.RootElement.GetProperty("step_seconds").GetDouble();
        Assert.That(inKernels, Is.GreaterThan(0).And.LessThanOrEqualTo(inStep));
        Assert.That(rows.Any(row => row.GetProperty("name").GetString()!.StartsWith("AdamStep")), Is.EqualTo(step == "train"));
        // The same sizes come again in every step, so calls per step are whole numbers.
        Assert.That(rows.Select(row => row.GetProperty("calls").GetDouble() % 1), Is.All.Zero);

        Assert.That(table.RootElement.GetProperty("peak_memory_bytes").GetInt64(), Is.InRange(1, 100 << 20));

        using JsonDocument events = JsonDocument.Parse(File.ReadAllText(trace));
        JsonElement[] kernels = [.. events.RootElement.GetProperty("traceEvents").EnumerateArray()
            .Where(e => e.GetProperty("ph").GetString() == "X" && e.GetProperty("cat").GetString() != "module")];
        Assert.That(kernels, Has.Length.EqualTo((int)rows.Sum(row => row.GetProperty("calls").GetDouble())));
        string[] convolutions = [.. kernels.Where(e => e.GetProperty("cat").GetString() == "Convolution")
            .Select(e => e.GetProperty("args").GetProperty("module").GetString()!)];
        // Backward passes too are attributed to the module whose gradient they compute.
        Assert.That(convolutions, Is.Not.Empty.And.All.Matches("conv|resample|adapter"));
        for (int i = 1; i < kernels.Length; i++)
        {
            double end = kernels[i - 1].GetProperty("ts").GetDouble() + kernels[i - 1].GetProperty("dur").GetDouble();
            Assert.That(kernels[i].GetProperty("ts").GetDouble(), Is.GreaterThanOrEqualTo(end - 0.01));
        }
    }

    [Test]
    public void AKernelIsMeasuredAlone()
    {
        CliResult named = Cli.Run(["profile", "--device=cpu", "--kernel", "groupnorm", .. Tiny.Networks]).Succeeded();
        Assert.That(named.Output, Does.Contain("GroupNormForward").And.Contain("GroupNormBackward").And.Not.Contain("Conv"));
        Assert.That(Cli.Run("profile", "--device=cpu", "--kernel", "MatMul", "--shape", "33x17x65 TN").Succeeded().Output,
            Does.Contain("MatMul 33x17x65 TN"));
        Assert.That(Cli.Run("profile", "--device=cpu", "--kernel", "matmul", "--shape", "33x17x65, 8x9x7 NT").Succeeded().Output,
            Does.Contain("MatMul 33x17x65 NN").And.Contain("MatMul 8x9x7 NT"));
    }

    [TestCase("MatMulBackwardWeight", "33x17x65")]
    [TestCase("Conv3x3Forward", "2x5x7 3->4 /2")]
    [TestCase("Conv3x3BackwardData", "2x5x7 3->4 x2")]
    [TestCase("Conv3x3BackwardWeight", "2x5x7 3->4")]
    [TestCase("AttentionForward", "2x3x5 7x9")]
    [TestCase("AttentionBackward", "2x3x5 7x9")]
    [TestCase("GroupNormForward", "2x5x8/4")]
    [TestCase("GroupNormBackward", "2x5x8/4")]
    [TestCase("LayerNormForward", "3x5")]
    [TestCase("LayerNormBackward", "3x5")]
    [TestCase("Unary", "100")]
    [TestCase("SumColumns", "30x7")]
    [TestCase("AdamStep", "1000")]
    public void EveryShapeIsRead(string kernel, string shape) =>
        Assert.That(Cli.Run("profile", "--device=cpu", "--kernel", kernel, "--shape", shape).Succeeded().Output,
            Does.Match($@"{kernel} .*{shape.Split('/')[0].Replace("x", "[x ]")}"));

    [TestCase("no kernel 'Foo' takes a shape by hand, expected one of MatMul", "--kernel", "Foo", "--shape", "3")]
    [TestCase("MatMul: the shape is '0x3x4', expected MxNxK", "--kernel", "MatMul", "--shape", "0x3x4")]
    [TestCase("MatMul: the shape is '3x4', expected MxNxK", "--kernel", "matmul", "--shape", "3x4")]
    [TestCase("the shape is '-3x4x5'", "--kernel", "MatMul", "--shape", "-3x4x5")]
    [TestCase("the shape is '3x4x5 XX', expected MxNxK, with NN, NT, TN or TT", "--kernel", "MatMul", "--shape", "3x4x5 XX")]
    [TestCase("the shape is '1x8x8 3->4 /3'", "--kernel", "Conv3x3Forward", "--shape", "1x8x8 3->4,1x8x8 3->4 /3")]
    [TestCase("--shape is ' , ', expected sizes", "--kernel", "MatMul", "--shape", " , ")]
    [TestCase("GroupNormForward: 7 channels are not divisible by 4 groups", "--kernel", "GroupNormForward", "--shape", "1x2x7/4")]
    [TestCase("--shape needs --kernel", "--shape", "3")]
    [TestCase("no kernel of this step has a name with 'Foo' in it", "--kernel", "Foo")]
    [TestCase("'x' is no option", "x")]
    [TestCase("'dream'", "--step", "dream")]
    public void BadInputIsOneLine(string message, params string[] words)
    {
        CliResult result = Cli.Run(["profile", "--device=cpu", .. words, .. words.Contains("--shape") ? [] : Tiny.Networks]);
        Assert.That(result.Code, Is.EqualTo(1));
        Assert.That(result.Error, Does.Contain(message));
        Assert.That(result.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1));
    }
}
