// The end of a product that was split over K: c[row(m), n] = epilogue(sum over the parts of partial[part, m, n]), in the order
// of the parts, with the epilogue of include/output.cuh. Without parts: the epilogue of a product that c has already, where
// accumulate is set; with n = 0 there is no product to finish. Then the sums of the rows of A (RowSums there), if they are wanted.
//
// partial is float [parts, M, columns], columns a multiple of 8. A thread has the elements of 16 bytes of a row of activations.
// Grid: x = (chunks of all rows + rows) / 256. Block: 256.
//
// Versions (not measured yet; limit: 4 parts M N bytes / 3 TB/s, less what the second-level cache still holds):
//   one thread a chunk, parts in a loop   80 % of copy bandwidth predicted
#include "output.cuh"

extern "C" __global__ void __launch_bounds__(256) splitk_sum(Output output, RowMap map, int m, int n, int parts)
{
    const int width = chunk_elements<MDM_T>;
    int row_chunks = (n + width - 1) / width;
    i64 index = (i64)blockIdx.x * blockDim.x + threadIdx.x, chunks = (i64)m * row_chunks;
    if (index >= chunks)
    {
        if (output.rows.partial != nullptr && index - chunks < m)
            output.rows.finish(m, (int)(index - chunks));
        return;
    }

    i64 row = index / row_chunks;
    int column = (int)(index - row * row_chunks) * width, count = n - column;
    const float* partial = output.partial + row * output.columns + column;
    float v[width];
    read_values(partial, parts > 0 ? width : 0, parts > 0, v);
    for (int part = 1; part < parts; part++)
        add_values<float>(partial, (i64)part * m * output.columns, true, width, true, v);
    finish<MDM_T>(output, map((int)row) * output.ldc + column, column, count < width ? count : width, v);
}
