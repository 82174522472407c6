namespace Mdm.Kernels.Libraries;

/// <summary>An object of cuDNN's graph API: made, given attributes, finished, then used.</summary>
internal sealed unsafe class CudnnDescriptor : IDisposable
{
    private readonly CudnnApi api;
    private readonly CudnnKind kind;

    /// <exception cref="CudnnException">The call failed.</exception>
    public CudnnDescriptor(CudnnApi api, CudnnKind kind)
    {
        (this.api, this.kind) = (api, kind);
        nint created;
        api.Check(api.CreateDescriptor((int)kind, &created), $"cudnnBackendCreateDescriptor of {kind}");
        Handle = created;
    }

    /// <summary>The library's pointer; 0 after the end.</summary>
    public nint Handle { get; private set; }

    /// <exception cref="CudnnException">The call failed.</exception>
    public CudnnDescriptor Set<T>(CudnnAttribute attribute, CudnnType type, params ReadOnlySpan<T> values)
        where T : unmanaged
    {
        fixed (T* first = values)
        {
            api.Check(api.SetAttribute(Handle, (int)attribute, (int)type, values.Length, first),
                $"cudnnBackendSetAttribute of {kind}, {attribute}");
        }

        return this;
    }

    /// <exception cref="CudnnException">The call failed.</exception>
    public CudnnDescriptor Set(CudnnAttribute attribute, CudnnDescriptor value) =>
        Set(attribute, CudnnType.Descriptor, value.Handle);

    /// <summary>No attribute can be set any more.</summary>
    /// <exception cref="CudnnException">The call failed, or the library cannot do what is described.</exception>
    public CudnnDescriptor Finish()
    {
        api.Check(api.FinalizeDescriptor(Handle), $"cudnnBackendFinalize of {kind}");
        return this;
    }

    /// <summary>Reads an attribute into values.</summary>
    /// <returns>How many there are, which may be more than there is room for.</returns>
    /// <exception cref="CudnnException">The call failed.</exception>
    public int Get<T>(CudnnAttribute attribute, CudnnType type, Span<T> values)
        where T : unmanaged
    {
        long count = 0;
        fixed (T* first = values)
        {
            api.Check(api.GetAttribute(Handle, (int)attribute, (int)type, values.Length, &count, first),
                $"cudnnBackendGetAttribute of {kind}, {attribute}");
        }

        return checked((int)count);
    }

    public void Dispose()
    {
        if (Handle != 0)
            _ = api.DestroyDescriptor(Handle);
        Handle = 0;
    }
}
