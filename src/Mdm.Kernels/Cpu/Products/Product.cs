using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>A matrix product, cut into blocks of C that threads take in turn. For each stretch of k a block packs its part of
/// B into panels that stay in the second-level cache, and passes all its rows of A over them. A small B is packed once for
/// all blocks. The order in which a sum is taken depends on the sizes alone, so the bits do not depend on the number of
/// threads.</summary>
internal unsafe struct Product
{
    /// <summary>Steps of k in one pass over a panel: six rows of A and what is next of B stay in the first-level
    /// cache.</summary>
    private const int BlockK = 512;

    /// <summary>Columns of C in a block: with <see cref="BlockK"/>, packed B takes half the second-level cache.</summary>
    private const int BlockN = 256;

    /// <summary>Rows of C in a block where B is packed once: few, so that threads that are slowed leave work to the
    /// others.</summary>
    private const int SharedRows = 96;

    /// <summary>Rows of C in a block that packs B for itself: enough to repay it.</summary>
    private const int OwnRows = 384;

    /// <summary>Floats of a B that is packed once for all: it fits the second-level cache.</summary>
    private const int SharedFloats = 128 * 1024;

    /// <summary>Fewer rows than this do not repay packing a B that can be read where it is.</summary>
    private const int PackRows = 48;

    /// <summary>Addresses this many floats apart share a set of the first-level cache.</summary>
    private const int SetStride = 1024;

    /// <summary>Rows of a transposed A that are copied together: whole cache lines, whole tiles.</summary>
    private const int StripRows = 48;

    /// <summary>Floats of a transposed A that is copied once for all blocks: twice its size passes through the
    /// caches.</summary>
    private const int SharedFloatsA = 8 * 1024 * 1024;

    /// <summary>Up to so many rows, with B transposed, are dot products.</summary>
    private const int DotRows = 16;

    public MatMulShape Shape;
    public float* A;
    public float* B;
    public float* C;
    public float* Bias;
    public float* Residual;
    public bool Accumulate;

    private int blockM;
    private int blockN;
    private int blocksN;
    private bool packs;
    private float* shared;
    private float* sharedA;

    public static void Run(ref Product job)
    {
        MatMulShape s = job.Shape;
        TileSet set = TileSet.Current;
        fixed (Product* p = &job)
        {
            if (!s.TransposeA && s.TransposeB && (s.M <= DotRows || s.N <= DotKernel.Size) && s.K >= set.Lanes)
            {
                int tiles = s.M <= DotRows ? (s.N + 3) / 4 : (s.M + 3) / 4;
                CpuThreads.For(tiles, Math.Clamp(tiles / (4 * CpuThreads.Count), 1, 64), &Dots, p);
                return;
            }

            p->Divide(set);
            if (p->shared != null)
            {
                int panels = (s.N + set.PanelWidth - 1) / set.PanelWidth;
                int pieces = panels * ((s.K + BlockK - 1) / BlockK);
                CpuThreads.For(pieces, Math.Max(1, 8192 / (set.PanelWidth * Math.Min(BlockK, s.K))), &PackShared, p);
            }

            if (p->sharedA != null)
                CpuThreads.For(Strips(s.M) * ((s.K + BlockK - 1) / BlockK), 1, &PackSharedA, p);
            CpuThreads.For((s.M + p->blockM - 1) / p->blockM * p->blocksN, 1, &Blocks, p);
        }
    }

    /// <summary>Chooses blocks: as large as leaves about four for each thread.</summary>
    private void Divide(TileSet set)
    {
        int wanted = 4 * CpuThreads.Count, m = Shape.M, n = Shape.N;
        packs = Shape.TransposeB || m >= PackRows || n % set.Lanes != 0;
        bool share = packs && (long)set.Padded(n) * Shape.K <= SharedFloats;
        shared = share ? Scratch.Get(ScratchUse.Shared, (long)set.Padded(n) * Shape.K) : null;
        blockN = BlockN;
        // Every block of rows packs B again, so there are no more of them than threads need.
        blockM = Math.Min(m, share || !packs ? SharedRows : Math.Max(OwnRows, Blocks(m, Math.Max(1, wanted / Blocks(n, BlockN)))));
        blockM = Blocks(blockM, Tile.MaxRows) * Tile.MaxRows;
        while (Blocks(m, blockM) * Blocks(n, blockN) < wanted && blockN > set.PanelWidth && blockN > 64)
            blockN /= 2;
        if (Blocks(m, blockM) * Blocks(n, blockN) < wanted)
            blockM = Math.Min(m, Math.Max(6, Blocks(m, wanted / Blocks(n, blockN) * 6) * 6));
        blocksN = Blocks(n, blockN);
        packs = shared == null && (Shape.TransposeB || blockM >= PackRows || n % set.Lanes != 0);
        long floatsA = (long)Strips(m) * StripRows * Shape.K;
        sharedA = CopiesA(Math.Min(BlockK, Shape.K)) && blocksN > 1 && floatsA <= SharedFloatsA
            ? Scratch.Get(ScratchUse.SharedA, floatsA)
            : null;

        static int Blocks(int length, int block) => (length + block - 1) / block;
    }

