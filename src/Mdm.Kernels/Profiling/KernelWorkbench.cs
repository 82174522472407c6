using System.Globalization;
using System.Text.RegularExpressions;

namespace Mdm.Kernels.Profiling;

/// <summary>Single kernels on operands of a given size, by name: <c>Conv3x3Forward 32x64x64 256-&gt;256</c>.</summary>
public sealed class KernelWorkbench
{
    /// <param name="Form">How a shape is written, in words.</param>
    /// <param name="Pattern">The same as a regular expression; its groups are the sizes.</param>
    private sealed record Known(string Kernel, string Form, string Pattern, Action<KernelWorkbench, int[], string> Run);

    private const string Image = @"(\d+)x(\d+)x(\d+) (\d+)->(\d+)(?: /2| x2)?", ImageForm = "BxHxW I->O, with /2 or x2 behind it";
    private const string Heads = @"(\d+)x(\d+)x(\d+) (\d+)x(\d+)", HeadsForm = "BATCHxHEADSxWIDTH QUERIESxKEYS";
    private const string Groups = @"(\d+)x(\d+)x(\d+)/(\d+)(?: silu)?", GroupsForm = "BATCHxPOSITIONSxCHANNELS/GROUPS";
    private const string Matrix = @"(\d+)[x ](\d+)", MatrixForm = "ROWSxCOLUMNS";
    private const string Numbers = @"(?:Silu )?(\d+)", NumbersForm = "NUMBERS";

    private static readonly Known[] s_kernels =
    [
        new("MatMul", "MxNxK, with NN, NT, TN or TT behind it", @"(\d+)x(\d+)x(\d+)(?: [NT][NT])?",
            (w, n, text) => w.MatMul(n, text)),
        new("MatMulBackwardWeight", "OUTxINxROWS", @"(\d+)x(\d+)x(\d+)(?: TN)?", (w, n, _) => w.Kernels.MatMulBackwardWeight(
            MatMulShape.Contiguous(n[0], n[1], n[2], transposeA: true), w.Array((long)n[0] * n[2]), w.Array((long)n[1] * n[2]),
            new Target(w.Floats((long)n[0] * n[1]), false), new Target(w.Floats(n[0]), false))),
        new("Conv3x3Forward", ImageForm, Image, (w, n, text) => w.Convolve(n, text, 0)),
        new("Conv3x3BackwardData", ImageForm, Image, (w, n, text) => w.Convolve(n, text, 1)),
        new("Conv3x3BackwardWeight", ImageForm, Image, (w, n, text) => w.Convolve(n, text, 2)),
        new("AttentionForward", HeadsForm, Heads, (w, n, _) => w.Attend(n, backward: false)),
        new("AttentionBackward", HeadsForm, Heads, (w, n, _) => w.Attend(n, backward: true)),
        new("GroupNormForward", GroupsForm, Groups, (w, n, _) => w.GroupNorm(n, backward: false)),
        new("GroupNormBackward", GroupsForm, Groups, (w, n, _) => w.GroupNorm(n, backward: true)),
        new("LayerNormForward", MatrixForm, Matrix, (w, n, _) => w.LayerNorm(n, backward: false)),
        new("LayerNormBackward", MatrixForm, Matrix, (w, n, _) => w.LayerNorm(n, backward: true)),
        new("Unary", NumbersForm, Numbers, (w, n, _) =>
            w.Kernels.Unary(UnaryFunction.Silu, n[0], w.Array(n[0]), w.Array(n[0]))),
        new("SumColumns", MatrixForm, Matrix, (w, n, _) =>
            w.Kernels.SumColumns(n[0], n[1], w.Array((long)n[0] * n[1]), new Target(w.Floats(n[1]), false))),
        new("AdamStep", NumbersForm, Numbers, (w, n, _) => w.Adam(n[0])),
    ];

    private readonly IDevice _device;
    private readonly DType _type;
    private readonly List<(nint Address, long Bytes)> _owned = [];

    private KernelWorkbench(IDevice device, DType type) => (_device, _type) = (device, type);

    private IKernels Kernels => _device.Kernels;

    /// <summary>Whether a kernel can be called with a shape.</summary>
    /// <exception cref="MdmException">No such kernel, or the shape is not one of its.</exception>
    public static void Check(string kernel, string shape) => Parse(kernel, shape);

    /// <summary>Calls a kernel once on made-up operands, on a device that records.</summary>
    /// <exception cref="MdmException">No such kernel, or the shape is not one of its.</exception>
    public static void Run(IDevice device, DType type, string kernel, string shape)
    {
        (Known found, int[] sizes) = Parse(kernel, shape);
        var bench = new KernelWorkbench(device, type);
        try
        {
            found.Run(bench, sizes, shape);
        }
        finally
        {
            device.Synchronize();
            foreach ((nint address, long bytes) in bench._owned)
                device.Free(address, bytes);
        }
    }

