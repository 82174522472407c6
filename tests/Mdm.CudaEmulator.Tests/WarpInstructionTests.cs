using Mdm.Kernels.Cuda;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The emulator's matrix instructions against plain sums, in every order of threads.</summary>
[TestFixture("forward")]
[TestFixture("reverse")]
[TestFixture("shuffle:7")]
[EmulatorOnly]
public sealed class WarpInstructionTests(string order)
{
    private const int Width = 20; // floats of a row in memory, more than the matrices have

    // C[16, 8] = A[16, 16] B: B is read as rows of B^T[8, 16] (plain) or as rows of B[16, 8] (transposed).
    private const string Source = """
        typedef Vec<bf16, 8> Eight;

        extern "C" __global__ void product_bf16(const float* a, const float* b, float* c, int transposed)
        {
            SHARED(Eight, shared_a[16 * 3]);
            SHARED(Eight, shared_b[16 * 3]);
            bf16* sa = shared_a[0].v;
            bf16* sb = shared_b[0].v;
            int lane = threadIdx.x;
            for (int i = lane; i < 16 * 16; i += 32)
                sa[i / 16 * 24 + i % 16] = from_float<bf16>(a[i / 16 * 20 + i % 16]);
            for (int i = lane; i < 16 * 8; i += 32)
            {
                int k = i / 8, n = i % 8;
                sb[transposed ? k * 24 + n : n * 24 + k] = from_float<bf16>(b[k * 20 + n]);
            }
            __syncwarp();
            unsigned int fa[4], fb[2];
            ldmatrix_x4(fa, sa + (lane % 16) * 24 + lane / 16 * 8);
            if (transposed)
                ldmatrix_x2_transposed(fb, sb + (lane % 16) * 24);
            else
                ldmatrix_x2(fb, sb + (lane % 8) * 24 + lane / 8 % 2 * 8);
            float d[4] = {1, 1, 1, 1};
            mma_bf16(d, fa, fb);
            for (int i = 0; i < 4; ++i)
                c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
        }

        extern "C" __global__ void product_tf32(const float* a, const float* b, float* c)
        {
            int lane = threadIdx.x, row = lane / 4, column = lane % 4;
            float d[4] = {1, 1, 1, 1};
            for (int k = 0; k < 16; k += 8)
            {
                unsigned int fa[4], fb[2];
                for (int i = 0; i < 4; ++i)
                    fa[i] = to_tf32(a[(row + i % 2 * 8) * 20 + k + column + i / 2 * 4]);
                for (int i = 0; i < 2; ++i)
                    fb[i] = to_tf32(b[(k + column + 4 * i) * 20 + row]);
                mma_tf32(d, fa, fb);
            }
            for (int i = 0; i < 4; ++i)
                c[(row + i / 2 * 8) * 8 + column * 2 + i % 2] = d[i];
        }

        extern "C" __global__ void rounded(const float* x, float* bf, float* tf)
        {
            bf[threadIdx.x] = to_float(from_float<bf16>(x[threadIdx.x]));
            tf[threadIdx.x] = __uint_as_float(to_tf32(x[threadIdx.x]));
        }

        extern "C" __global__ void votes(unsigned int* y)
        {
            int lane = threadIdx.x;
            unsigned int odd = __ballot_sync(0xffffffffu, lane % 2), half = lane < 16 ? 0xffffu : 0xffff0000u;
            y[lane] = odd;
            y[32 + lane] = __shfl_up_sync(0xffffffffu, lane, 3);
            y[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
            y[96 + lane] = __shfl_xor_sync(half, lane, 5);
            y[128 + lane] = __reduce_add_sync(half, lane);
            y[160 + lane] = __syncthreads_count(lane < 11);
        }
        """;

    [OneTimeSetUp]
    public void Choose() => Planted.SetOrder(order);

    [OneTimeTearDown]
    public void ChooseTheUsual() => Planted.SetOrder("shuffle");

