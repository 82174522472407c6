using System.Diagnostics;
using Mdm.Model.Configuration;

namespace Mdm.Model.Training;

/// <summary>The clock of a run: how long it has trained (earlier runs that it resumes included), how fast, and how long it
/// will still take.</summary>
internal sealed class Pace(ProgramConfig config, TimeSpan? limit, long firstStep, TimeSpan before)
{
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private TimeSpan _lastSave;
    private TimeSpan _windowStart;
    private long _windowImages;
    private double _imagesPerSecond;

    /// <summary>Training time so far.</summary>
    public TimeSpan Elapsed => before + _clock.Elapsed;

    public bool TimeIsUp => Elapsed >= limit;

    /// <summary>Images per second since the last log line.</summary>
    public double ImagesPerSecond => _imagesPerSecond;

    /// <summary>So many updates fit into the time allowed at the present pace, and at most as many as are wanted.</summary>
    public long ExpectedSteps(long step)
    {
        if (limit is not { } allowed || step == 0)
            return config.NumTrainingSteps;
        double share = Math.Max(Elapsed / allowed, 1e-6);
        return (long)Math.Min(config.NumTrainingSteps, step / share);
    }

    /// <summary>Time until the last update, or until the time is up.</summary>
    public TimeSpan Left(long step)
    {
        TimeSpan perStep = _clock.Elapsed / Math.Max(1, step - firstStep);
        TimeSpan bySteps = perStep * Math.Max(0, config.NumTrainingSteps - step);
        return limit - Elapsed is { } byTime && byTime < bySteps ? (byTime > TimeSpan.Zero ? byTime : TimeSpan.Zero) : bySteps;
    }

    /// <summary>Counts a step's images; a new window begins behind every logged step.</summary>
    public void Count(int images, bool logged)
    {
        TimeSpan now = _clock.Elapsed;
        _windowImages += images;
        _imagesPerSecond = _windowImages / Math.Max((now - _windowStart).TotalSeconds, 1e-9);
        if (logged)
            (_windowStart, _windowImages) = (now, 0);
    }

    public bool TimeToSave(long step) => step % config.SaveFreq == 0
        || (config.CheckpointEveryMinutes > 0 && (_clock.Elapsed - _lastSave).TotalMinutes >= config.CheckpointEveryMinutes);

    public void Saved() => _lastSave = _clock.Elapsed;
}
