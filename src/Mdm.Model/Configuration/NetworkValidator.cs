using Mdm.Kernels;

namespace Mdm.Model.Configuration;

/// <summary>Checks the shape of networks by walking through the blocks that would be built.</summary>
internal sealed class NetworkValidator
{
    /// <summary>Heads of every 2-D attention and of the text blocks.</summary>
    private const int Heads = 8;

    /// <summary>Groups of every group norm in 2-D attention.</summary>
    private const int AttentionGroups = 32;

    /// <summary>Channels of one head of the attention over frames.</summary>
    private const int TemporalHeadWidth = 32;

    /// <summary>The original's largest model is nested4_unet.</summary>
    private const int MostNestings = 4;

    /// <summary>Halvings of the image from the outermost network's input to the innermost one's lowest level.</summary>
    private const int MostHalvings = 16;

    private static readonly int[] DefaultAttentionLevels = new UNetConfig().AttentionLevels;

    private readonly UNetConfig _config;
    private readonly string _path;
    private readonly string _module;
    private readonly List<string> _findings = [];

    private NetworkValidator(UNetConfig config, string path, string module)
    {
        _config = config;
        _path = path;
        _module = module;
    }

    /// <summary>What is wrong with a network and those nested in it, outermost first.</summary>
    public static IEnumerable<string> Findings(UNetConfig outermost)
    {
        if (outermost.Nestings > MostNestings)
        {
            yield return $"unet_config: found {outermost.Nestings} nested networks, expected at most {MostNestings}";
            yield break;
        }

        int halvings = outermost.Chain().Sum(c => Math.Max(0, c.Levels - 1));
        if (halvings > MostHalvings)
            yield return $"unet_config: the networks halve the image {halvings} times, expected at most {MostHalvings}";
        string path = "unet_config", module = "";
        UNetConfig? outer = null;
        foreach (UNetConfig network in outermost.Chain())
        {
            var validator = new NetworkValidator(network, path, module);
            validator.CheckFields(outer);
            // The blocks are only known if the lists fit the levels.
            if (validator._findings.Count == 0)
                validator.CheckBlocks();
            foreach (string finding in validator._findings)
                yield return finding;
            // The networks inside are compared with this one, which must have a first level for that.
            if (network.Levels == 0)
                yield break;
            (outer, path, module) = (network, path + ".inner_config", module + "inner_unet.");
        }
    }

    private void CheckFields(UNetConfig? outer)
    {
        if (_config.Levels == 0)
        {
            _findings.Add($"{_path}.resolution_channels: found an empty list, expected at least one level");
            return;
        }

        CheckLength("num_resnets_per_resolution", _config.NumResnetsPerResolution);
        CheckLength("num_attention_layers", _config.NumAttentionLayers);
        // The default is meant for five levels and stands beside shorter lists in existing files.
        if (!_config.AttentionLevels.SequenceEqual(DefaultAttentionLevels)
            && _config.AttentionLevels.Any(level => level >= _config.Levels))
            _findings.Add($"{_path}.attention_levels: found {_config.AttentionLevels.Max()}, expected levels from 0 to "
                + $"{_config.Levels - 1}");
        if (_config is { TemporalMode: true, NumTemporalAttentionLayers: { } temporal })
            CheckLength("num_temporal_attention_layers", temporal);
        if (_config.TemporalWidth % 8 != 0)
            _findings.Add($"{_path}.temporal_dim: found {_config.TemporalWidth}, expected a multiple of 8");
        if (outer != null && outer.TemporalWidth != _config.TemporalWidth)
            _findings.Add($"{_path}.temporal_dim: found {_config.TemporalWidth}, expected {outer.TemporalWidth} as in the "
                + "network around it");
        if (_config.SkipInnerUnetInput)
            _findings.Add($"{_path}.skip_inner_unet_input: found true, expected false (not supported)");
        CheckTemporalMode();
        CheckMicroConditions();
        if (_config is { InnerConfig: null, NumLmHeadLayers: > 0, ConditioningWidth: > 0 }
            && _config.ConditioningWidth % Heads != 0)
            _findings.Add($"{_path}.num_lm_head_layers: text features of width {_config.ConditioningWidth} are not divisible by "
                + $"{Heads} heads");
    }

