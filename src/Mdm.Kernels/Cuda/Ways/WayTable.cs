using System.Collections.Concurrent;

namespace Mdm.Kernels.Cuda.Ways;

/// <summary>
/// Which way the calls of one kernel go. The kernel asks at every call, which costs a look-up and allocates nothing:
/// <code>
/// private void Compute(in Call call)                        // e.g. CudaKernels.Product
/// {
///     if (!TryCompute(WayOf(call), call))                   // false: this way is none for this call
///         TryCompute(Way.Reckoned, call);
/// }
///
/// private Way WayOf(in Call call)
/// {
///     if (ways.Settled(call.Key, out Way way))
///         return way;
///     Call copy = call;                                     // a method of its own: lambdas allocate where they begin
///     return ways.Choose(call.Key, Way.All(math), candidate =>
///     {
///         using Scratch result = device.Borrow(bytes);      // never the caller's result: it may be added to
///         return TryCompute(candidate, copy.Into(result));
///     });
/// }
/// </code>
/// To plug in a library: <c>TryCompute</c> of <see cref="Maker.Library"/> returns false where the library is not there or does not
/// know the call, and true after queueing it. It takes workspace from <c>device.Borrow</c>, whose addresses stay while work is
/// captured, and makes its calls within <c>device.EnterStream</c>. <c>mdm profile</c> then compares the two by itself, because it
/// counts <see cref="CudaDevice.LibraryCalls"/>.
/// </summary>
/// <typeparam name="TKey">All that decides on the speed of a call: sizes, types, what is done with the result. Its text is the
/// key on disk.</typeparam>
/// <param name="device">Its <see cref="CudaDevice.KernelChoice"/> says what is wanted.</param>
/// <param name="chooser">Measures.</param>
/// <param name="kind">Names the kernel on disk.</param>
internal sealed class WayTable<TKey>(CudaDevice device, WayChooser chooser, string kind)
    where TKey : struct, IEquatable<TKey>
{
    private readonly ConcurrentDictionary<TKey, Way> known = new();

    /// <summary>The way of a call, unless it has to be measured now.</summary>
    public bool Settled(in TKey key, out Way way)
    {
        way = Way.Reckoned;
        switch (device.KernelChoice)
        {
            case KernelChoice.Own:
                return true;
            case KernelChoice.Library:
                way = Way.Library;
                return true;
            default:
                // Inside a capture nothing can be measured; a step runs before it is captured, so that it is known by then.
                return known.TryGetValue(key, out way) || device.IsCapturing;
        }
    }

    /// <summary>Chooses for all calls with this key. For the parameters see <see cref="WayChooser.Choose"/>.</summary>
    public Way Choose(in TKey key, IEnumerable<Way> ways, Func<Way, bool> run)
    {
        Way way = chooser.Choose($"{kind} {key}", ways, run);
        known[key] = way;
        return way;
    }
}
