namespace Mdm.Kernels.Libraries;

/// <summary>How cuDNN carries out a convolution: an engine of its and that engine's settings.</summary>
internal sealed class CudnnPlan : IDisposable
{
    /// <summary>Engines that want more memory than this are left out, in bytes.</summary>
    public const long MaxWorkspace = 256L << 20;

    private readonly CudnnDescriptor plan;
    private readonly CudnnDescriptor configuration;

    private CudnnPlan(CudnnApi api, nint handle, CudnnDescriptor configuration)
    {
        this.configuration = configuration;
        plan = new CudnnDescriptor(api, CudnnKind.Plan);
        try
        {
            plan.Set(CudnnAttribute.PlanHandle, CudnnType.Handle, handle)
                .Set(CudnnAttribute.PlanConfiguration, configuration)
                .Finish();
            long bytes = 0;
            plan.Get(CudnnAttribute.PlanWorkspaceSize, CudnnType.Int64, new Span<long>(ref bytes));
            WorkspaceBytes = bytes;
        }
        catch
        {
            plan.Dispose();
            throw;
        }
    }

    /// <summary>Device memory that an execution needs for itself.</summary>
    public long WorkspaceBytes { get; }

    /// <summary>A plan whose engine computes as this program does: the same bits each time, sums in float32 of the operands as
    /// they are (or rounded to TF32, where that is allowed), no Winograd or Fourier transform, which round differently.</summary>
    /// <param name="api">The library.</param>
    /// <param name="handle">Of the library.</param>
    /// <param name="what">The convolution.</param>
    /// <param name="number">0: the first, in cuDNN's own order, that can be had; else the one at that place, if it can.</param>
    /// <returns>Null if cuDNN has none.</returns>
    public static CudnnPlan? Find(CudnnApi api, nint handle, in CudnnConvolution what, int number)
    {
        bool tensorCores = what.Type != DType.Float32 || what.Tf32;
        try
        {
            using var graph = new CudnnGraph(api, handle, what);
            CudnnPlan? plan = First(api, handle, graph, CudnnHeuristics.A, tensorCores, number);
            return plan == null && number == 0 ? First(api, handle, graph, CudnnHeuristics.Fallback, tensorCores, 0) : plan;
        }
        catch (CudnnException)
        {
            return null; // not a convolution that it knows
        }
    }

    /// <summary>Queues the convolution on the handle's stream.</summary>
    /// <exception cref="CudnnException">The call failed.</exception>
    public unsafe void Execute(CudnnApi api, nint handle, in CudnnOperands operands, nint workspace)
    {
        Span<nint> pointers = [operands.Image, operands.Weight, operands.Output, operands.Bias, operands.Residual];
        Span<long> names = [CudnnGraph.Image, CudnnGraph.Weight, CudnnGraph.Output, CudnnGraph.Bias, CudnnGraph.Residual];
        int count = 0;
        for (int i = 0; i < pointers.Length; i++)
        {
            if (pointers[i] != 0)
                (pointers[count], names[count++]) = (pointers[i], names[i]);
        }

        using CudnnDescriptor pack = new CudnnDescriptor(api, CudnnKind.VariantPack)
            .Set<nint>(CudnnAttribute.VariantPackPointers, CudnnType.Pointer, pointers[..count])
            .Set<long>(CudnnAttribute.VariantPackNames, CudnnType.Int64, names[..count])
            .Set(CudnnAttribute.VariantPackWorkspace, CudnnType.Pointer, workspace)
            .Finish();
        api.Check(api.Execute(handle, plan.Handle, pack.Handle), "cudnnBackendExecute");
    }

    public void Dispose()
    {
        plan.Dispose();
        configuration.Dispose();
    }

    private static CudnnPlan? First(
        CudnnApi api, nint handle, CudnnGraph graph, CudnnHeuristics mode, bool tensorCores, int number)
    {
        CudnnPlan? found = null;
        int place = 0;
        foreach (CudnnDescriptor configuration in Proposed(api, graph, mode))
        {
            if (found == null && IsAllowed(api, configuration, tensorCores) && (number == 0 || number == place++)
                && (found = Try(api, handle, configuration)) != null)
                continue; // it owns its configuration
            configuration.Dispose();
        }

        return found;
    }

    private static CudnnPlan? Try(CudnnApi api, nint handle, CudnnDescriptor configuration)
    {
        try
        {
            var plan = new CudnnPlan(api, handle, configuration);
            if (plan.WorkspaceBytes <= MaxWorkspace)
                return plan;
            plan.plan.Dispose();
        }
        catch (CudnnException)
        {
            // An engine may be proposed that does not run here, e.g. one that is compiled by an NVRTC that is not there.
        }

        return null;
    }

    private static CudnnDescriptor[] Proposed(CudnnApi api, CudnnGraph graph, CudnnHeuristics mode)
    {
        var made = new List<CudnnDescriptor>();
        try
        {
            using CudnnDescriptor heuristics = new CudnnDescriptor(api, CudnnKind.Heuristics)
                .Set(CudnnAttribute.HeuristicsGraph, graph.Descriptor)
                .Set(CudnnAttribute.HeuristicsMode, CudnnType.HeuristicsMode, (int)mode)
                .Finish();
            int count = heuristics.Get<nint>(CudnnAttribute.HeuristicsResults, CudnnType.Descriptor, []);
            for (int i = 0; i < count; i++)
                made.Add(new CudnnDescriptor(api, CudnnKind.EngineConfiguration));
            Span<nint> handles = [.. made.Select(d => d.Handle)];
            int filled = heuristics.Get(CudnnAttribute.HeuristicsResults, CudnnType.Descriptor, handles);
            foreach (CudnnDescriptor left in made.Skip(filled))
                left.Dispose();
            return [.. made.Take(filled)];
        }
        catch (CudnnException)
        {
            made.ForEach(d => d.Dispose());
            return [];
        }
    }

    private static bool IsAllowed(CudnnApi api, CudnnDescriptor configuration, bool tensorCores)
    {
        Span<int> notes = stackalloc int[64];
        try
        {
            using var engine = new CudnnDescriptor(api, CudnnKind.Engine);
            nint handle = engine.Handle;
            configuration.Get(CudnnAttribute.ConfigurationEngine, CudnnType.Descriptor, new Span<nint>(ref handle));
            int count = engine.Get(CudnnAttribute.EngineNumericalNote, CudnnType.NumericalNote, notes);
            notes = notes[..Math.Min(count, notes.Length)];
        }
        catch (CudnnException)
        {
            return false; // nobody knows how it computes
        }

        foreach (int note in notes)
        {
            bool allowed = (CudnnNote)note switch
            {
                CudnnNote.TensorCore => tensorCores,
                CudnnNote.DownConvertInputs or CudnnNote.ReducedPrecisionReduction or CudnnNote.Fft or CudnnNote.Nondeterministic
                    or CudnnNote.Winograd => false,
                _ => true,
            };
            if (!allowed)
                return false;
        }

        return true;
    }
}
