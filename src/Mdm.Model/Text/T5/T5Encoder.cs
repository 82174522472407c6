using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Text.T5;

/// <summary>The encoder of T5 (arXiv 1910.10683) and its successors: embeddings without scaling, layers with a shared bias of
/// relative positions, a norm at the end. Frozen: there are no gradients.</summary>
public sealed class T5Encoder : IDisposable
{
    /// <summary>Position biases of several lengths are kept up to this size together.</summary>
    private const long MostBiasBytes = 256L << 20;

    private readonly Parameter _embedding;
    private readonly T5Block[] _blocks;
    private readonly T5Norm _norm;
    private readonly float[] _positions;
    private readonly Dictionary<int, Tensor> _biases = [];
    private long _biasBytes;

    /// <summary>Builds an encoder with room for its weights; <see cref="T5Weights"/> fills them.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="device">Where it computes.</param>
    /// <param name="computeType">What it computes in: float32 or, where the device can, bfloat16. The matrices are kept in it,
    /// norms and position biases in float32.</param>
    public T5Encoder(T5Config config, IDevice device, DType computeType)
        : this(config) => Place(device, computeType);

    /// <summary>Builds an encoder that has no memory and tells names and shapes only.</summary>
    public T5Encoder(T5Config config)
    {
        Config = config;
        var root = new ModuleContext(Store);
        ModuleContext encoder = root / "encoder";
        _embedding = (root / "shared").Parameter("weight", new Shape(config.VocabSize, config.Width), Initialisation.Zeros);
        _blocks = new T5Block[config.Layers];
        for (int i = 0; i < _blocks.Length; i++)
            _blocks[i] = new T5Block(encoder / "block" / i, config);
        _norm = new T5Norm(encoder / "final_layer_norm", config);
        _positions = new float[config.Buckets * config.Heads];
    }

    public T5Config Config { get; }

    /// <summary>All weights but the table of position biases. Queries, keys and values are one matrix, one below the
    /// other.</summary>
    internal ParameterStore Store { get; } = new();

    /// <summary>The table of position biases [buckets, heads].</summary>
    internal Span<float> Positions => _positions;

    /// <summary>Gives an encoder without memory the room for its weights.</summary>
    public void Place(IDevice device, DType computeType) =>
        Store.Place(device, training: false, computeType: computeType, fill: false);

    /// <summary>The last layer's features of every token, after the final norm.</summary>
    /// <param name="ids">Token numbers [B,N], int32. None of them is special here.</param>
    /// <param name="mask">[B,N] float32: 0 for tokens that no other attends to (they have features all the same); null: none.
    /// A sample without any token that counts has features of no meaning.</param>
    /// <returns>[B,N,width] in the type the encoder computes in.</returns>
    public Tensor Encode(Tensor ids, Tensor? mask) => Tape.Paused(() =>
    {
        // Outside the scope below: it is kept for the next call.
        Tensor bias = BiasOf(ids.Shape[1]);
        using Scope scope = Scope.Enter();
        Tensor x = Op.Embedding(ids, _embedding.Value);
        foreach (T5Block block in _blocks)
        {
            Tensor y = block.Call(new T5State(x, bias, mask));
            x.Dispose();
            x = y;
        }

        return scope.Return(_norm.Call(x));
    });

    /// <summary>The bias of the positions for captions of a length: [heads,N,N], the same for every layer.</summary>
    internal Tensor BiasOf(int length)
    {
        if (_biases.TryGetValue(length, out Tensor? known))
            return known;
        float[] values = T5Positions.Bias(Config, _positions, length);
        if (_biasBytes + values.Length * sizeof(float) > MostBiasBytes)
            ForgetBiases();
        Tensor bias = Scope.Detach(Tensor.From(Store.Device, values, new Shape(Config.Heads, length, length)));
        _biases.Add(length, bias);
        _biasBytes += values.Length * sizeof(float);
        return bias;
    }

    public void Dispose()
    {
        ForgetBiases();
        Store.Dispose();
    }

    private void ForgetBiases()
    {
        foreach (Tensor bias in _biases.Values)
            bias.Dispose();
        _biases.Clear();
        _biasBytes = 0;
    }
}
