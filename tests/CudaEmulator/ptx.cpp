// Instructions of a whole warp, carried out once all its lanes have come. Layouts of the fragments: PTX ISA, "Matrix
// multiply-accumulate operation using mma instruction".
#include <cstring>

#include "runtime.h"

namespace emulator
{
namespace
{
float as_float(unsigned int bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

// d[16, 8] += a[16, K] b[K, 8]; lane l holds rows l/4 and l/4 + 8, columns 2(l%4) and the next of d.
template <int K>
void multiply(void* const* lanes, const float (&a)[16][K], const float (&b)[K][8])
{
    float d[16][8];
    for (int lane = 0; lane < 32; ++lane)
    {
        auto own = static_cast<MmaOperands*>(lanes[lane])->d;
        for (int i = 0; i < 4; ++i)
            d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = own[i];
    }
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < K; ++k)
            for (int column = 0; column < 8; ++column)
                d[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < 32; ++lane)
    {
        auto own = static_cast<MmaOperands*>(lanes[lane])->d;
        for (int i = 0; i < 4; ++i)
            own[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    }
}
} // namespace

void execute_mma_bf16(void* const* lanes, int)
{
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane)
    {
        auto own = static_cast<MmaOperands*>(lanes[lane]);
        int group = lane / 4, pair = lane % 4 * 2;
        for (int i = 0; i < 4; ++i)
        {
            a[group + i % 2 * 8][pair + i / 2 * 8] = as_float(own->a[i] << 16);
            a[group + i % 2 * 8][pair + i / 2 * 8 + 1] = as_float(own->a[i] & 0xffff0000u);
        }
        for (int i = 0; i < 2; ++i)
        {
            b[pair + 8 * i][group] = as_float(own->b[i] << 16);
            b[pair + 8 * i + 1][group] = as_float(own->b[i] & 0xffff0000u);
        }
    }
    multiply<16>(lanes, a, b);
}

void execute_mma_tf32(void* const* lanes, int)
{
    constexpr unsigned int significant = 0xffffe000u; // the unit does not see the other bits
    float a[16][8], b[8][8];
    for (int lane = 0; lane < 32; ++lane)
    {
        auto own = static_cast<MmaOperands*>(lanes[lane]);
        int group = lane / 4, column = lane % 4;
        for (int i = 0; i < 4; ++i)
            a[group + i % 2 * 8][column + i / 2 * 4] = as_float(own->a[i] & significant);
        for (int i = 0; i < 2; ++i)
            b[column + 4 * i][group] = as_float(own->b[i] & significant);
    }
    multiply<8>(lanes, a, b);
}

void execute_ldmatrix(void* const* lanes, int)
{
    int matrices = static_cast<LdmatrixOperands*>(lanes[0])->matrices;
    bool transposed = static_cast<LdmatrixOperands*>(lanes[0])->transposed;
    for (int m = 0; m < matrices; ++m)
    {
        unsigned short matrix[8][8];
        for (int row = 0; row < 8; ++row)
            memcpy(matrix[row], static_cast<LdmatrixOperands*>(lanes[8 * m + row])->row, 16);
        for (int lane = 0; lane < 32; ++lane)
        {
            int row = lane / 4, pair = lane % 4 * 2;
            unsigned int low = transposed ? matrix[pair][row] : matrix[row][pair];
            unsigned int high = transposed ? matrix[pair + 1][row] : matrix[row][pair + 1];
            static_cast<LdmatrixOperands*>(lanes[lane])->r[m] = low | high << 16;
        }
    }
}
} // namespace emulator
