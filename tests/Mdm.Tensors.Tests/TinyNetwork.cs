using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

/// <summary>A network that has one of each: convolutions, norm, residuals, dropout, attention. [B,H,W,3] to [B,H,W,3].</summary>
internal sealed class TinyNetwork(ModuleContext context) : Module<Tensor>(context)
{
    private readonly Conv3x3 _first = new(context / "first", 3, 8);
    private readonly GroupNorm _norm = new(context / "norm", 8, 4);
    private readonly Conv3x3 _second = new(context / "second", 8, 8);
    private readonly Linear _qkv = Linear.Pointwise(context / "qkv", 8, 24);
    private readonly Linear _joined = new(context / "joined", 8, 8);
    private readonly Conv3x3 _last = new(context / "last", 8, 3);

    public bool Checkpointed { get; set; }

    protected override Tensor Forward(Tensor x)
    {
        Tensor h = _first.Call(x);
        h = Checkpointed ? Tape.Checkpoint(t => Block(t[0]), h) : Block(h);
        return _last.Call(Op.Silu(h));
    }

    private Tensor Block(Tensor x) => Scoped(() =>
    {
        Tensor h = _second.CallAndAdd(Op.Dropout(_norm.CallSilu(x), 0.25f), x);
        Tensor qkv = _qkv.Call(h).Reshape(h.Shape[0], -1, 24);
        Tensor attended = Op.SelfAttention(qkv, heads: 2);
        return _joined.CallAndAdd(attended.Reshape(h.Shape.ToArray()), h);
    }, static (scope, y) => scope.Return(y));
}

/// <summary>A tiny network with its parameters on a device, and one training step of it on given noise.</summary>
internal sealed class TinyTraining : IDisposable
{
    private readonly RandomStream _dropout = new(3, 1);
    private readonly RandomStream _data = new(3, 2);

    public TinyTraining(Mdm.Kernels.IDevice device, bool checkpointed = false)
    {
        Network = new TinyNetwork(new ModuleContext(Store)) { Checkpointed = checkpointed };
        Store.Place(device, training: true, seed: 5);
        Optimiser = new Adam(Store, new Mdm.Kernels.AdamOptions(0.9f, 0.99f, 1e-8f, 0.01f, true, 1, 1));
    }

    public ParameterStore Store { get; } = new();

    public TinyNetwork Network { get; }

    public Adam Optimiser { get; }

    /// <summary>Gradients of the mean squared error against the input's own double, and that error.</summary>
    public float Gradients(int batch = 2, int height = 5, int width = 6)
    {
        RandomStream? before = RandomStream.Current;
        RandomStream.Current = _dropout;
        try
        {
            using Scope scope = Scope.Enter();
            Tensor x = _data.Normal(Store.Device, new Shape(batch, height, width, 3)), wanted = Op.Scale(x, 2);
            Store.ZeroGradients();
            using Tape tape = Tape.Start();
            Tensor loss = Op.Mean(Op.MeanSquaredError(Network.Call(x), wanted));
            float value = loss.ToArray()[0];
            tape.Backward(loss);
            return value;
        }
        finally
        {
            RandomStream.Current = before;
        }
    }

    public float Step()
    {
        float loss = Gradients();
        Optimiser.Step(3e-3, 0.9);
        return loss;
    }

    public void Dispose()
    {
        Optimiser.Dispose();
        Store.Dispose();
    }
}
