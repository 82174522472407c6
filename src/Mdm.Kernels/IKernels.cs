namespace Mdm.Kernels;

/// <summary>
/// Every arithmetic kernel that a device must have. One small interface per family; the CPU and the CUDA side
/// implement all of them, so the compiler says what is missing.
/// <para>Conventions: images are [B,H,W,C] (channels last), contiguous, float32 unless said otherwise. Convolution
/// weights are [O,kH,kW,I], linear weights [O,I] (the same thing for 1x1). An operand documented as optional may be
/// <see cref="Ptr.None"/>. A <see cref="Target"/> that is none is not computed; one that accumulates is added to.
/// Types: activations of one call (x, y, dy, dx, residual, scaleShift, q, k, v, o; a, b, z of elementwise kernels) share a
/// type, float32 or, where the device computes in it (<see cref="IDevice.Supports"/>), bfloat16; so do the matrices they are
/// multiplied with (w, a table whose rows are looked up). Biases, gamma, beta, statistics, masks, per-sample numbers, sums,
/// quantiles and losses are float32, whatever the activations are. The gradient of a matrix is float32 (a parameter's) or
/// has the matrix's type: the target says which. Normal, Uniform, Fill and Sinusoid write float32.
/// Gradient outputs never alias inputs, except elementwise kernels, which may run in place.
/// A call may return before its work is done (a GPU's stream); calls on one device are ordered. Every kernel is
/// deterministic: same input, same device, same number of threads, same bits.</para>
/// </summary>
public interface IKernels :
    IMatrixKernels, IConvolutionKernels, INormalizationKernels, IAttentionKernels, IElementwiseKernels,
    IReductionKernels, IResamplingKernels, IRandomKernels, IIndexingKernels, IOptimizerKernels;

/// <summary>Matrix products.</summary>
public interface IMatrixKernels
{
    /// <summary>C[M,N] = op(A)[M,K] · op(B)[K,N] (+ bias[N] to every row) (+ residual[M,N]) (+ C if accumulate).
    /// A is stored [M,K], or [K,M] if transposed; B is stored [K,N], or [N,K] if transposed. Residual has C's
    /// layout (leading dimension LdC).</summary>
    void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias = default, Ptr residual = default);

    /// <summary>The gradients of a linear layer's weight and bias: dw[M,N] = dyᵀ · x (+ dw if it accumulates), db[m] = Σ_k dy[k,m]
    /// (likewise). dy is stored [K,M] and contiguous, x [K,N]: the shape is that of the product, A transposed and B not. Either
    /// may be none.</summary>
    void MatMulBackwardWeight(in MatMulShape shape, Ptr dy, Ptr x, Target dw, Target db);

    /// <summary>z = op(A) · op(B) (+ bias[N] to every row), C = gelu(z): a linear layer and what follows it. z has C's layout and
    /// type, that of A; it is what the backward pass wants, and optional.</summary>
    void MatMulGelu(in MatMulShape shape, Ptr a, Ptr b, Ptr bias, Ptr z, Ptr c);

    /// <summary>C = (op(A) · op(B)) ⊙ gelu'(z): the gradient of <see cref="MatMulGelu"/>'s z from the next layer's dy (A) and weight
    /// (B). z has C's layout and type.</summary>
    void MatMulGeluBackward(in MatMulShape shape, Ptr a, Ptr b, Ptr z, Ptr c);
}

/// <summary>Sizes of a product; the leading dimensions are the distances between stored rows, in elements.</summary>
public readonly record struct MatMulShape(int M, int N, int K, bool TransposeA, bool TransposeB, int LdA, int LdB, int LdC)
{
    /// <summary>A product of contiguous matrices.</summary>
    public static MatMulShape Contiguous(int m, int n, int k, bool transposeA = false, bool transposeB = false) =>
        new(m, n, k, transposeA, transposeB, transposeA ? m : k, transposeB ? k : n, n);
}

/// <summary>3x3 convolutions with zero padding 1 (1x1 ones are matrix products).</summary>
public interface IConvolutionKernels
{
    /// <summary>y[b,p,q,o] = bias[o] + residual[b,p,q,o] + Σ_{r,s,c} x[b, p·stride+r-1, q·stride+s-1, c] · w[o,r,s,c].
    /// With <see cref="ConvShape.Upsample"/>, x is first doubled by nearest neighbour (without being stored).
    /// bias and residual are optional.</summary>
    void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y);

    /// <summary>dx from dy and w.</summary>
    void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx);

    /// <summary>dw [O,3,3,I] from x and dy, and db[o] = Σ_{b,p,q} dy[b,p,q,o]. Either may be none.</summary>
    void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw, Target db = default);
}

