using System.Globalization;
using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Model.Data;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Training;

/// <summary>Where a run is, apart from its arrays.</summary>
/// <param name="Seed">Of all random numbers.</param>
/// <param name="Step">Updates so far, skipped ones included.</param>
/// <param name="Skipped">Updates skipped because something was not finite.</param>
/// <param name="Noise">Position of the stream of times and noise.</param>
/// <param name="Dropout">Position of the dropout stream.</param>
/// <param name="CaptionDrop">Position of the stream that decides which captions are left out.</param>
/// <param name="Data">Position in the data.</param>
/// <param name="Elapsed">Training time so far.</param>
/// <param name="Running">Mean and spread of the loss.</param>
/// <param name="Identity">What it is trained with.</param>
public sealed record TrainingProgress(
    ulong Seed, long Step, long Skipped, long Noise, long Dropout, long CaptionDrop, ReaderPosition Data, TimeSpan Elapsed,
    RunningLoss Running, RunIdentity Identity);

/// <summary>
/// The file <c>training_state.safetensors</c>, from which a run goes on bit for bit: parameters (<c>model.*</c>), their moving
/// average (<c>ema.*</c>), Adam's moments (<c>adam.m.*</c>, <c>adam.v.*</c>) and numbers (<c>adam.state</c>), all in
/// checkpoint layout, and the <see cref="TrainingProgress"/> as metadata.
/// </summary>
public static class TrainingState
{
    /// <summary>Its name in the output folder.</summary>
    public const string FileName = "training_state.safetensors";
    private const string Model = "model.", Ema = "ema.";
    private const string FirstMoment = "adam.m.", SecondMoment = "adam.v.", AdamState = "adam.state";
    private const string FormatVersion = "1";

    /// <summary>Writes the state; an earlier one stays until this one is complete.</summary>
    /// <exception cref="MdmException">The file cannot be written.</exception>
    public static void Save(string path, ParameterStore store, Adam adam, TrainingProgress progress)
    {
        var tensors = new List<StoredTensor>();
        foreach ((string prefix, Tensor? arena) in Arenas(adam))
            foreach (Parameter parameter in store.Parameters)
                if (arena == null || !parameter.Frozen)
                    tensors.Add(new StoredTensor(
                        prefix + parameter.Name, Sizes(parameter), () => store.ToFileLayout(parameter, arena)));
        tensors.Add(new StoredTensor(AdamState, DType.Float64, [OptimizerState.Length],
            () => MemoryMarshal.AsBytes(adam.ReadState().AsSpan()).ToArray()));
        TensorFile.Save(path, tensors, Describe(progress));
    }

    /// <summary>Where a run is, without its arrays.</summary>
    /// <exception cref="MdmException">The file is damaged.</exception>
    public static TrainingProgress Peek(string path)
    {
        using ITensorFile file = TensorFile.Open(path);
        return Parse(path, file.Metadata);
    }

    /// <summary>Replaces all arrays and returns where the run was.</summary>
    /// <param name="path">The file.</param>
    /// <param name="store">The parameters.</param>
    /// <param name="adam">Moments and average.</param>
    /// <param name="report">Told the share that is loaded, 0..1, from any thread.</param>
    /// <exception cref="MdmException">The file is damaged or belongs to another network.</exception>
    public static TrainingProgress Load(string path, ParameterStore store, Adam adam, Action<double>? report = null)
    {
        using ITensorFile file = TensorFile.Open(path);
        TrainingProgress progress = Parse(path, file.Metadata);
        RequireFit(path, file, store);
        store.Load([.. Arenas(adam).SelectMany(place => store.Parameters
            .Where(parameter => place.Arena == null || !parameter.Frozen)
            .Select(parameter =>
                new StoredParameter(parameter, Find(path, file, place.Prefix + parameter.Name), 0, place.Arena)))], report);
        adam.WriteState(Find(path, file, AdamState).ToDoubles());
        return progress;
    }