    private static (Known Kernel, int[] Sizes) Parse(string kernel, string shape)
    {
        Known found = System.Array.Find(s_kernels, k => k.Kernel.Equals(kernel, StringComparison.OrdinalIgnoreCase))
            ?? throw new MdmException($"no kernel '{kernel}' takes a shape by hand, expected one of "
                + string.Join(", ", s_kernels.Select(k => k.Kernel)));
        Match match = Regex.Match(shape, $"^{found.Pattern}$", RegexOptions.CultureInvariant | RegexOptions.IgnoreCase);
        int[] sizes = [.. match.Groups.Values.Skip(1).Select(group =>
            int.TryParse(group.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out int size) ? size : 0)];
        if (!match.Success || sizes.Contains(0))
            throw new MdmException($"{found.Kernel}: the shape is '{shape}', expected {found.Form}, numbers from 1");
        if (found.Pattern == Groups && sizes[2] % sizes[3] != 0)
            throw new MdmException($"{found.Kernel}: {sizes[2]} channels are not divisible by {sizes[3]} groups");
        return (found, sizes);
    }

    private void MatMul(int[] n, string text)
    {
        bool transposeA = text[^2] is 'T' or 't', transposeB = text[^1] is 'T' or 't';
        Kernels.MatMul(MatMulShape.Contiguous(n[0], n[1], n[2], transposeA, transposeB),
            Array((long)n[0] * n[2]), Array((long)n[1] * n[2]), new Target(Array((long)n[0] * n[1]), false));
    }

    private void Convolve(int[] n, string text, int pass)
    {
        bool upsample = text.EndsWith(" x2", StringComparison.OrdinalIgnoreCase);
        int stride = text.EndsWith("/2", StringComparison.Ordinal) ? 2 : 1;
        var shape = new ConvShape(n[0], n[1], n[2], n[3], n[4], stride, upsample);
        Ptr x = Array((long)n[0] * n[1] * n[2] * n[3]), w = Array(9L * n[3] * n[4]);
        Ptr y = Array((long)n[0] * shape.OutHeight * shape.OutWidth * n[4]);
        if (pass == 0)
            Kernels.Conv3x3Forward(shape, x, w, Floats(n[4]), Ptr.None, y);
        else if (pass == 1)
            Kernels.Conv3x3BackwardData(shape, y, w, new Target(x, false));
        else
            Kernels.Conv3x3BackwardWeight(shape, x, y, new Target(Floats(9L * n[3] * n[4]), false));
    }

    private void Attend(int[] n, bool backward)
    {
        int channels = n[1] * n[2];
        var shape = new AttentionShape(n[0], n[1], n[2], n[3], n[4], 1 / MathF.Sqrt(n[2]));
        Rows Rows(int length) => new(Array((long)n[0] * length * channels), channels);
        Rows q = Rows(n[3]), k = Rows(n[4]), v = Rows(n[4]), o = Rows(n[3]);
        Ptr logSumExp = Floats((long)n[0] * n[1] * n[3]);
        if (!backward)
        {
            Kernels.AttentionForward(shape, q, k, v, Ptr.None, o, logSumExp);
            return;
        }

        RowsTarget Target(int length) => new(Rows(length).Ptr, channels, false);
        Kernels.AttentionBackward(shape, q, k, v, Ptr.None, o, logSumExp, Rows(n[3]), Target(n[3]), Target(n[4]), Target(n[4]));
    }

    private void GroupNorm(int[] n, bool backward)
    {
        var shape = new GroupNormShape(n[0], n[1], n[2], n[3], 1e-5f, Silu: true);
        long all = (long)n[0] * n[1] * n[2];
        Ptr x = Array(all), gamma = Floats(n[2]), beta = Floats(n[2]), modulation = Array(2L * n[0] * n[2]);
        Ptr mean = Floats((long)n[0] * n[3]), rstd = Floats((long)n[0] * n[3]);
        if (backward)
            Kernels.GroupNormBackward(shape, Array(all), x, gamma, beta, modulation, mean, rstd, new Target(Array(all), false),
                new Target(Floats(n[2]), false), new Target(Floats(n[2]), false), new Target(Array(2L * n[0] * n[2]), false));
        else
            Kernels.GroupNormForward(shape, x, gamma, beta, modulation, Array(all), mean, rstd);
    }

    private void LayerNorm(int[] n, bool backward)
    {
        long all = (long)n[0] * n[1];
        Ptr x = Array(all), gamma = Floats(n[1]), beta = Floats(n[1]), mean = Floats(n[0]), rstd = Floats(n[0]);
        if (backward)
            Kernels.LayerNormBackward(n[0], n[1], Array(all), x, gamma, mean, rstd, new Target(Array(all), false),
                new Target(Floats(n[1]), false), new Target(Floats(n[1]), false));
        else
            Kernels.LayerNormForward(n[0], n[1], 1e-5f, x, gamma, beta, Array(all), mean, rstd);
    }

    private void Adam(int n)
    {
        Ptr state = Take(OptimizerState.Length, DType.Float64);
        Kernels.Zero(OptimizerState.Length * sizeof(double), state.Address);
        Kernels.AdamStep(n, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, true, 1, 1),
            Floats(n), Floats(n), Floats(n), Floats(n), Floats(n), Ptr.None, state);
    }

    /// <summary>So many activations, all 0.5.</summary>
    private Ptr Array(long n) => Filled(Take(n, _type), n);

    private Ptr Floats(long n) => Filled(Take(n, DType.Float32), n);

    private Ptr Filled(Ptr p, long n)
    {
        Kernels.Fill(n, 0.5f, p);
        return p;
    }

    private Ptr Take(long n, DType type)
    {
        long bytes = n * type.Size();
        nint address = _device.Allocate(bytes);
        _owned.Add((address, bytes));
        return new Ptr(address, type);
    }
}