    /// <summary>Packs one panel of one <see cref="BlockK"/>; a block of k has its panels one after the other.</summary>
    private static void PackShared(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        TileSet set = TileSet.Current;
        int panels = (p->Shape.N + set.PanelWidth - 1) / set.PanelWidth;
        for (int piece = start; piece < end; piece++)
        {
            int j = piece % panels * set.PanelWidth, k = piece / panels * BlockK, count = Math.Min(BlockK, p->Shape.K - k);
            p->Pack(set, k, count, j, p->shared + (long)k * set.Padded(p->Shape.N) + (long)j * count);
        }
    }

    private static int Strips(int rows) => (rows + StripRows - 1) / StripRows;

    /// <summary>Whether all steps along k of a transposed A fall into the same few cache sets.</summary>
    private readonly bool CopiesA(int count) => Shape.TransposeA && count >= BlockK / 2 && Shape.LdA % SetStride == 0;

    /// <summary>Copies one strip of one <see cref="BlockK"/> of a transposed A; a block of k has its strips one after the
    /// other.</summary>
    private static void PackSharedA(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        int strips = Strips(p->Shape.M);
        for (int piece = start; piece < end; piece++)
        {
            int i = piece % strips * StripRows, k = piece / strips * BlockK, count = Math.Min(BlockK, p->Shape.K - k);
            float* to = p->sharedA + (long)k * strips * StripRows + (long)i * count;
            Packing.Tiles(p->A + (nint)k * p->Shape.LdA + i, p->Shape.LdA, count, Math.Min(StripRows, p->Shape.M - i), to);
        }
    }

    private readonly void Pack(TileSet set, int k, int count, int j, float* to)
    {
        int width = set.WidthAt(j, Shape.N), columns = Math.Min(width, Shape.N - j);
        if (Shape.TransposeB)
            Packing.Transposed(B + (nint)j * Shape.LdB + k, Shape.LdB, count, columns, to, width);
        else
            Packing.Rows(B + (nint)k * Shape.LdB + j, Shape.LdB, count, columns, to, width);
    }

    private static void Blocks(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        TileSet set = TileSet.Current;
        for (int block = start; block < end; block++)
        {
            int i0 = block / p->blocksN * p->blockM, i1 = Math.Min(p->Shape.M, i0 + p->blockM);
            int j0 = block % p->blocksN * p->blockN, j1 = Math.Min(p->Shape.N, j0 + p->blockN);
            for (int k = 0; k < p->Shape.K; k += BlockK)
            {
                int count = Math.Min(BlockK, p->Shape.K - k);
                float* packed = p->shared == null ? null : p->shared + (long)k * set.Padded(p->Shape.N) + (long)j0 * count;
                if (p->packs)
                {
                    packed = Scratch.Get(ScratchUse.PackedB, (long)BlockN * BlockK);
                    for (int j = j0; j < j1; j += set.PanelWidth)
                        p->Pack(set, k, count, j, packed + (long)(j - j0) * count);
                }

                p->Block(set, i0, i1, j0, j1, k, count, packed);
            }
        }
    }

