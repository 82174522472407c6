using Mdm.Tensors.Formats;

namespace Mdm.Model.Data;

/// <summary>A sample in the order of training.</summary>
/// <param name="Source">Where its image and caption are.</param>
/// <param name="Position">The place of the sample behind it.</param>
/// <param name="Random">Key of the random numbers that belong to this sample in this epoch.</param>
internal readonly record struct PlannedSample(CaptionSample Source, ReaderPosition Position, ulong Random);

/// <summary>How far reading has come: a run that starts here continues as if it had never stopped.</summary>
/// <param name="Epoch">Passes over the data that are complete.</param>
/// <param name="Sample">Samples of the next pass that are used up, broken and dropped ones included.</param>
public readonly record struct ReaderPosition(int Epoch, long Sample);
