using System.Text.Json;
using Mdm.Bench;
using Mdm.Kernels.Cpu;

// Mdm.Bench [--json FILE] [--only peak,matmul,conv,memory,reader,step,export] [--level avx512,avx2,plain] [--cpu-time]
//           [--configs FILE,...] [--steps N] [--export FILE] [--device NAME] [--batch-size N]
// Mdm.Bench --only steps --device NAME --configs FILE,... [--train 8,32] [--sample 1,16] [--steps N] [--tokens N] [--float32]
//           [--kernels own|library|auto]
// --cpu-time: one thread, and the time it ran rather than the time that passed; for busy machines.
// step: whole training steps of each configuration; export: what the first one's step saw and computed goes to a safetensors
// file, for bench/pytorch/training_step.py --check; steps: whole steps on any device, for bench/pytorch/gpu.py. Where a step's time goes: mdm profile.
if (args.Contains("--cpu-time"))
{
    Measure.CpuTime = true;
    CpuThreads.Count = 1;
}

string? json = Option("--json");
string[] configs = (Option("--configs") ?? "configs/quickstart.yaml,configs/bench_6m.yaml").Split(',');
int steps = int.Parse(Option("--steps") ?? "10");
string[] only = (Option("--only") ?? "peak,matmul,conv").Split(',');
CpuLevel[] levels = [.. (Option("--level") ?? "avx512,avx2").Split(',')
    .Select(name => Enum.Parse<CpuLevel>(name, ignoreCase: true)).Where(level => level <= CpuFeatures.Best)];
var results = new List<Result>();
if (only.Contains("steps"))
{
    int tokens = int.Parse(Option("--tokens") ?? "128");
    var bench = new DeviceSteps(Option("--device") ?? "auto", steps, tokens, Fp16: !args.Contains("--float32"),
        Kernels: Option("--kernels") ?? "own");
    foreach (string config in configs)
        bench.Run(config, Batches("--train"), Batches("--sample"));
    return 0;
}

Console.WriteLine($"{CpuThreads.Count} threads, best level {CpuFeatures.Best}");
if (only.Contains("peak"))
{
    foreach (CpuLevel level in levels)
    {
        double best = Enumerable.Range(0, 10).Max(_ => Peaks.MultiplyAdds(level));
        Add(new Result("peak", $"multiply-add {level.ToString().ToLowerInvariant()}", best / 1e9, "GFLOP/s", double.NaN));
    }

    Add(new Result("peak", "copy", Peaks.Copy() / 1e9, "GB/s", double.NaN));
}

if (only.Contains("matmul"))
    AddAll(MatMulBench.Run(levels));
if (only.Contains("conv"))
    AddAll(ConvBench.Run(levels));
if (only.Contains("memory"))
    AddAll(MemoryBench.Run(levels));
if (only.Contains("reader"))
    AddAll(ReaderBench.Run());
if (only.Contains("step"))
    AddAll(StepBench.Run(configs, levels, steps));
if (only.Contains("export"))
{
    int batch = int.Parse(Option("--batch-size") ?? "0");
    StepExport.Write(configs[0], Option("--export") ?? "step.safetensors", Option("--device") ?? "cpu", batch);
}

if (json != null)
    File.WriteAllText(json, JsonSerializer.Serialize(results, Options.Json));
return 0;

int[] Batches(string name) => [.. (Option(name) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];

string? Option(string name)
{
    int at = Array.IndexOf(args, name);
    return at >= 0 && at + 1 < args.Length ? args[at + 1] : null;
}

void Add(Result r)
{
    results.Add(r);
    string share = double.IsNaN(r.Share) ? "" : $"{r.Share,7:P1}";
    Console.WriteLine($"{r.Group,-8} {r.Name,-44} {r.Value,9:0.0} {r.Unit,-8} {share}");
}

void AddAll(IEnumerable<Result> all)
{
    foreach (Result r in all)
        Add(r);
}

internal static class Options
{
    public static JsonSerializerOptions Json { get; } = new()
    {
        WriteIndented = true,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };
}
