using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>A matrix product, cut into pieces that fit the caches. Stretches of k are taken one after the other; for each, B is packed
/// into panels once, by all threads, then blocks of C are made from it, each by one thread. The order in which a sum is
/// taken depends on the sizes alone, so the bits do not depend on the number of threads.</summary>
internal unsafe struct Product
{
    /// <summary>Steps of k in one pass over a panel: six rows of A and what is next of B stay in the first-level cache.</summary>
    private const int BlockK = 512;

    /// <summary>Floats of B that are packed at a time: they stay in the last-level cache.</summary>
    private const int PackedFloats = 1 << 20;

    /// <summary>Rows of C in a piece of work.</summary>
    private const int BlockM = 96;

    /// <summary>Columns of C in a piece of work: with <see cref="BlockK"/>, a packed block of half the second-level cache.</summary>
    private const int BlockN = 256;

    /// <summary>Fewer rows than this do not repay packing a B that can be read where it is.</summary>
    private const int PackRows = 24;

    /// <summary>Up to so many rows, with B transposed, are dot products.</summary>
    private const int DotRows = 16;

    public MatMulShape Shape;
    public float* A;
    public float* B;
    public float* C;
    public float* Bias;
    public float* Residual;
    public bool Accumulate;

    private int startK;
    private int depth;
    private int blocksN;
    private float* packed;

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

            int width = set.Padded(s.N);
            p->blocksN = (s.N + BlockN - 1) / BlockN;
            int stretch = Math.Max(1, PackedFloats / width / BlockK) * BlockK;
            bool pack = s.TransposeB || s.M >= PackRows || s.N % set.Lanes != 0;
            int panels = (s.N + set.PanelWidth - 1) / set.PanelWidth;
            int blocks = (s.M + BlockM - 1) / BlockM * p->blocksN;
            for (p->startK = 0; p->startK < s.K; p->startK += stretch)
            {
                p->depth = Math.Min(stretch, s.K - p->startK);
                p->packed = null;
                if (pack)
                {
                    p->packed = Scratch.Get(ScratchUse.Shared, (long)width * p->depth);
                    int pieces = panels * ((p->depth + BlockK - 1) / BlockK);
                    CpuThreads.For(pieces, Math.Max(1, 8192 / (set.PanelWidth * Math.Min(BlockK, p->depth))), &Pack, p);
                }

                CpuThreads.For(blocks, 1, &Blocks, p);
            }
        }
    }

    /// <summary>Packs one panel of one <see cref="BlockK"/>: panels of a block of k lie one after the other.</summary>
    private static void Pack(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        TileSet set = TileSet.Current;
        MatMulShape s = p->Shape;
        int panels = (s.N + set.PanelWidth - 1) / set.PanelWidth;
        for (int piece = start; piece < end; piece++)
        {
            int j = piece % panels * set.PanelWidth, k = piece / panels * BlockK;
            int count = Math.Min(BlockK, p->depth - k), width = set.WidthAt(j, s.N), columns = Math.Min(width, s.N - j);
            float* to = p->packed + (long)k * set.Padded(s.N) + (long)j * count;
            nint from = p->startK + k;
            if (s.TransposeB)
                Packing.Transposed(p->B + (nint)j * s.LdB + from, s.LdB, count, columns, to, width);
            else
                Packing.Rows(p->B + from * s.LdB + j, s.LdB, count, columns, to, width);
        }
    }

    private static void Blocks(void* context, int start, int end, int worker)
    {
        var p = (Product*)context;
        for (int block = start; block < end; block++)
            p->Block(block / p->blocksN * BlockM, block % p->blocksN * BlockN);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Block(int i0, int j0)
    {
        TileSet set = TileSet.Current;
        MatMulShape s = Shape;
        int i1 = Math.Min(s.M, i0 + BlockM), j1 = Math.Min(s.N, j0 + BlockN), padded = set.Padded(s.N);
        Segment segment = default;
        Tile tile = default;
        tile.Segments = &segment;
        tile.SegmentCount = 1;
        tile.AStep = s.TransposeA ? s.LdA : 1;
        tile.ResidualOffset = (nint)(Residual - C);
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int k = 0; k < depth; k += BlockK)
        {
            int count = Math.Min(BlockK, depth - k);
            bool first = startK + k == 0;
            segment.Count = count;
            tile.Add = !first || Accumulate;
            tile.HasResidual = first && Residual != null;
            for (int i = i0, rows; i < i1; i += rows)
            {
                rows = TileSet.RowsOf(i1 - i);
                float* a = A + (s.TransposeA ? (nint)(startK + k) * s.LdA + i : (nint)i * s.LdA + startK + k);
                segment.SetRows(a, s.TransposeA ? 1 : s.LdA, rows);
                for (int j = j0; j < j1; j += set.PanelWidth)
                {
                    int width = set.WidthAt(j, s.N);
                    segment.B = packed != null ? packed + (long)k * padded + (long)j * count : B + (nint)(startK + k) * s.LdB + j;
                    tile.BStep = packed != null ? width : s.LdB;
                    tile.Columns = Math.Min(width, s.N - j);
                    tile.Bias = first && Bias != null ? Bias + j : null;
                    tile.SetRows(C + (nint)i * s.LdC + j, s.LdC, rows);
                    set.Kernel(rows, width)(&tile);
                }
            }
        }
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
