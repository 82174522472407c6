namespace Mdm.Kernels.Cuda.Ways;

/// <summary>Finds the fastest way for each shape by trying, once, and remembers it on disk.</summary>
/// <param name="device">Measures.</param>
/// <param name="open">Finds the choices made before; called when the first one is needed.</param>
internal sealed class WayChooser(CudaDevice device, Func<WayFile> open)
{
    /// <summary>What a way must gain over the reckoned one. Less may be chance.</summary>
    private const double Gain = 0.02;

    /// <summary>Ways that are slower than the fastest by more than this are measured once only.</summary>
    private const double Behind = 0.25;

    private const int Rounds = 4;
    private const int MostRepeats = 20;
    private const double LeastSeconds = 3e-4;
    private readonly Lazy<WayFile> file = new(open);
    private readonly Lock gate = new();

    /// <summary>Measures a call: seconds of one run. Tests put a clock of their own here.</summary>
    public Func<Way, Action, double> Clock { get; set; } = (_, run) => Seconds(device, run);

    /// <summary>Told after each shape how many were measured.</summary>
    public Action<int>? Measured { get; set; }

    /// <summary>Shapes that this process has measured.</summary>
    public int Count { get; private set; }

    /// <summary>Where choices are kept.</summary>
    public string Path => file.Value.Path;

    /// <summary>The way for a shape that comes for the first time: as in the file, or else the fastest.</summary>
    /// <param name="shape">The shape in words: the key on disk.</param>
    /// <param name="ways">The candidates, the reckoned one first.</param>
    /// <param name="run">Computes the call in one way, but changes nothing that matters; false if this way is none for it.</param>
    public Way Choose(string shape, IEnumerable<Way> ways, Func<Way, bool> run)
    {
        lock (gate)
        {
            if (file.Value.Find(shape) is { } known)
                return known;
            (Way fastest, bool all) = Race(ways, run);
            Count++;
            Measured?.Invoke(Count);
            // With more memory another one might have won: measured again next time.
            return all ? file.Value.Add(shape, fastest) : fastest;
        }
    }

    private (Way Fastest, bool All) Race(IEnumerable<Way> ways, Func<Way, bool> run)
    {
        var times = new List<(Way Way, double Seconds)>();
        bool all = true;
        foreach (Way way in ways)
        {
            try
            {
                // The first run compiles, loads, and finds out whether it can be done.
                if (run(way))
                    times.Add((way, Clock(way, () => run(way))));
            }
            catch (OutOfDeviceMemoryException)
            {
                all = false;
            }
        }

        if (times.Count == 0 || times[0].Way != Way.Reckoned)
            return (Way.Reckoned, false);
        double limit = (1 + Behind) * times.Min(time => time.Seconds);
        for (int round = 1; round < Rounds; round++)
        {
            for (int i = 0; i < times.Count; i++)
            {
                (Way way, double seconds) = times[i];
                if (seconds <= limit)
                    times[i] = (way, Math.Min(seconds, Clock(way, () => run(way))));
            }
        }

        (Way fastest, double least) = times.MinBy(time => time.Seconds);
        return (least < (1 - Gain) * times[0].Seconds ? fastest : Way.Reckoned, all);
    }

    private static double Seconds(CudaDevice device, Action run)
    {
        double one = Repeated(1);
        int repeats = (int)Math.Clamp(LeastSeconds / Math.Max(one, 1e-9), 1, MostRepeats);
        return repeats == 1 ? one : Repeated(repeats) / repeats;

        double Repeated(int times)
        {
            long from = device.Mark();
            for (int i = 0; i < times; i++)
                run();
            return device.Seconds(from, device.Mark());
        }
    }
}
