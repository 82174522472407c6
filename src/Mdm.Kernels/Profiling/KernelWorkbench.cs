using System.Globalization;
using System.Text.RegularExpressions;

namespace Mdm.Kernels.Profiling;

/// <summary>Single kernels on operands of a given size, by name: <c>Conv3x3Forward 32x64x64 256-&gt;256</c>.</summary>
public sealed partial class KernelWorkbench
{
    private static readonly (string Kernel, string Shape, int Numbers, Action<KernelWorkbench, int[], string> Run)[] s_kernels =
    [
        ("MatMul", "MxNxK, with NN, NT or TN behind it", 3, (w, n, text) => w.MatMul(n, text)),
        ("MatMulBackwardWeight", "OUTxINxROWS", 3, (w, n, _) => w.Kernels.MatMulBackwardWeight(
            MatMulShape.Contiguous(n[0], n[1], n[2], transposeA: true), w.Array((long)n[0] * n[2]), w.Array((long)n[1] * n[2]),
            new Target(w.Floats((long)n[0] * n[1]), false), new Target(w.Floats(n[0]), false))),
        ("Conv3x3Forward", "BxHxW I->O, with /2 or x2 behind it", 5, (w, n, text) => w.Convolve(n, text, 0)),
        ("Conv3x3BackwardData", "BxHxW I->O, with /2 or x2 behind it", 5, (w, n, text) => w.Convolve(n, text, 1)),
        ("Conv3x3BackwardWeight", "BxHxW I->O, with /2 or x2 behind it", 5, (w, n, text) => w.Convolve(n, text, 2)),
        ("AttentionForward", "BATCHxHEADSxWIDTH QUERIESxKEYS", 5, (w, n, _) => w.Attend(n, backward: false)),
        ("AttentionBackward", "BATCHxHEADSxWIDTH QUERIESxKEYS", 5, (w, n, _) => w.Attend(n, backward: true)),
        ("GroupNormForward", "BATCHxPOSITIONSxCHANNELS/GROUPS", 4, (w, n, _) => w.GroupNorm(n, backward: false)),
        ("GroupNormBackward", "BATCHxPOSITIONSxCHANNELS/GROUPS", 4, (w, n, _) => w.GroupNorm(n, backward: true)),
        ("LayerNormForward", "ROWSxCOLUMNS", 2, (w, n, _) => w.LayerNorm(n, backward: false)),
        ("LayerNormBackward", "ROWSxCOLUMNS", 2, (w, n, _) => w.LayerNorm(n, backward: true)),
        ("Unary", "NUMBERS", 1, (w, n, _) => w.Kernels.Unary(UnaryFunction.Silu, n[0], w.Array(n[0]), w.Array(n[0]))),
        ("SumColumns", "ROWSxCOLUMNS", 2, (w, n, _) =>
            w.Kernels.SumColumns(n[0], n[1], w.Array((long)n[0] * n[1]), new Target(w.Floats(n[1]), false))),
        ("AdamStep", "NUMBERS", 1, (w, n, _) => w.Adam(n[0])),
    ];

    private readonly IDevice _device;
    private readonly DType _type;
    private readonly List<(nint Address, long Bytes)> _owned = [];

    private KernelWorkbench(IDevice device, DType type) => (_device, _type) = (device, type);

    private IKernels Kernels => _device.Kernels;

    /// <summary>The kernels that can be asked for, with how their shapes are written.</summary>
    public static IReadOnlyList<(string Kernel, string Shape)> Known { get; } =
        [.. s_kernels.Select(kernel => (kernel.Kernel, kernel.Shape))];

    /// <summary>Calls a kernel once on made-up operands, on a device that records.</summary>
    /// <exception cref="MdmException">No such kernel, or the shape is not one of its.</exception>
    public static void Run(IDevice device, DType type, string kernel, string shape)
    {
        var found = s_kernels.FirstOrDefault(k => k.Kernel.Equals(kernel, StringComparison.OrdinalIgnoreCase));
        if (found.Kernel == null)
        {
            throw new MdmException($"no kernel '{kernel}' takes a shape by hand, expected one of "
                + string.Join(", ", s_kernels.Select(k => k.Kernel)));
        }

        // Marks such as x2 and /2 stand behind the sizes and are not among the first numbers.
        string[] digits = [.. Numbers().Matches(shape).Select(match => match.Value)];
        if (digits.Length < found.Numbers || !TryParse(digits[..found.Numbers], out int[] sizes))
            throw new MdmException($"{found.Kernel}: the shape is '{shape}', expected {found.Shape}, numbers from 1");
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

    private static bool TryParse(string[] digits, out int[] sizes)
    {
        sizes = new int[digits.Length];
        for (int i = 0; i < sizes.Length; i++)
            if (!int.TryParse(digits[i], NumberStyles.None, CultureInfo.InvariantCulture, out sizes[i]) || sizes[i] == 0)
                return false;
        return true;
    }

    [GeneratedRegex(@"\d+")]
    private static partial Regex Numbers();

    private void MatMul(int[] n, string text)
    {
        bool transposeA = text.Contains("TN", StringComparison.OrdinalIgnoreCase);
        bool transposeB = text.Contains("NT", StringComparison.OrdinalIgnoreCase);
        Kernels.MatMul(MatMulShape.Contiguous(n[0], n[1], n[2], transposeA, transposeB),
            Array((long)n[0] * n[2]), Array((long)n[1] * n[2]), new Target(Array((long)n[0] * n[1]), false));
    }

    private void Convolve(int[] n, string text, int pass)
    {
        bool upsample = text.TrimEnd().EndsWith(" x2", StringComparison.Ordinal);
        int stride = text.TrimEnd().EndsWith("/2", StringComparison.Ordinal) ? 2 : 1;
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
        if (n[2] % n[3] != 0)
            throw new MdmException($"GroupNorm: {n[2]} channels are not divisible by {n[3]} groups");
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
