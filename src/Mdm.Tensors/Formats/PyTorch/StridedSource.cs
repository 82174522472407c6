namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>A view of a mapped storage whose elements do not lie in row-major order: put in order piece by piece.</summary>
/// <param name="file">The mapped file.</param>
/// <param name="start">Place of element (0, 0, ..) in the file, bytes.</param>
/// <param name="elementBytes">Size of an element.</param>
/// <param name="sizes">Extents, none of them 0, at least one dimension.</param>
/// <param name="strides">Elements; not negative.</param>
/// <param name="checksum">Of the storage; null: none is stated.</param>
internal sealed class StridedSource(
    MappedFile file, long start, int elementBytes, long[] sizes, long[] strides, FileChecksum? checksum) : TensorSource
{
    public override void Visit(ChunkVisitor visitor, int unit)
    {
        checksum?.Require();
        byte[] piece = new byte[PieceLength(unit)];
        int filled = 0;
        long[] index = new long[sizes.Length];
        long place = start;
        while (true)
        {
            file.Slice(place, elementBytes).CopyTo(piece.AsSpan(filled));
            filled += elementBytes;
            if (filled == piece.Length)
            {
                visitor(piece);
                filled = 0;
            }

            int dimension = sizes.Length - 1;
            while (dimension >= 0 && index[dimension] == sizes[dimension] - 1)
            {
                place -= index[dimension] * strides[dimension] * elementBytes;
                index[dimension--] = 0;
            }

            if (dimension < 0)
                break;
            index[dimension]++;
            place += strides[dimension] * elementBytes;
        }

        visitor(piece.AsSpan(0, filled));
    }
}
