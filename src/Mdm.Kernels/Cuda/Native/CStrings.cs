using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>Texts as zero-terminated UTF-8 for native code, until disposed.</summary>
internal sealed unsafe class CStrings : IDisposable
{
    private readonly nint[] texts;

    public CStrings(IEnumerable<string> values)
    {
        texts = [.. values.Select(Marshal.StringToCoTaskMemUTF8)];
        Pointers = (byte**)NativeMemory.Alloc((nuint)Math.Max(1, texts.Length), (nuint)sizeof(nint));
        for (int i = 0; i < texts.Length; i++)
            Pointers[i] = (byte*)texts[i];
    }

    public byte** Pointers { get; }

    public byte* this[int i] => Pointers[i];

    public void Dispose()
    {
        foreach (nint text in texts)
            Marshal.FreeCoTaskMem(text);
        NativeMemory.Free(Pointers);
    }
}
