// Twins of kernels/include/ptx.cuh, which is empty here.
#pragma once

// ---- bfloat16 ----

inline unsigned short bf16_bits(float x)
{
    unsigned int bits = __float_as_uint(x);
    if (isnan(x))
        return 0x7fff;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline unsigned int bf16_pair(float low, float high) { return bf16_bits(low) | (unsigned int)bf16_bits(high) << 16; }

// ---- arithmetic ----

inline float exp2_approx(float x) { return exp2f(x); }

// ---- asynchronous copies to shared memory: poisoned when they begin, done by the wait ----

inline unsigned int shared_address(const void* p, EMULATOR_SITE)
{
    return emulator_services.shared_address(emulator_services.worker, p, EMULATOR_HERE("shared_address"));
}

inline void cp_async_16(void* shared, const void* global, bool valid, EMULATOR_SITE)
{
    emulator_services.copy_async(emulator_services.worker, shared, global, 16, valid ? 16 : 0, EMULATOR_HERE("cp_async_16"));
}

inline void cp_async_16_partial(void* shared, const void* global, int bytes, EMULATOR_SITE)
{
    emulator_services.copy_async(emulator_services.worker, shared, global, 16, bytes, EMULATOR_HERE("cp_async_16_partial"));
}

inline void cp_async_4(void* shared, const void* global, bool valid, EMULATOR_SITE)
{
    emulator_services.copy_async(emulator_services.worker, shared, global, 4, valid ? 4 : 0, EMULATOR_HERE("cp_async_4"));
}

inline void cp_async_commit() { emulator_services.copy_commit(emulator_services.worker); }

template <int N>
inline void cp_async_wait()
{
    emulator_services.copy_wait(emulator_services.worker, N);
}

// ---- matrix fragments of a warp ----

inline void emulator_ldmatrix(unsigned int* r, const void* row, int matrices, bool transposed, emulator::Site site)
{
    emulator::LdmatrixOperands operands{row, r, matrices, transposed};
    int lane = EMULATOR_LANE;
    if (lane < 8 * matrices)
    {
        if ((size_t)row % 16 != 0)
            emulator_services.fail(emulator_services.worker, 716, "the row's address is no multiple of 16", site);
        emulator_services.shared_address(emulator_services.worker, row, site);
        emulator_access(row, 16, emulator::EmulatorAccess::Read);
    }
    emulator_warp(0xffffffffu, &operands, emulator_services.ldmatrix, site);
}

inline void ldmatrix_x4(unsigned int (&r)[4], const void* row, EMULATOR_SITE)
{
    emulator_ldmatrix(r, row, 4, false, EMULATOR_HERE("ldmatrix_x4"));
}
inline void ldmatrix_x4_transposed(unsigned int (&r)[4], const void* row, EMULATOR_SITE)
{
    emulator_ldmatrix(r, row, 4, true, EMULATOR_HERE("ldmatrix_x4_transposed"));
}
inline void ldmatrix_x2(unsigned int (&r)[2], const void* row, EMULATOR_SITE)
{
    emulator_ldmatrix(r, row, 2, false, EMULATOR_HERE("ldmatrix_x2"));
}
inline void ldmatrix_x2_transposed(unsigned int (&r)[2], const void* row, EMULATOR_SITE)
{
    emulator_ldmatrix(r, row, 2, true, EMULATOR_HERE("ldmatrix_x2_transposed"));
}

inline void mma_bf16(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2], EMULATOR_SITE)
{
    emulator::MmaOperands operands{d, a, b};
    emulator_warp(0xffffffffu, &operands, emulator_services.mma_bf16, EMULATOR_HERE("mma_bf16"));
}

inline void mma_tf32(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2], EMULATOR_SITE)
{
    emulator::MmaOperands operands{d, a, b};
    emulator_warp(0xffffffffu, &operands, emulator_services.mma_tf32, EMULATOR_HERE("mma_tf32"));
}

// Rounds to nearest, ties away from zero.
inline unsigned int to_tf32(float x)
{
    unsigned int bits = __float_as_uint(x);
    return isnan(x) || isinf(x) ? bits : (bits + 0x1000u) & 0xffffe000u;
}