    // The order in the file; null stands for the parameters themselves.
    private static IEnumerable<(string Prefix, Tensor? Arena)> Arenas(Adam adam)
    {
        yield return (Model, null);
        if (adam.Ema != null)
            yield return (Ema, adam.Ema);
        yield return (FirstMoment, adam.Moments.M);
        yield return (SecondMoment, adam.Moments.V);
    }

    private static void RequireFit(string path, ITensorFile file, ParameterStore store)
    {
        foreach (Parameter parameter in store.Parameters)
        {
            StoredTensor stored = Find(path, file, Model + parameter.Name);
            if (!stored.Shape.AsSpan().SequenceEqual(Sizes(parameter)))
                throw new MdmException($"{path} belongs to another network: {parameter.Name} has the shape "
                    + $"[{string.Join(", ", stored.Shape)}], expected {parameter.FileShape}");
        }

        int known = file.Tensors.Keys.Count(name => name.StartsWith(Model, StringComparison.Ordinal));
        if (known != store.Parameters.Count)
        {
            throw new MdmException(
                $"{path} belongs to another network: it has {known} parameters, expected {store.Parameters.Count}");
        }
    }

    private static StoredTensor Find(string path, ITensorFile file, string name) =>
        file.Tensors.TryGetValue(name, out StoredTensor? tensor)
            ? tensor
            : throw new MdmException($"{path} belongs to another network or is no training state: it has no tensor {name}");

    private static long[] Sizes(Parameter parameter) => Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size);

    private static Dictionary<string, string> Describe(TrainingProgress progress) => new()
    {
        ["format"] = FormatVersion,
        ["seed"] = Text(progress.Seed),
        ["step"] = Text(progress.Step),
        ["skipped"] = Text(progress.Skipped),
        ["noise_position"] = Text(progress.Noise),
        ["dropout_position"] = Text(progress.Dropout),
        ["caption_drop_position"] = Text(progress.CaptionDrop),
        ["data_epoch"] = Text(progress.Data.Epoch),
        ["data_sample"] = Text(progress.Data.Sample),
        ["elapsed_ticks"] = Text(progress.Elapsed.Ticks),
        ["exp_avg_loss"] = Text(progress.Running.Average),
        ["exp_avg_loss_var"] = Text(progress.Running.Variance),
        ["best_avg_loss"] = Text(progress.Running.Best),
        ["loss"] = Text(progress.Running.Last),
        ["text"] = progress.Identity.Text,
        ["data"] = progress.Identity.Data,
        ["batch_size"] = Text(progress.Identity.BatchSize),
        ["accumulations"] = Text(progress.Identity.Accumulations),
    };

    private static TrainingProgress Parse(string path, IReadOnlyDictionary<string, string> metadata)
    {
        string format = metadata.GetValueOrDefault("format", "none");
        if (format != FormatVersion)
            throw new MdmException($"{path} is a training state of format {format}, expected {FormatVersion}");
        T Get<T>(string key)
            where T : IParsable<T> =>
            metadata.TryGetValue(key, out string? text) && T.TryParse(text, CultureInfo.InvariantCulture, out T? value)
                ? value
                : throw new MdmException($"{path} is damaged: '{key}' is '{text}', expected a number");
        var running = new RunningLoss(
            Get<double>("exp_avg_loss"), Get<double>("exp_avg_loss_var"), Get<double>("best_avg_loss"), Get<double>("loss"));
        // States of before these were kept go on unasked.
        RunIdentity identity = metadata.ContainsKey("batch_size")
            ? new RunIdentity(metadata.GetValueOrDefault("text", ""), metadata.GetValueOrDefault("data", ""),
                Get<int>("batch_size"), Get<int>("accumulations"))
            : RunIdentity.Unknown;
        return new TrainingProgress(
            Get<ulong>("seed"), Get<long>("step"), Get<long>("skipped"), Get<long>("noise_position"),
            Get<long>("dropout_position"), Get<long>("caption_drop_position"),
            new ReaderPosition(Get<int>("data_epoch"), Get<long>("data_sample")),
            TimeSpan.FromTicks(Get<long>("elapsed_ticks")), running, identity);
    }

    private static string Text<T>(T value)
        where T : IFormattable => value.ToString(null, CultureInfo.InvariantCulture);
}