/// <summary>A 3x3 convolution, padding 1. Height and Width are those of the stored input, before any doubling.</summary>
public readonly record struct ConvShape(
    int Batch, int Height, int Width, int InChannels, int OutChannels, int Stride = 1, bool Upsample = false)
{
    /// <summary>Height of what the taps see (doubled if upsampling).</summary>
    public int InHeight => Upsample ? 2 * Height : Height;

    public int InWidth => Upsample ? 2 * Width : Width;

    public int OutHeight => (InHeight - 1) / Stride + 1;

    public int OutWidth => (InWidth - 1) / Stride + 1;
}

/// <summary>Group, layer and per-sample normalisation.</summary>
public interface INormalizationKernels
{
    /// <summary>n = (x - mean_g)·rstd_g·gamma + beta; with scaleShift [B,2C] = (s, t): n = n·(1+s_b)+t_b; with Silu: y = n·σ(n).
    /// Statistics are over the positions and channels of each group (biased variance). mean and rstd are [B,Groups] and
    /// are written for the backward pass. With <see cref="GroupNormShape.SkipChannels"/> the last channels are those of skip
    /// [B,P,SkipChannels] and x has the others: a concatenation that is not stored. dx and dskip are different memory.</summary>
    void GroupNormForward(in GroupNormShape shape, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr y, Ptr mean, Ptr rstd,
        Ptr skip = default);

    void GroupNormBackward(in GroupNormShape shape, Ptr dy, Ptr x, Ptr gamma, Ptr beta, Ptr scaleShift, Ptr mean, Ptr rstd,
        Target dx, Target dgamma, Target dbeta, Target dscaleShift, Ptr skip = default, Target dskip = default);

    /// <summary>y = (x - mean_row)·rstd_row·gamma + beta over rows of length cols; mean and rstd are [rows].</summary>
    void LayerNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr beta, Ptr y, Ptr mean, Ptr rstd);

    void LayerNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr mean, Ptr rstd, Target dx, Target dgamma, Target dbeta);

    /// <summary>y = x·rstd_row·gamma with rstd = 1/√(mean(x²) + epsilon) over rows of length cols; rstd is [rows].</summary>
    void RmsNormForward(int rows, int cols, float epsilon, Ptr x, Ptr gamma, Ptr y, Ptr rstd);

    void RmsNormBackward(int rows, int cols, Ptr dy, Ptr x, Ptr gamma, Ptr rstd, Target dx, Target dgamma);

    /// <summary>y = x / std(x) per sample, the standard deviation over all inner elements, unbiased (n-1), mean not removed.
    /// mean and std are [batch], written for the backward pass.</summary>
    void StdNormalizeForward(int batch, long inner, Ptr x, Ptr y, Ptr mean, Ptr std);

    void StdNormalizeBackward(int batch, long inner, Ptr dy, Ptr x, Ptr mean, Ptr std, Target dx);
}

/// <summary>x is [Batch, Positions, Channels - SkipChannels], y [Batch, Positions, Channels].</summary>
public readonly record struct GroupNormShape(
    int Batch, int Positions, int Channels, int Groups, float Epsilon, bool Silu, int SkipChannels = 0);

/// <summary>Multi-head attention with a streaming softmax.</summary>
public interface IAttentionKernels
{
    /// <summary>o = softmax(scale · q kᵀ + bias) v per sample and head. Sample b's query row i is row b·Queries+i of q; head h owns
    /// columns h·HeadWidth.. of every operand. keyMask is [Batch,Keys] float32 (0 = the key is left out), optional; a
    /// sample whose keys are all left out gets o = 0. bias [Heads,Queries,Keys] float32 is shared by the samples, optional.
    /// logSumExp [Batch,Heads,Queries] float32 is written for the backward pass.</summary>
    void AttentionForward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Ptr bias = default);

    /// <summary>Gradients of q, k, v (not of the bias) from that of o (dO).</summary>
    void AttentionBackward(in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO,
        RowsTarget dq, RowsTarget dk, RowsTarget dv, Ptr bias = default);
}

public readonly record struct AttentionShape(int Batch, int Heads, int HeadWidth, int Queries, int Keys, float Scale);

/// <summary>Functions of one variable that act on every element.</summary>
public enum UnaryFunction
{
    /// <summary>x·σ(x)</summary>
    Silu,

    /// <summary>x·Φ(x), with the exact error function</summary>
    Gelu,
    Tanh,

    /// <summary>½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))): GELU as T5 has it</summary>
    GeluTanh,
}

