namespace Mdm.Model.Configuration;

/// <summary>Names that occur in published files or scripts of the original and mean nothing here. They are skipped with a
/// warning, where any other unknown name is an error.</summary>
internal static class LegacyKeys
{
    private static readonly HashSet<string> TopLevel =
    [
        "name", "dataset_config", "metrics", "prediction_length", "avg_lm_steps", "use_lm_mask", "reader_config_file",
        "model_config_file", "num_eval_batches", "eval_freq", "lr_scaling_factor", "local_rank", "weights", "model_config",
    ];

    private static readonly HashSet<string> Sections =
        ["predict_variances", "num_kept_files"];

    /// <summary>True if the key is to be skipped at the top level, or in any section.</summary>
    public static bool Contains(string key, bool topLevel) =>
        topLevel ? TopLevel.Contains(key) : Sections.Contains(key);

    /// <summary>True if the last part of an option's name is to be skipped.</summary>
    public static bool ContainsOption(string name) =>
        TopLevel.Contains(name) || Sections.Contains(name[(name.LastIndexOf('.') + 1)..]);
}
