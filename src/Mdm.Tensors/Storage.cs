using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>A piece of a device's memory that goes back to the pool when its last holder lets go.</summary>
internal sealed class Storage
{
    private readonly bool _owned;
    private int _holders = 1;

    private Storage(IDevice device, nint address, long bytes, bool owned)
    {
        Device = device;
        Address = address;
        Bytes = bytes;
        _owned = owned;
    }

    public IDevice Device { get; }

    public nint Address { get; private set; }

    public long Bytes { get; }

    /// <summary>Whether exactly one tensor or gradient holds this memory.</summary>
    public bool IsUnique => Volatile.Read(ref _holders) == 1;

    public static Storage Allocate(IDevice device, long bytes) => new(device, device.Allocate(bytes), bytes, owned: true);

    /// <summary>Memory that belongs to somebody who outlives all holders (a parameter in its arena).</summary>
    public static Storage Borrow(IDevice device, nint address, long bytes) => new(device, address, bytes, owned: false);

    public Storage Retain()
    {
        Interlocked.Increment(ref _holders);
        return this;
    }

    public void Release()
    {
        int left = Interlocked.Decrement(ref _holders);
        if (left < 0)
            throw new InvalidOperationException("memory was released more often than it was taken");
        if (left > 0)
            return;
        if (_owned)
            Device.Free(Address, Bytes);
        Address = 0;
    }
}
