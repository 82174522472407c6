using System.Runtime.InteropServices;
using Mdm.Kernels;

namespace Mdm.Tensors;

/// <summary>
/// A contiguous array on a device. Its memory is counted: the scope in which a tensor was made holds it, the tape holds it
/// while backward needs it, and it goes back to the pool when nobody does. Using a freed tensor throws.
/// </summary>
public sealed class Tensor : IDisposable
{
    private readonly Storage _storage;
    private readonly long _offset;
    private int _holders = 1;
    private bool _disposed;

    internal Tensor(Storage storage, long offset, Shape shape, DType type)
    {
        _storage = storage;
        _offset = offset;
        Shape = shape;
        Type = type;
        Scope.Own(this);
    }

    public Shape Shape { get; }

    public DType Type { get; }

    public IDevice Device => _storage.Device;

    public IKernels Kernels => _storage.Device.Kernels;

    /// <summary>The number of elements.</summary>
    public long Count => Shape.Count;

    internal Scope? Owner { get; set; }

    internal Storage Storage => _storage;

    /// <summary>Where this tensor's gradient is gathered; null if none is wanted.</summary>
    internal GradientSlot? Slot { get; set; }

    /// <summary>The same numbers in the type that activations have, kept beside a float32 parameter; null if there are none.</summary>
    internal Tensor? Copy { get; private init; }

    /// <summary>Whether the tape records what is computed from this.</summary>
    public bool RequiresGradient => Slot != null;

    /// <summary>The first element.</summary>
    public Ptr Ptr
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _holders) <= 0, this);
            return new Ptr(_storage.Address, Type) + _offset;
        }
    }

    /// <summary>The first element of the numbers in a type: the tensor's own, or that of the copy which parameters keep for
    /// products with bfloat16 activations.</summary>
    /// <exception cref="ArgumentException">There is no copy in that type.</exception>
    public Ptr PtrAs(DType type) =>
        Type == type ? Ptr
        : Copy is { } copy && copy.Type == type ? copy.Ptr
        : throw new ArgumentException($"{this} is multiplied with activations of type {type}, but has no copy of that type");

    /// <summary>An uninitialised tensor.</summary>
    public static Tensor Empty(IDevice device, Shape shape, DType type = DType.Float32) =>
        new(Storage.Allocate(device, Math.Max(1, shape.Count) * type.Size()), 0, shape, type);

    /// <summary>An uninitialised tensor of the same shape, type and device.</summary>
    public static Tensor Like(Tensor x) => Empty(x.Device, x.Shape, x.Type);

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(IDevice device, Shape shape, DType type = DType.Float32)
    {
        Tensor y = Empty(device, shape, type);
        device.Kernels.Zero(y.Count * type.Size(), y.Ptr.Address);
        return y;
    }

    /// <summary>A float32 tensor with one value everywhere.</summary>
    public static Tensor Full(IDevice device, Shape shape, float value)
    {
        Tensor y = Empty(device, shape);
        device.Kernels.Fill(y.Count, value, y.Ptr);
        return y;
    }

    /// <summary>A float32 tensor with numbers of the host, last dimension fastest.</summary>
    public static Tensor From(IDevice device, ReadOnlySpan<float> values, Shape shape) =>
        FromBytes(device, MemoryMarshal.AsBytes(values), shape, DType.Float32);

    /// <summary>An int32 tensor with numbers of the host, last dimension fastest.</summary>
    public static Tensor From(IDevice device, ReadOnlySpan<int> values, Shape shape) =>
        FromBytes(device, MemoryMarshal.AsBytes(values), shape, DType.Int32);

    /// <summary>A tensor with elements of the host in their binary form.</summary>
    /// <exception cref="ArgumentException">There are too many bytes or too few.</exception>
    public static Tensor FromBytes(IDevice device, ReadOnlySpan<byte> bytes, Shape shape, DType type)
    {
        if (bytes.Length != shape.Count * type.Size())
            throw new ArgumentException($"{bytes.Length} bytes do not fill a tensor of shape {shape} and type {type}");
        Tensor y = Empty(device, shape, type);
        device.Upload(bytes, y.Ptr.Address);
        return y;
    }

    /// <summary>Copies the elements to the host (and waits for them).</summary>
    public float[] ToArray()
    {
        float[] values = new float[Count];
        CopyTo(MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    /// <summary>Copies the raw elements to the host.</summary>
    public void CopyTo(Span<byte> destination)
    {
        if (destination.Length != Count * Type.Size())
            throw new ArgumentException($"{destination.Length} bytes cannot hold a tensor of shape {Shape} and type {Type}");
        Device.Download(Ptr.Address, destination);
    }

    /// <summary>Replaces the elements with those of the host.</summary>
    public void CopyFrom(ReadOnlySpan<float> values)
    {
        if (Type != DType.Float32 || values.Length != Count)
            throw new ArgumentException($"{values.Length} float32 values do not fill a tensor of shape {Shape} and type {Type}");
        Device.Upload(MemoryMarshal.AsBytes(values), Ptr.Address);
    }

    /// <summary>The same memory under another shape of as many elements; one -1 is worked out. The gradient is
    /// shared too.</summary>
    public Tensor Reshape(params ReadOnlySpan<int> sizes)
    {
        int[] wanted = sizes.ToArray();
        int open = Array.IndexOf(wanted, -1);
        if (open >= 0)
        {
            long known = 1;
            for (int i = 0; i < wanted.Length; i++)
                known *= i == open ? 1 : wanted[i];
            wanted[open] = known == 0 ? 0 : (int)(Count / known);
        }

        var shape = new Shape(wanted);
        if (shape.Count != Count)
            throw new ArgumentException($"a tensor of shape {Shape} cannot be read as {shape}");
        return View(0, shape, Slot);
    }

    /// <summary>A view that begins some elements further on.</summary>
    internal Tensor View(long offset, Shape shape, GradientSlot? slot)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _holders) <= 0, this);
        return new Tensor(_storage.Retain(), _offset + offset, shape, Type) { Slot = slot, Copy = offset == 0 ? Copy : null };
    }

    /// <summary>The same tensor with its numbers in another type, which must outlive it.</summary>
    internal Tensor WithCopy(Tensor copy) => new(_storage.Retain(), _offset, Shape, Type) { Slot = Slot, Copy = copy };

    /// <summary>The same values without a gradient.</summary>
    public Tensor WithoutGradient() => View(0, Shape, null);

    /// <summary>A view of the same values that gathers a gradient of its own: a leaf of the tape.</summary>
    public Tensor AsLeaf() => View(0, Shape, new GradientSlot(Device, Count, Type, isLeaf: true));

    /// <summary>The gathered gradient of a leaf or parameter, or null if none has arrived.</summary>
    public Tensor? Gradient => Slot?.ToTensor(Shape);

    /// <summary>Gives back the gathered gradient of a leaf.</summary>
    public void FreeGradient() => Slot?.Free();

    internal void Hold() => Interlocked.Increment(ref _holders);

    internal void LetGo()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
            _storage.Release();
    }

    /// <summary>Lets go of the memory on behalf of whoever made the tensor; a second call does nothing.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        LetGo();
    }

    public override string ToString() => $"{Type}{Shape} on {Device.Name}";
}
