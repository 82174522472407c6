using Mdm.Model.Data;

namespace Mdm.Model.Training;

/// <summary>What a run is told beside its configuration.</summary>
public sealed record TrainerOptions
{
    /// <summary>Goes on from the training state in the output folder, if there is one.</summary>
    public bool Resume { get; init; }

    /// <summary>Ends the run after so much training, earlier runs that it resumes included. A falling learning rate then falls
    /// with the share of the time that is used up.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>Bytes of decoded images kept in memory.</summary>
    public long CacheBytes { get; init; } = 512L << 20;

    /// <summary>Told, while the trainer is made, what is being loaded and the share that is done, 0..1; from any thread.</summary>
    public Action<string, double>? Loading { get; init; }

    /// <summary>Watches the run.</summary>
    public ITrainingObserver Observer { get; init; } = new SilentObserver();
}

/// <summary>Why a run ended.</summary>
public enum StopReason
{
    AllSteps,
    TimeUp,
    Cancelled,
    EndOfData,
}

/// <summary>How a run ended.</summary>
/// <param name="Steps">Updates so far, earlier runs included.</param>
/// <param name="Reason">Why it ended.</param>
/// <param name="Checkpoint">The file with the averaged weights.</param>
/// <param name="Running">Mean and spread of the loss.</param>
/// <param name="Data">What became of the samples.</param>
public sealed record TrainingResult(
    long Steps, StopReason Reason, string Checkpoint, RunningLoss Running, ReaderStatistics Data);