    [TestCase(0)]
    [TestCase(1)]
    public void ProductOfBFloat16(int transposed)
    {
        using var planted = new Planted(Source);
        (float[] a, float[] b) = Draw(v => (float)Math.Round(v * 64) / 64); // exact in bfloat16
        nint c = Planted.Allocate(16 * 8 * 4);
        int code = planted.Launch("product_bf16", 1, 32, 0, (long)planted.Upload(a), (long)planted.Upload(b), (long)c, transposed);
        Assert.That(code, Is.Zero);
        Assert.That(planted.Download(c, 16 * 8), Is.EqualTo(Expected(a, b)).Within(1e-5));
    }

    [Test]
    public void ProductOfTf32()
    {
        using var planted = new Planted(Source);
        (float[] a, float[] b) = Draw(v => (float)Math.Round(v * 512) / 512); // exact in TF32
        nint c = Planted.Allocate(16 * 8 * 4);
        Assert.That(planted.Launch("product_tf32", 1, 32, 0, (long)planted.Upload(a), (long)planted.Upload(b), (long)c), Is.Zero);
        Assert.That(planted.Download(c, 16 * 8), Is.EqualTo(Expected(a, b)).Within(1e-5));
    }

    [Test]
    public void Rounding()
    {
        using var planted = new Planted(Source);
        float ulp = MathF.ScaleB(1, -7), tf32Ulp = MathF.ScaleB(1, -10);
        const float infinity = float.PositiveInfinity;
        float[] x =
        [
            1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51f * ulp, -1 - ulp / 2, float.NaN, infinity, 1 + tf32Ulp / 2, float.MaxValue,
        ];
        float[] bf = [1, 1 + 2 * ulp, 1 + ulp, -1, float.NaN, infinity, 1, infinity];
        nint toBf = Planted.Allocate(32), toTf = Planted.Allocate(32);
        Assert.That(planted.Launch("rounded", 1, 8, 0, (long)planted.Upload(x), (long)toBf, (long)toTf), Is.Zero);
        Assert.That(planted.Download(toBf, 8), Is.EqualTo(bf));
        Assert.That(planted.Download(toTf, 8)[6], Is.EqualTo(1 + tf32Ulp)); // ties go away from zero
    }

    [Test]
    public void VotesAndShuffles()
    {
        using var planted = new Planted(Source);
        nint y = Planted.Allocate(192 * 4);
        Assert.That(planted.Launch("votes", 1, 32, 0, (long)y), Is.Zero);
        uint[] found = Array.ConvertAll(planted.Download(y, 192), BitConverter.SingleToUInt32Bits);
        Assert.Multiple(() =>
        {
            for (int lane = 0; lane < 32; lane++)
            {
                int half = lane / 16 * 16;
                Assert.That(found[lane], Is.EqualTo(0xaaaaaaaa));
                Assert.That(found[32 + lane], Is.EqualTo(lane < 3 ? lane : lane - 3));
                Assert.That(found[64 + lane], Is.EqualTo(lane % 8 + 3 < 8 ? lane + 3 : lane));
                Assert.That(found[96 + lane], Is.EqualTo(lane ^ 5));
                Assert.That(found[128 + lane], Is.EqualTo(Enumerable.Range(half, 16).Sum()));
                Assert.That(found[160 + lane], Is.EqualTo(11));
            }
        });
    }

    private static (float[] A, float[] B) Draw(Func<double, float> round)
    {
        var random = new Random(5);
        float[] Matrix() => [.. Enumerable.Range(0, 16 * Width).Select(_ => round(2 * random.NextDouble() - 1))];
        return (Matrix(), Matrix());
    }

    private static float[] Expected(float[] a, float[] b)
    {
        float[] c = new float[16 * 8];
        for (int row = 0; row < 16; row++)
        {
            for (int column = 0; column < 8; column++)
            {
                double sum = 1;
                for (int k = 0; k < 16; k++)
                    sum += (double)a[row * Width + k] * b[k * Width + column];
                c[row * 8 + column] = (float)sum;
            }
        }

        return c;
    }
}
