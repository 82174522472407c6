namespace Mdm.Tensors;

/// <summary>
/// Owns the tensors that are made while it is the innermost scope of its thread, and frees them when it ends, except those
/// returned to the scope around it and those that the tape has saved. <see cref="Modules.Module"/> opens one per call, so
/// model code need not mention scopes.
/// </summary>
public sealed class Scope : IDisposable
{
    [ThreadStatic]
    private static Scope? t_current;

    [ThreadStatic]
    private static Scope? t_spare;

    private readonly List<Tensor> _owned = [];
    private Scope? _parent;

    private Scope()
    {
    }

    /// <summary>The innermost scope of this thread, or null.</summary>
    public static Scope? Current => t_current;

    /// <summary>Begins a scope on this thread; disposing it ends it.</summary>
    public static Scope Enter()
    {
        Scope scope = t_spare ?? new Scope();
        t_spare = scope._parent;
        scope._parent = t_current;
        t_current = scope;
        return scope;
    }

    /// <summary>Keeps a tensor beyond this scope: the scope around it owns it now (nobody, if there is none: the caller
    /// must dispose it). A tensor that this scope does not own is left alone.</summary>
    public Tensor Return(Tensor tensor)
    {
        if (tensor.Owner == this)
        {
            tensor.Owner = _parent;
            _parent?._owned.Add(tensor);
        }

        return tensor;
    }

    /// <summary>Takes a tensor out of all scopes: whoever calls this disposes it.</summary>
    public static Tensor Detach(Tensor tensor)
    {
        tensor.Owner = null;
        return tensor;
    }

    internal static void Own(Tensor tensor)
    {
        if (t_current is { } scope)
        {
            tensor.Owner = scope;
            scope._owned.Add(tensor);
        }
    }

    public void Dispose()
    {
        if (t_current != this)
            throw new InvalidOperationException("scopes end in the reverse order of their beginning");
        foreach (Tensor tensor in _owned)
            if (tensor.Owner == this)
                tensor.Dispose();
        _owned.Clear();
        t_current = _parent;
        _parent = t_spare;
        t_spare = this;
    }
}
