namespace Mdm.Tensors.Modules;

/// <summary>Where a module is being built: its path in the network and the store that takes its parameters.</summary>
public readonly record struct ModuleContext(ParameterStore Store, string Path = "")
{
    /// <summary>The context of a child: <c>context / "resnets" / 0</c> is <c>….resnets.0</c>.</summary>
    public static ModuleContext operator /(ModuleContext context, string name) =>
        context with { Path = context.Path.Length == 0 ? name : $"{context.Path}.{name}" };

    public static ModuleContext operator /(ModuleContext context, int index) => context / index.ToString();

    /// <summary>Declares a parameter whose memory and checkpoint layouts agree.</summary>
    public Parameter Parameter(string name, Shape shape, Initialisation initialisation, int fanIn = 1) =>
        Parameter(name, shape, shape, initialisation, fanIn);

    /// <summary>Declares a parameter of this module; where the shapes differ, it is [O,kH,kW,I] in memory and [O,I,kH,kW] in
    /// checkpoints.</summary>
    public Parameter Parameter(string name, Shape shape, Shape fileShape, Initialisation initialisation, int fanIn = 1) =>
        Store.Declare((this / name).Path, shape, fileShape, initialisation, fanIn);
}