/// <summary>Elementwise arithmetic, copies and casts. In place (x = y) is allowed.</summary>
public interface IElementwiseKernels
{
    void Unary(UnaryFunction f, long n, Ptr x, Ptr y);

    /// <summary>dx = f'(x)·dy.</summary>
    void UnaryBackward(UnaryFunction f, long n, Ptr x, Ptr dy, Target dx);

    /// <summary>y = min(max(x, low), high).</summary>
    void Clamp(long n, float low, float high, Ptr x, Ptr y);

    /// <summary>dx = dy where low ≤ x ≤ high, else 0.</summary>
    void ClampBackward(long n, float low, float high, Ptr x, Ptr dy, Target dx);

    /// <summary>z = a·x + b·y (y optional).</summary>
    void LinearCombination(long n, float a, Ptr x, float b, Ptr y, Target z);

    /// <summary>z = x·y.</summary>
    void Multiply(long n, Ptr x, Ptr y, Target z);

    /// <summary>z[s,i] = a[s]·x[s,i] + b[s]·y[s,i] with per-sample coefficients a, b [batch] (y with b optional).</summary>
    void SampleCombination(int batch, long inner, Ptr a, Ptr x, Ptr b, Ptr y, Target z);

    /// <summary>y[s,i] = clamp(x[s,i], -limit[s], limit[s]) / limit[s].</summary>
    void ClampToUnit(int batch, long inner, Ptr limit, Ptr x, Ptr y);

    /// <summary>Every element = value (float32 only).</summary>
    void Fill(long n, float value, Ptr y);

    /// <summary>Zero bytes.</summary>
    void Zero(long bytes, nint address);

    /// <summary>Copies rows of cols elements: joins and splits channels. Both operands have one type; adding needs one that the
    /// device computes in.</summary>
    void CopyRows(int rows, int cols, Rows source, RowsTarget destination);

    /// <summary>y[o·to.Outer + r·to.Row + c·to.Col + i] = x[o·from.Outer + r·from.Row + c·from.Col + i], i &lt; grid.Inner:
    /// changes the order of axes, joins, or repeats (a distance of 0 in x). Blocks of y do not overlap. One type for both, of those that
    /// the device computes in.</summary>
    void CopyBlocks(in BlockGrid grid, Ptr x, in BlockStrides from, Target y, in BlockStrides to);

    /// <summary>Converts between float32, bfloat16, float16 and float64 (round to nearest even), and uint8/int32/int64 to float32.</summary>
    void Cast(long n, Ptr source, Ptr destination);
}

/// <summary>Blocks of Inner neighbouring elements, Outer x Rows x Cols of them.</summary>
public readonly record struct BlockGrid(int Outer, int Rows, int Cols, int Inner)
{
    /// <summary>Elements of all blocks.</summary>
    public long Count => (long)Outer * Rows * Cols * Inner;
}

/// <summary>Distances between the blocks of a <see cref="BlockGrid"/> along its axes, in elements.</summary>
public readonly record struct BlockStrides(long Outer, long Row, long Col);

/// <summary>Sums and what is made of them. Sums run in float64 or pairwise, in a fixed order.</summary>
public interface IReductionKernels
{
    /// <summary>y[r] = scale · Σ_c x[r,c].</summary>
    void SumRows(long rows, long cols, float scale, Ptr x, Target y);

    /// <summary>y[c] = Σ_r x[r,c]: the gradient of a bias by itself.</summary>
    void SumColumns(long rows, int cols, Ptr x, Target y);

    /// <summary>x[r,c] = scale · y[r]: the gradient of <see cref="SumRows"/>.</summary>
    void SpreadRows(long rows, long cols, float scale, Ptr y, Target x);

    /// <summary>loss[s] = mean_i (a[s,i]-b[s,i])².</summary>
    void MeanSquaredError(int batch, long inner, Ptr a, Ptr b, Ptr loss);

    /// <summary>da = 2(a-b)/inner · dloss[s], and db = -da.</summary>
    void MeanSquaredErrorBackward(int batch, long inner, Ptr a, Ptr b, Ptr dloss, Target da, Target db);

    /// <summary>y[b,c] = Σ_n m[b,n]·x[b,n,c] / Σ_n m[b,n]; the plain mean over n without a mask; 0 where the mask is all 0.</summary>
    void MaskedMean(int batch, int tokens, int channels, Ptr x, Ptr mask, Ptr y);

    void MaskedMeanBackward(int batch, int tokens, int channels, Ptr dy, Ptr mask, Target dx);

    /// <summary>y[s] = the p-quantile of |x[s,·]|, with linear interpolation between order statistics at position p·(inner-1).</summary>
    void AbsQuantile(int batch, long inner, float p, Ptr x, Ptr y);
}

