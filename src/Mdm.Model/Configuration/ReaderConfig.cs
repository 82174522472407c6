namespace Mdm.Model.Configuration;

/// <summary>How images and captions are read (section <c>reader_config</c>).</summary>
public sealed class ReaderConfig
{
    [Setting("Side of the square images, in pixels; -1: not set", Min = -1, Placeholder = "PIXELS")]
    public int ImageSize { get; set; } = -1;

    [Setting("Size of the smaller side before cropping; -1: image_size", Min = -1, Placeholder = "PIXELS")]
    public int SmallerSideSize { get; set; } = -1;

    [Setting("Crops at random places, not the centre")]
    public bool RandomCrop { get; set; }

    [Setting("Longest caption in characters; longer samples are left out; -1: no limit", Min = -1)]
    public int MaxCaptionLength { get; set; } = -1;

    [Setting("Longest caption in tokens; longer samples are left out; -1: no limit", Min = -1)]
    public int MaxTokenLength { get; set; } = -1;

    [Setting("Pads captions to max_token_length, not to the longest of the batch")]
    public bool PadToMaxLength { get; set; }

    [Setting("Puts a space before every caption")]
    public bool PrepadCaptionWithSpace { get; set; } = true;

    [Setting("Begins every caption with <unk>, before the space")]
    public bool PrepadBos { get; set; }

    [Setting("Weighs the tokens of a .vocab file by their scores; off: the fewest tokens win")]
    public bool UseTokenizerScores { get; set; } = true;

    [Setting("Ends every caption with </s>")]
    public bool AppendEos { get; set; } = true;

    [Setting("Token that fills short captions")]
    public string PaddingToken { get; set; } = "<pad>";

    [Setting("Samples in the shuffle buffer", Min = 1)]
    public int ShuffleBufferSize { get; set; } = 9600;

    [Setting("Batches read ahead, at most", Min = 1)]
    public int ReaderBufferSize { get; set; } = 9600;

    [Setting("Reading threads, at most", Min = 1)]
    public int NumReaders { get; set; } = 16;

    [Setting("Address of an S3-compatible server", Placeholder = "URL")]
    public string EndpointUrl { get; set; } = "";

    [Setting("Bucket on that server")]
    public string Bucket { get; set; } = "mlx";

    /// <summary>Size of the smaller side before cropping, the default filled in.</summary>
    public int SmallerSide => SmallerSideSize > 0 ? SmallerSideSize : ImageSize;

    /// <summary>An independent copy.</summary>
    public ReaderConfig Clone() => (ReaderConfig)MemberwiseClone();
}
