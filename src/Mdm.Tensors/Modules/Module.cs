namespace Mdm.Tensors.Modules;

/// <summary>A part of a network with a path (its name in checkpoints). Each call runs in a scope of its own, so that
/// everything it makes is freed but its result and what the tape saved.</summary>
public abstract class Module(ModuleContext context)
{
    [ThreadStatic]
    private static Module? t_running;

    /// <summary>E.g. <c>inner_unet.down_blocks.0.resnets.1</c>; empty for the whole network.</summary>
    public string Path { get; } = context.Path;

    /// <summary>The innermost module that is computing on this thread, for profiles and messages.</summary>
    public static Module? Running => t_running;

    /// <summary>Makes another module the running one, for what is computed on its behalf, and returns the one before.</summary>
    internal static Module? Enter(Module? module)
    {
        Module? before = t_running;
        t_running = module;
        return before;
    }

    /// <summary>Called after every module call with the module and its result; for tests and tools that look inside.</summary>
    public static Action<Module, Tensor>? Observer { get; set; }

    /// <summary>Runs a computation as this module: in a scope, under its path.</summary>
    protected TResult Scoped<TResult>(Func<TResult> compute, Action<Scope, TResult> keep)
    {
        Module? outer = t_running;
        t_running = this;
        using Scope scope = Scope.Enter();
        try
        {
            TResult result = compute();
            keep(scope, result);
            return result;
        }
        finally
        {
            t_running = outer;
        }
    }
}

/// <summary>A module from an input (a tensor or a record of them) to one tensor.</summary>
public abstract class Module<TInput>(ModuleContext context) : Module(context)
{
    /// <summary>Computes the result, which the caller's scope then owns.</summary>
    public Tensor Call(TInput input)
    {
        Tensor y = Scoped(() => Forward(input), static (scope, result) => scope.Return(result));
        Observer?.Invoke(this, y);
        return y;
    }

    protected abstract Tensor Forward(TInput input);
}

/// <summary>A module whose result is several tensors.</summary>
public abstract class Module<TInput, TResult>(ModuleContext context) : Module(context)
    where TResult : ITensorGroup
{
    /// <summary>Computes the results, which the caller's scope then owns.</summary>
    public TResult Call(TInput input) => Scoped(() => Forward(input), static (scope, result) =>
    {
        foreach (Tensor tensor in result.Tensors)
            scope.Return(tensor);
    });

    protected abstract TResult Forward(TInput input);
}

/// <summary>Several tensors that a module returns together.</summary>
public interface ITensorGroup
{
    IEnumerable<Tensor> Tensors { get; }
}
