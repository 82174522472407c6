using Mdm.Kernels;
using Mdm.Model.Configuration;

namespace Mdm.Model.Diffusion;

/// <summary>How a sampler steps from one time to an earlier one.</summary>
public enum SamplerKind
{
    /// <summary>Ancestral sampling (arXiv 2006.11239): fresh noise in every step.</summary>
    Ddpm,

    /// <summary>DDIM (arXiv 2010.02502): first order, with a share eta of the ancestral noise.</summary>
    Ddim,

    /// <summary>DPM-Solver++(2M) (arXiv 2211.01095): second order, one evaluation a step, from the last two predicted
    /// pictures.</summary>
    DpmSolver,

    /// <summary>Heun's method (arXiv 2206.00364, algorithm 1 without its noise): second order, two evaluations a step.</summary>
    Heun,
}

/// <summary>The names of samplers.</summary>
public static class SamplerKinds
{
    private static readonly string[] s_names = ["ddpm", "ddim", "dpm++", "heun"];

    /// <summary>All names, for help and messages.</summary>
    public static string All { get; } = string.Join(", ", s_names);

    /// <summary>As the user writes it.</summary>
    public static string Name(this SamplerKind kind) => s_names[(int)kind];

    /// <summary>The sampler of that name.</summary>
    /// <exception cref="MdmException">There is none; the nearest one is named.</exception>
    public static SamplerKind Parse(string name)
    {
        int index = Array.IndexOf(s_names, name.ToLowerInvariant());
        return index >= 0
            ? (SamplerKind)index
            : throw new MdmException($"--sampler: found '{name}', expected one of {All}{NearestName.Hint(name, s_names)}");
    }

    /// <summary>The sampler that is meant where none is named: ancestral sampling, or DDIM if there is an eta.</summary>
    /// <exception cref="MdmException">A sampler other than DDIM with an eta, or an eta outside 0..1.</exception>
    public static SamplerKind Resolve(SamplerKind? kind, double? eta)
    {
        if (eta is { } share && share is not (>= 0 and <= 1))
            throw new MdmException($"ddim_eta is {share}, expected 0 to 1");
        if (eta != null && kind is { } other and not SamplerKind.Ddim)
            throw new MdmException($"ddim_eta is {eta}, expected none with the sampler {other.Name()}: only ddim has it");
        return kind ?? (eta == null ? SamplerKind.Ddpm : SamplerKind.Ddim);
    }
}
