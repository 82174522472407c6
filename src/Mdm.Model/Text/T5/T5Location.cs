using Mdm.Kernels;
using Mdm.Model.Text.Hub;

namespace Mdm.Model.Text.T5;

/// <summary>Finds the folder of a T5 model by what users write: a folder, or the name of a repository that was
/// downloaded.</summary>
public static class T5Location
{
    private static readonly string[] s_sizes = ["small", "base", "large", "xl", "xxl", "3b", "11b"];

    /// <summary>The repository that a name stands for: <c>flan-t5-xl</c> is <c>google/flan-t5-xl</c>.</summary>
    public static string RepositoryOf(string name) =>
        !name.Contains('/') && s_sizes.Any(size => name == $"flan-t5-{size}" || name == $"t5-v1_1-{size}" || name == $"mt5-{size}")
            ? "google/" + name
            : s_sizes.Any(size => name == $"t5-{size}") ? "google-t5/" + name : name;

    /// <summary>The folder with config.json and weights; null if a repository was not downloaded.</summary>
    /// <param name="name">A folder or a repository.</param>
    /// <param name="cache">Where downloads are.</param>
    public static string? Find(string name, HubCache cache)
    {
        if (Directory.Exists(name))
            return name;
        return HubCache.IsRepository(name) ? cache.Find(RepositoryOf(name)) ?? cache.Find(name) : null;
    }

    /// <summary>As <see cref="Find"/>, where it must be there and have what a text model needs.</summary>
    /// <exception cref="MdmException">Nothing is there, or no T5 model: what to do.</exception>
    public static string Require(string name, HubCache cache)
    {
        string folder = Find(name, cache) ?? throw new MdmException(NotFound(name, cache));
        if (!File.Exists(Path.Combine(folder, "config.json")))
            throw new MdmException($"text_model {name}: {folder} has no config.json, expected the folder of a T5 model");
        return folder;
    }

    private static string NotFound(string name, HubCache cache)
    {
        if (File.Exists(name))
            return $"text_model {name} is a file, expected the folder of a T5 model with config.json and its weights";
        return HubCache.IsRepository(name)
            ? $"text_model {name} is not on this machine, neither as a folder nor in {cache.Root}: "
                + $"'mdm fetch {RepositoryOf(name)}' downloads it"
            : $"text_model {name}: there is no such folder, expected that of a T5 model, the name of a repository such as "
                + "google/flan-t5-xl, 'words' or 'none'";
    }
}