/// <summary>Changes of resolution of [B,H,W,C] images.</summary>
public interface IResamplingKernels
{
    /// <summary>y [B,2H,2W,C]: every pixel becomes a 2x2 block. Height and width are x's.</summary>
    void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y);

    void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx);

    /// <summary>y [B,H/factor,W/factor,C] = block means. Height and width are x's and multiples of the factor.</summary>
    void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y);

    void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx);

    /// <summary>Resizes with pixel centres at half-integers and clamped borders (PyTorch's interpolate, align_corners=False,
    /// antialias=False; cubic with a = -0.75).</summary>
    void Resize(ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth, Ptr x, Ptr y);
}

public enum ResizeFilter
{
    Bilinear,
    Bicubic,
}

/// <summary>Philox4x32-10, keyed by (seed, stream) and counted by element index: the same bits on every device.</summary>
public interface IRandomKernels
{
    /// <summary>Standard normal numbers; element i uses index offset+i.</summary>
    void Normal(long n, RandomKey key, long offset, Ptr y);

    /// <summary>Uniform numbers in [0,1): multiples of 2^-24.</summary>
    void Uniform(long n, RandomKey key, long offset, Ptr y);

    /// <summary>y = x/(1-p) where the uniform number of the element is ≥ p, else 0. Its own gradient: apply it to dy with the same key.</summary>
    void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y);
}

/// <summary>Which sequence of random numbers.</summary>
public readonly record struct RandomKey(ulong Seed, ulong Stream);

/// <summary>Look-ups.</summary>
public interface IIndexingKernels
{
    /// <summary>y[r,·] = table[ids[r],·]; ids are int32; an id outside 0..tableRows-1 gives a row of zeros.</summary>
    void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y);

    /// <summary>dtable[ids[r],·] += dy[r,·]; always adds; deterministic.</summary>
    void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable);

    /// <summary>y[b] = [sin(t_b f_k) for k < d, cos(t_b f_k) for k < d], f_k = exp(-k ln(10000)/d), d = width/2.</summary>
    void Sinusoid(int batch, int width, Ptr t, Ptr y);

    /// <summary>Rotary positions: with t = r mod Positions, k = (j mod HeadWidth)/2, d = HeadWidth and
    /// φ = t·10000^(-2k/d), for even columns j &lt; Columns of row r: y[j] = x[j] cos φ - x[j+1] sin φ,
    /// y[j+1] = x[j+1] cos φ + x[j] sin φ. Inverse: -φ, which is also the gradient. Columns beyond those stay as they are.
    /// x and y are different memory.</summary>
    void Rotate(in RotaryShape shape, Rows x, RowsTarget y);
}

/// <summary>Rows whose first Columns columns (whole heads of an even width) are rotated.</summary>
public readonly record struct RotaryShape(int Rows, int Positions, int Columns, int HeadWidth, bool Inverse = false);

/// <summary>One flat pass over all parameters.</summary>
public interface IOptimizerKernels
{
    /// <summary>state[1] = Σ g² (state is float64, see <see cref="OptimizerState"/>).</summary>
    void SquaredNorm(long n, Ptr gradients, Ptr state);

    /// <summary>One Adam step: with norm = sqrt(state[1]) and t = state[0]+1, if norm is finite:
    /// g = gradScale·g·min(1, clip/(gradScale·norm+1e-6)) (no clipping if clip = 0); m = b1 m+(1-b1) g; v = b2 v+(1-b2) g²;
    /// p -= lr·(decoupled ? weightDecay·p : 0); p -= lr·(m/(1-b1^t))/(sqrt(v/(1-b2^t))+epsilon); ema = d·ema+(1-d)·p (ema optional); copy = p in bfloat16 (copy optional);
    /// state[0] = t. If it is not finite, nothing but state[3] += 1. lr = state[2], d = state[4].</summary>
    void AdamStep(long n, in AdamOptions options, Ptr parameters, Ptr gradients, Ptr m, Ptr v, Ptr ema, Ptr copy, Ptr state);
}

public readonly record struct AdamOptions(
    float Beta1, float Beta2, float Epsilon, float WeightDecay, bool Decoupled, float Clip, float GradScale);

/// <summary>The optimiser's numbers that live on the device (so that a captured step never needs the host):
/// float64 [8] = steps taken, squared gradient norm, learning rate, skipped steps, EMA decay, unused.</summary>
public static class OptimizerState
{
    public const int Step = 0;
    public const int SquaredNorm = 1;
    public const int LearningRate = 2;
    public const int Skipped = 3;
    public const int EmaDecay = 4;
    public const int Length = 8;
}
