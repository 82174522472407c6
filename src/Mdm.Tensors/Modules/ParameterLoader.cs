using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Tensors.Modules;

/// <summary>A tensor of a file and the parameter, or the part of one, that it fills.</summary>
/// <param name="Parameter">What is filled.</param>
/// <param name="Stored">Floating-point numbers in the checkpoint's layout.</param>
/// <param name="Offset">Element of the parameter at which it begins; 0 for a convolution's weight.</param>
/// <param name="Arena">Null: the parameter itself; else a float32 arena laid out like the trainable ones (an average), where it
/// goes instead.</param>
public readonly record struct StoredParameter(Parameter Parameter, StoredTensor Stored, long Offset = 0, Tensor? Arena = null);

/// <summary>Fills parameters from files. Several threads each take a tensor through small pieces that stay in their caches: read,
/// checked, brought into the layout in memory, copied to the device and converted there. So there is never a second copy of the
/// whole.</summary>
internal static class ParameterLoader
{
    /// <summary>More threads than these wait for the disk and for memory.</summary>
    private const int MostThreads = 8;

    /// <summary>Loads all parts.</summary>
    /// <param name="device">Where the parameters are.</param>
    /// <param name="parts">In any order; in that of the file they are read fastest.</param>
    /// <param name="progress">Told the share of the bytes that are loaded, 0..1, from any thread but never from two at
    /// once.</param>
    /// <exception cref="MdmException">A tensor is not of a floating-point type (then nothing has changed), the file is damaged or
    /// cannot be read.</exception>
    public static void Load(IDevice device, IReadOnlyCollection<StoredParameter> parts, Action<double>? progress)
    {
        foreach (StoredParameter part in parts)
            Require(part);
        long all = Math.Max(1, parts.Sum(part => part.Stored.ByteCount)), done = 0;
        var gate = new Lock();
        void Count(int bytes)
        {
            lock (gate)
                progress?.Invoke((double)(done += bytes) / all);
        }

        var threads = new ParallelOptions { MaxDegreeOfParallelism = Math.Min(MostThreads, Environment.ProcessorCount) };
        try
        {
            Parallel.ForEach(Partitioner.Create(parts, EnumerablePartitionerOptions.NoBuffering), threads,
                part => Load(device, part, Count));
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    private static void Require(StoredParameter part)
    {
        (Parameter parameter, StoredTensor stored, long offset, _) = part;
        bool fits = parameter.Shape.Rank == 4
            ? offset == 0 && stored.Count == parameter.Shape.Count
            : offset >= 0 && stored.Count <= parameter.Shape.Count - offset;
        if (!fits)
            throw new ArgumentException($"{parameter.Name} {parameter.Shape}: {stored.Count} numbers at {offset} do not fit");
        if (stored.Type is not (DType.Float32 or DType.BFloat16 or DType.Float16 or DType.Float64))
            throw new MdmException($"tensor '{stored.Name}' is {stored.Type}, expected a floating-point type");
    }

    private static void Load(IDevice device, StoredParameter part, Action<int> count)
    {
        (Parameter parameter, StoredTensor stored, long at, Tensor? arena) = part;
        (int taps, int inputs) = parameter.FilterSize;
        Ptr[] targets = arena != null ? [arena.Ptr + parameter.Offset]
            : parameter.Copy is { } copy ? [parameter.Value.Ptr, copy.Ptr] : [parameter.Value.Ptr];
        byte[]? turned = null;
        stored.Visit(
            chunk =>
            {
                ReadOnlySpan<byte> own = chunk;
                if (taps > 1)
                {
                    turned ??= ArrayPool<byte>.Shared.Rent(chunk.Length);
                    Turn(chunk, turned, inputs, taps, stored.Type.Size());
                    own = turned.AsSpan(0, chunk.Length);
                }

                int length = own.Length / stored.Type.Size();
                foreach (Ptr target in targets)
                    Write(device, own, stored.Type, length, target + at);
                at += length;
                count(chunk.Length);
            },
            row: taps * inputs);
        if (turned != null)
            ArrayPool<byte>.Shared.Return(turned);
    }

    private static void Write(IDevice device, ReadOnlySpan<byte> numbers, DType type, int count, Ptr target)
    {
        if (target.Type == type)
        {
            device.Upload(numbers, target.Address);
            return;
        }

        using Tensor piece = Scope.Detach(Tensor.FromBytes(device, numbers, new Shape(count), type));
        device.Kernels.Cast(count, piece.Ptr, target);
    }

    /// <summary>Transposes consecutive matrices [rows, columns] of elements of 2, 4 or 8 bytes.</summary>
    public static void Turn(ReadOnlySpan<byte> from, Span<byte> to, int rows, int columns, int elementBytes)
    {
        switch (elementBytes)
        {
            case sizeof(ushort):
                Turn(MemoryMarshal.Cast<byte, ushort>(from), MemoryMarshal.Cast<byte, ushort>(to), rows, columns);
                break;
            case sizeof(uint):
                Turn(MemoryMarshal.Cast<byte, uint>(from), MemoryMarshal.Cast<byte, uint>(to), rows, columns);
                break;
            default:
                Turn(MemoryMarshal.Cast<byte, ulong>(from), MemoryMarshal.Cast<byte, ulong>(to), rows, columns);
                break;
        }
    }

    private static void Turn<T>(ReadOnlySpan<T> from, Span<T> to, int rows, int columns)
        where T : unmanaged
    {
        for (int matrix = rows * columns; from.Length > 0; from = from[matrix..])
        {
            ReadOnlySpan<T> x = from[..matrix];
            for (int c = 0; c < columns; c++)
            {
                Span<T> y = to.Slice(c * rows, rows);
                for (int r = 0, i = c; r < y.Length; r++, i += columns)
                    y[r] = x[i];
            }

            to = to[matrix..];
        }
    }
}
