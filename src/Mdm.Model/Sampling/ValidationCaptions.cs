using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.Images;

namespace Mdm.Model.Sampling;

/// <summary>Prompts from a data set: the captions of <c>test_file_list</c>, with the pictures they came from.</summary>
public static class ValidationCaptions
{
    /// <summary>The first <c>min_examples</c> captions, in order. A picture that cannot be read is reported and left out; its
    /// caption is drawn all the same.</summary>
    /// <exception cref="MdmException">The list cannot be read or holds no caption.</exception>
    public static IReadOnlyList<SamplingTask> Read(ProgramConfig config, Action<string> warn)
    {
        CaptionIndex index = CaptionIndex.Read(config.TestFileList);
        var tasks = new List<SamplingTask>();
        var archives = new Dictionary<string, TarFile>();
        try
        {
            foreach (CaptionSample sample in index.Shards.SelectMany(index.Samples).Take(config.MinExamples))
                tasks.Add(new SamplingTask(sample.Caption, Picture(index, sample, config.ResolvedSampleSize, archives, warn)));
        }
        finally
        {
            foreach (TarFile archive in archives.Values)
                archive.Dispose();
        }

        return tasks.Count > 0 ? tasks : throw new MdmException($"{config.TestFileList} holds no caption");
    }

    private static Image? Picture(
        CaptionIndex index, CaptionSample sample, int size, Dictionary<string, TarFile> archives, Action<string> warn)
    {
        try
        {
            if (!archives.TryGetValue(sample.Tar, out TarFile? archive))
                archives[sample.Tar] = archive = TarFile.Open(index.Resolve(sample.Tar));
            return ImagePreparation.ResizeAndCrop(ImageFile.Decode(archive.Read(sample.File)), size);
        }
        catch (MdmException e)
        {
            warn($"no reference for '{sample.Caption}': {e.Message}");
            return null;
        }
    }
}
