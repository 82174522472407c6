using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu;

/// <summary>Memory for the length of one kernel call: grows to the largest need of a thread and is kept, so that a steady state
/// allocates nothing. Aligned to 64 bytes; contents undefined, but finite when first used.</summary>
internal sealed unsafe class Scratch
{
    [ThreadStatic]
    private static Scratch? caller;

    [ThreadStatic]
    private static Scratch? worker;

    private void* memory;
    private nuint capacity;

    ~Scratch() => NativeMemory.AlignedFree(memory);

    /// <summary>For what the pieces of a loop share: taken by the thread that calls the kernel, before the loop.</summary>
    public static T* ForCall<T>(long count)
        where T : unmanaged =>
        (T*)(caller ??= new()).Take((nuint)(count * sizeof(T)));

    /// <summary>For one piece of a loop: taken inside the loop's body.</summary>
    public static T* ForPiece<T>(long count)
        where T : unmanaged =>
        (T*)(worker ??= new()).Take((nuint)(count * sizeof(T)));

    private void* Take(nuint bytes)
    {
        if (bytes > capacity)
        {
            NativeMemory.AlignedFree(memory);
            memory = null;
            capacity = 0;
            nuint wanted = (bytes + 65535) & ~(nuint)65535;
            memory = NativeMemory.AlignedAlloc(wanted, 64);
            NativeMemory.Clear(memory, wanted);
            capacity = wanted;
        }

        return memory;
    }
}
