using System.Globalization;

namespace Mdm.Kernels.Profiling;

/// <summary>Sizes of kernel calls in words.</summary>
public static class KernelShapes
{
    /// <summary>What the arguments of a call say about its size and type: shapes and numbers, no addresses.</summary>
    public static string Describe(ReadOnlySpan<object?> arguments)
    {
        var words = new List<string>();
        bool narrow = false, random = false;
        foreach (object? argument in arguments)
        {
            if (TypeOf(argument) is { } type)
                narrow |= type == DType.BFloat16;
            else if (argument is RandomKey)
                random = true;
            else if (!random && Word(argument) is { } word) // behind a key stands a position, which is no size
                words.Add(word);
        }

        if (narrow)
            words.Add("bf16");
        return string.Join(' ', words);
    }

    private static DType? TypeOf(object? argument) => argument switch
    {
        Ptr p => p.Type,
        Target t => t.Ptr.Type,
        Rows r => r.Ptr.Type,
        RowsTarget r => r.Ptr.Type,
        _ => null,
    };

    private static string? Word(object? argument) => argument switch
    {
        MatMulShape s => $"{s.M}x{s.N}x{s.K} {(s.TransposeA ? 'T' : 'N')}{(s.TransposeB ? 'T' : 'N')}",
        ConvShape s => $"{s.Batch}x{s.Height}x{s.Width} {s.InChannels}->{s.OutChannels}"
            + (s.Upsample ? " x2" : s.Stride == 2 ? " /2" : ""),
        GroupNormShape s => $"{s.Batch}x{s.Positions}x{s.Channels}/{s.Groups}{(s.Silu ? " silu" : "")}",
        AttentionShape s => $"{s.Batch}x{s.Heads}x{s.HeadWidth} {s.Queries}x{s.Keys}",
        BlockGrid s => $"{s.Outer}x{s.Rows}x{s.Cols}x{s.Inner}",
        RotaryShape s => $"{s.Rows}x{s.Columns} {s.Positions} heads of {s.HeadWidth}",
        AdamOptions or float or double or nint or null => null,
        Enum e => e.ToString(),
        IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
        _ => null,
    };
}