    /// <summary>Text is projected once, by the innermost network: attention further out reads the same features.</summary>
    private void CheckProjection()
    {
        int own = _config.ConditioningFeatureProjDim, shared = _config.Chain().Last().ConditioningFeatureProjDim;
        bool attends = !_config.SkipMidBlocks || Enumerable.Range(0, _config.Levels).Any(i => _config.AttentionLayersAt(i) > 0);
        if (attends && own > 0 && own != shared)
            _findings.Add($"{_path}.conditioning_feature_proj_dim: found {own}, expected {shared} as in the innermost network, "
                + "which projects the text for all");
    }

    private void CheckLength(string name, int[] list)
    {
        if (list.Length != 1 && list.Length != _config.Levels)
            _findings.Add($"{_path}.{name}: found {list.Length} entries, expected 1 or {_config.Levels}, one per level of "
                + "resolution_channels");
    }

    private void CheckTemporalMode()
    {
        if (!_config.TemporalMode)
            return;
        if (_config.InnerConfig == null)
            _findings.Add($"{_path}.temporal_mode: found true, expected false in the innermost network: only a network around "
                + "another one sees frames");
        if (_config.ResamplesFrames && _config.Levels % 2 == 0)
            _findings.Add($"{_path}.resolution_channels: found {_config.Levels} levels, expected an odd number with "
                + "temporal_mode: each but the last halves the frames, and they are a square grid");
        if (_config is { TemporalSpatialDs: true, NumTemporalAttentionLayers: { } layers } && layers.Any(n => n > 0))
            _findings.Add($"{_path}.num_temporal_attention_layers: found {layers.Max()}, expected 0 with temporal_spatial_ds, "
                + "which has no attention over frames");
    }

    private void CheckMicroConditions()
    {
        try
        {
            IReadOnlyList<MicroCondition> list = _config.MicroConditions();
            if (list.GroupBy(m => m.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
                _findings.Add($"{_path}.micro_conditioning: found {twice.Key} twice, expected different names");
            if (list.FirstOrDefault(m => m.Name.Contains('.')) is { Name: { } dotted })
                _findings.Add($"{_path}.micro_conditioning: found the name '{dotted}', expected one without a dot");
            if (list.FirstOrDefault(m => m.Name == "scale" && m.Default <= 0) is { Name: not null } scale)
                _findings.Add($"{_path}.micro_conditioning: found scale:{scale.Default}, expected more than 0");
        }
        catch (MdmException e)
        {
            _findings.Add($"{_path}.{e.Message}");
        }
    }

    /// <summary>Looks at the blocks on the way down and in the middle. Those on the way up hold sums of the same channels, which
    /// are divisible wherever these are.</summary>
    private void CheckBlocks()
    {
        int x = _config.ResolutionChannels[0];
        for (int level = 0; level < _config.Levels; level++)
            for (int i = 0; i < _config.ResnetsAt(level); i++)
            {
                CheckStep($"down_blocks.{level}", level, i, x, _config.ResolutionChannels[level]);
                x = _config.ResolutionChannels[level];
            }

        CheckProjection();
        if (_config.SkipMidBlocks)
            return;
        CheckResnet("mid_blocks.0.resnets.0", x, x);
        CheckAttention("mid_blocks.0.attn.0", x);
    }

    private void CheckStep(string block, int level, int resnet, int from, int to)
    {
        CheckResnet($"{block}.resnets.{resnet}", from, to);
        int layers = _config.AttentionLayersAt(level);
        for (int i = 0; i < layers; i++)
            CheckAttention($"{block}.attn.{resnet * layers + i}", to);
        int temporal = _config.TemporalLayersAt(level);
        if (temporal > 0 && to % TemporalHeadWidth != 0)
            _findings.Add($"{_module}{block}.t_attn.{resnet * temporal}: {to} channels are not divisible by "
                + $"{TemporalHeadWidth}, the channels of one head");
    }

    private void CheckResnet(string name, int from, int to)
    {
        CheckGroups(name + ".norm1", from, _config.ResnetConfig.NumGroupsNorm);
        CheckGroups(name + ".norm2", to, _config.ResnetConfig.NumGroupsNorm);
    }

    private void CheckAttention(string name, int channels)
    {
        CheckGroups(name + ".norm", channels, AttentionGroups);
        if (channels % Heads != 0)
            _findings.Add($"{_module}{name}: {channels} channels are not divisible by {Heads} heads");
    }

    private void CheckGroups(string name, int channels, int groups)
    {
        if (channels % groups != 0)
            _findings.Add($"{_module}{name}: {channels} channels are not divisible by {groups} groups");
    }
}
