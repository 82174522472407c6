using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>What a scratch buffer is for.</summary>
internal enum ScratchUse
{
    /// <summary>Packed operand that all threads of a call read.</summary>
    Shared,

    /// <summary>The other operand, likewise.</summary>
    SharedA,

    /// <summary>Padded copy of an image.</summary>
    Image,

    /// <summary>Results to be combined at the end of a call.</summary>
    Partial,

    /// <summary>Weights, or images, in the frequency-like domain of a fast convolution.</summary>
    Transformed,

    /// <summary>Gradients in that domain.</summary>
    TransformedGradient,

    /// <summary>Zeros that stand for pixels outside the image.</summary>
    Zeros,

    // One thread's own.
    PackedA,
    PackedB,
    Segments,
    Spill,
}

/// <summary>Each thread's working memory, one buffer per use, kept between calls and grown when needed.</summary>
internal sealed unsafe class Scratch
{
    [ThreadStatic]
    private static Scratch? mine;

    private readonly nint[] buffers = new nint[Enum.GetValues<ScratchUse>().Length];
    private readonly long[] sizes = new long[Enum.GetValues<ScratchUse>().Length];

    private Scratch()
    {
    }

    ~Scratch()
    {
        foreach (nint buffer in buffers)
            NativeMemory.AlignedFree((void*)buffer);
    }

    /// <summary>At least so many floats, 64-byte aligned, for this thread; contents are what the last use left (zeros at
    /// first).</summary>
    public static float* Get(ScratchUse use, long floats) => (mine ??= new Scratch()).Find((int)use, floats * sizeof(float));

    private float* Find(int use, long bytes)
    {
        if (sizes[use] < bytes)
        {
            NativeMemory.AlignedFree((void*)buffers[use]);
            buffers[use] = 0;
            sizes[use] = 0;
            long rounded = (Math.Max(bytes, 4096) * 5 / 4 + 4095) / 4096 * 4096;
            void* made = NativeMemory.AlignedAlloc((nuint)rounded, rounded >= CpuPages.Huge ? (nuint)CpuPages.Huge : 4096);
            CpuPages.AskForHuge(made, rounded);
            NativeMemory.Clear(made, (nuint)rounded);
            buffers[use] = (nint)made;
            sizes[use] = rounded;
        }

        return (float*)buffers[use];
    }
}