    private readonly void Block(TileSet set, int i0, int i1, int j0, int j1, int k, int count, float* packed)
    {
        if (!Shape.TransposeA)
        {
            Strip(set, i0, i1, j0, j1, k, count, packed, A + (nint)i0 * Shape.LdA + k, Shape.LdA, 1);
            return;
        }

        if (sharedA != null)
        {
            float* strip = sharedA + (long)k * Strips(Shape.M) * StripRows + (long)i0 * count;
            Strip(set, i0, i1, j0, j1, k, count, packed, strip, count, Tile.MaxRows);
            return;
        }

        if (!CopiesA(count))
        {
            Strip(set, i0, i1, j0, j1, k, count, packed, A + (nint)k * Shape.LdA + i0, 1, Shape.LdA);
            return;
        }

        // A strip of tiles is copied first.
        float* copy = Scratch.Get(ScratchUse.PackedA, (long)StripRows * BlockK);
        for (int i = i0; i < i1; i += StripRows)
        {
            int rows = Math.Min(StripRows, i1 - i);
            Packing.Tiles(A + (nint)k * Shape.LdA + i, Shape.LdA, count, rows, copy);
            Strip(set, i, i + rows, j0, j1, k, count, packed, copy, count, Tile.MaxRows);
        }
    }

    /// <summary>Rows i0..i1-1 by columns j0..j1-1, for one stretch of k. Row i, step k of
    /// A is a[(i - i0)·rowStep + k·step], but copied tiles have their rows side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Strip(
        TileSet set, int i0, int i1, int j0, int j1, int k, int count, float* packed, float* a, nint rowStep, nint step)
    {
        MatMulShape s = Shape;
        Segment segment = default;
        Tile tile = default;
        bool first = k == 0, copied = Shape.TransposeA && rowStep != 1;
        segment.Count = count;
        tile.Segments = &segment;
        tile.SegmentCount = 1;
        tile.AStep = step;
        tile.Add = !first || Accumulate;
        tile.HasResidual = first && Residual != null;
        tile.ResidualOffset = (nint)(Residual - C);
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int i = i0, rows; i < i1; i += rows)
        {
            rows = copied ? Math.Min(Tile.MaxRows, i1 - i) : TileSet.RowsOf(i1 - i);
            float* tileRows = a + (i - i0) * rowStep;
            segment.SetRows(tileRows, copied ? 1 : rowStep, rows);
            if (step == 1 && i + rows < i1)
                Prefetch(tileRows + rows * rowStep, rowStep, Math.Min(rows, i1 - i - rows), count);
            for (int j = j0, width; j < j1; j += width)
            {
                width = set.WidthAt(j, s.N);
                segment.B = packed != null ? packed + (nint)(j - j0) * count : B + (nint)k * s.LdB + j;
                tile.BStep = packed != null ? width : s.LdB;
                tile.Columns = Math.Min(width, s.N - j);
                tile.Bias = first && Bias != null ? Bias + j : null;
                tile.SetRows(C + (nint)i * s.LdC + j, s.LdC, rows);
                set.Kernel(rows, width)(&tile);
            }
        }
    }

    /// <summary>Fetches the next tile's rows while this one is computed: too short a stretch for the processor to
    /// foresee.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float* a, nint rowStep, int rows, int count)
    {
        for (int row = 0; row < rows && Sse.IsSupported; row++, a += rowStep)
            for (int k = 0; k < count; k += 16)
                Sse.Prefetch1(a + k);
    }

    /// <summary>Tiles of 4x4 dot products: columns are shared among threads if rows are few, else rows.</summary>
    private static void Dots(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        MatMulShape s = p->Shape;
        TileSet set = TileSet.Current;
        bool byColumns = s.M <= DotRows;
        int i0 = byColumns ? 0 : start * 4, i1 = byColumns ? s.M : Math.Min(s.M, end * 4);
        int j0 = byColumns ? start * 4 : 0, j1 = byColumns ? Math.Min(s.N, end * 4) : s.N;
        Segment segment = default;
        Tile tile = default;
        segment.Count = s.K;
        tile.Segments = &segment;
        tile.SegmentCount = 1;
        tile.BStep = s.LdB;
        tile.Add = p->Accumulate;
        tile.HasResidual = p->Residual != null;
        tile.ResidualOffset = (nint)(p->Residual - p->C);
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int j = j0; j < j1; j += 4)
        {
            segment.B = p->B + (nint)j * s.LdB;
            tile.Columns = Math.Min(4, s.N - j);
            tile.Bias = p->Bias == null ? null : p->Bias + j;
            for (int i = i0; i < i1; i += 4)
            {
                int rows = Math.Min(4, i1 - i);
                segment.SetRows(p->A + (nint)i * s.LdA, s.LdA, rows);
                tile.SetRows(p->C + (nint)i * s.LdC + j, s.LdC, rows);
                set.Dot(&tile);
            }
        }
    }
}
