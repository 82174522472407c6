using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Bench;

/// <summary>One training step of a configured network on made-up data: noise, forward, loss, backward, clipping, Adam, moving
/// average; what a trainer does between two batches.</summary>
internal sealed class TrainingStep : IDisposable
{
    /// <summary>Tokens of a caption; sample i has 8 + i mod 9 of them, the rest is padding.</summary>
    public const int Tokens = 16;

    private readonly ProgramConfig _config;
    private readonly DiffusionLoss _loss;
    private readonly Adam _adam;
    private readonly Tensor _images;
    private readonly TextFeatures? _text;
    private readonly RandomStream _noise = new(1, 1);

    public TrainingStep(string configPath, IDevice device)
    {
        _config = ConfigLoader.Load(configPath, [], _ => { });
        ConfigValidator.Validate(_config);
        int width = _config.TextModel == ProgramConfig.WordsTextModel ? _config.TextDim : _config.LanguageModelDim ?? 0;
        Network = NetworkBuilder.Build(_config.UnetConfig, width);
        Network.Store.Place(device, training: true);
        FillZeros();
        Process = new DiffusionProcess(_config.DiffusionConfig, Network.NestRatios);
        _loss = new DiffusionLoss(Process);
        float clip = (float)_config.GradientClipNorm;
        _adam = new Adam(Network.Store, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, Decoupled: true, clip, 1));
        var random = new RandomStream(1, 2);
        int size = _config.ReaderConfig.ImageSize;
        _images = Scope.Detach(random.Uniform(device, new Shape(Batch, size, size, 3)));
        _images.Kernels.Clamp(_images.Count, 0.1f, 0.9f, _images.Ptr, _images.Ptr);
        if (width > 0)
        {
            Tensor values = random.Normal(device, new Shape(Batch, Tokens, width));
            _text = new TextFeatures(Scope.Detach(values), Scope.Detach(Mask(device)));
        }
    }

    public DenoisingNetwork Network { get; }

    public DiffusionProcess Process { get; }

    public int Batch => _config.BatchSize;

    public Tensor Images => _images;

    public TextFeatures? Text => _text;

    /// <summary>A whole update, as the trainer makes it.</summary>
    public void Run()
    {
        Network.Store.ZeroGradients();
        using (Scope scope = Scope.Enter())
        using (Tape tape = Tape.Start())
        {
            LossResult result = _loss.Compute(Network, _images, _text, new Dictionary<string, Tensor>(), _noise);
            tape.Backward(result.Loss);
            _ = result.Loss.ToArray();
        }

        _adam.Step(_config.Lr, _config.EmaDecay);
    }

    /// <summary>Loss and gradients at given times with given noise; the caller's scope owns the result.</summary>
    public LossResult Gradients(int[] times, INoiseSource noise)
    {
        Network.Store.ZeroGradients();
        using Tape tape = Tape.Start();
        LossResult result = _loss.Compute(Network, _images, _text, new Dictionary<string, Tensor>(), times, noise);
        tape.Backward(result.Loss);
        return result;
    }

    public void Dispose()
    {
        _images.Dispose();
        _text?.Values.Dispose();
        _text?.Mask?.Dispose();
        _adam.Dispose();
        Network.Dispose();
    }

    /// <summary>Fresh networks have layers of zeros, behind which every gradient is zero: a comparison would see nothing
    /// there.</summary>
    private void FillZeros()
    {
        foreach (Parameter p in Network.Store.Parameters.Where(p => p.Initialisation == Initialisation.Zeros))
        {
            var random = new Random(p.Name.Length);
            float[] values = [.. Enumerable.Range(0, (int)p.Shape.Count).Select(_ => random.NextSingle() * 0.1f - 0.05f)];
            Network.Store.FromFileLayout(p, values);
        }
    }

    private Tensor Mask(IDevice device)
    {
        float[] mask = new float[Batch * Tokens];
        for (int i = 0; i < mask.Length; i++)
            mask[i] = i % Tokens < 8 + i / Tokens % 9 ? 1 : 0;
        return Tensor.From(device, mask, new Shape(Batch, Tokens));
    }
}
