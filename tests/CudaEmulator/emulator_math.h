// CUDA's arithmetic functions. The fast ones (__expf, ...) are exact here.
#pragma once

#undef isnan
#undef isinf
#undef isfinite
#define EMULATOR_CLASSES(T)                                              \
    inline bool isnan(T x) { return __builtin_isnan(x); }                \
    inline bool isinf(T x) { return __builtin_isinf(x); }                \
    inline bool isfinite(T x) { return __builtin_isfinite(x); }
EMULATOR_CLASSES(float)
EMULATOR_CLASSES(double)

#define EMULATOR_FLOAT(name) \
    inline float name(float x) { return name##f(x); }
EMULATOR_FLOAT(sqrt)
EMULATOR_FLOAT(exp)
EMULATOR_FLOAT(exp2)
EMULATOR_FLOAT(expm1)
EMULATOR_FLOAT(log)
EMULATOR_FLOAT(log2)
EMULATOR_FLOAT(log1p)
EMULATOR_FLOAT(sin)
EMULATOR_FLOAT(cos)
EMULATOR_FLOAT(tanh)
EMULATOR_FLOAT(erf)
EMULATOR_FLOAT(fabs)
EMULATOR_FLOAT(floor)
EMULATOR_FLOAT(ceil)
EMULATOR_FLOAT(rint)
EMULATOR_FLOAT(round)
EMULATOR_FLOAT(trunc)
inline float pow(float x, float y) { return powf(x, y); }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return exp10f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline void __sincosf(float x, float* s, float* c) { sincosf(x, s, c); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }
inline float sinpif(float x) { return (float)sin(M_PI * fmod((double)x, 2.0)); }
inline float cospif(float x) { return (float)cos(M_PI * fmod((double)x, 2.0)); }
inline void sincospif(float x, float* s, float* c) { *s = sinpif(x), *c = cospif(x); }

inline float __fadd_rn(float a, float b) { volatile float c = a + b; return c; }
inline float __fsub_rn(float a, float b) { volatile float c = a - b; return c; }
inline float __fmul_rn(float a, float b) { volatile float c = a * b; return c; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __frsqrt_rn(float a) { return 1.0f / sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { volatile double c = a + b; return c; }
inline double __dmul_rn(double a, double b) { volatile double c = a * b; return c; }

template <typename To, typename From>
inline To emulator_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof(y));
    return y;
}

inline int __float_as_int(float x) { return emulator_bits<int>(x); }
inline unsigned int __float_as_uint(float x) { return emulator_bits<unsigned int>(x); }
inline float __int_as_float(int x) { return emulator_bits<float>(x); }
inline float __uint_as_float(unsigned int x) { return emulator_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator_bits<double>(x); }

// Conversions saturate as on the GPU; NaN becomes 0.
template <typename To>
inline To emulator_saturate(double x, double low, double high, To lowest, To highest)
{
    return isnan(x) ? To(0) : x <= low ? lowest : x >= high ? highest : (To)x;
}

inline int emulator_int(double x) { return emulator_saturate<int>(x, -2147483648.0, 2147483647.0, -2147483647 - 1, 2147483647); }
inline unsigned int emulator_uint(double x) { return emulator_saturate<unsigned int>(x, 0, 4294967295.0, 0u, ~0u); }
inline int __float2int_rn(float x) { return emulator_int(rint(x)); }
inline int __float2int_rz(float x) { return emulator_int(trunc(x)); }
inline int __float2int_rd(float x) { return emulator_int(floor(x)); }
inline int __float2int_ru(float x) { return emulator_int(ceil(x)); }
inline unsigned int __float2uint_rn(float x) { return emulator_uint(rint(x)); }
inline unsigned int __float2uint_rz(float x) { return emulator_uint(trunc(x)); }
inline unsigned int __float2uint_rd(float x) { return emulator_uint(floor(x)); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned int x) { return (float)x; }
inline float __ll2float_rn(long long x) { return (float)x; }
inline float __ull2float_rn(unsigned long long x) { return (float)x; }
inline float __double2float_rn(double x) { return (float)x; }

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned int)x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

inline unsigned int __brev(unsigned int x)
{
    unsigned int y = 0;
    for (int i = 0; i < 32; ++i)
        y |= (x >> i & 1u) << (31 - i);
    return y;
}

inline unsigned int __umulhi(unsigned int a, unsigned int b) { return (unsigned int)((unsigned long long)a * b >> 32); }
inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int n)
{
    return (unsigned int)((((unsigned long long)high << 32 | low) << (n & 31)) >> 32);
}
inline unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int n)
{
    return (unsigned int)(((unsigned long long)high << 32 | low) >> (n & 31));
}

inline unsigned int __byte_perm(unsigned int a, unsigned int b, unsigned int selector)
{
    unsigned long long bytes = (unsigned long long)b << 32 | a;
    unsigned int y = 0;
    for (int i = 0; i < 4; ++i)
    {
        unsigned int byte = (unsigned int)(bytes >> (8 * (selector >> (4 * i) & 7))) & 255u;
        if (selector >> (4 * i) & 8)
            byte = byte & 128u ? 255u : 0u;
        y |= byte << (8 * i);
    }
    return y;
}

#define EMULATOR_MIN_MAX(T)                                 \
    inline T min(T a, T b) { return b < a ? b : a; }        \
    inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned int)
EMULATOR_MIN_MAX(long)
EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
inline unsigned int min(unsigned int a, int b) { return min(a, (unsigned int)b); }
inline unsigned int max(unsigned int a, int b) { return max(a, (unsigned int)b); }
inline unsigned int min(int a, unsigned int b) { return min((unsigned int)a, b); }
inline unsigned int max(int a, unsigned int b) { return max((unsigned int)a, b); }
inline long long min(long long a, int b) { return min(a, (long long)b); }
inline long long min(int a, long long b) { return min((long long)a, b); }
inline long long max(long long a, int b) { return max(a, (long long)b); }
inline long long max(int a, long long b) { return max((long long)a, b); }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// ---- loads and stores with a cache hint ----

#define EMULATOR_LOAD(name) \
    template <typename T>   \
    inline T name(const T* p) { return *p; }
#define EMULATOR_STORE(name) \
    template <typename T>    \
    inline void name(T* p, T x) { *p = x; }
EMULATOR_LOAD(__ldg)
EMULATOR_LOAD(__ldcg)
EMULATOR_LOAD(__ldca)
EMULATOR_LOAD(__ldcs)
EMULATOR_LOAD(__ldlu)
EMULATOR_LOAD(__ldcv)
EMULATOR_STORE(__stcg)
EMULATOR_STORE(__stcs)
EMULATOR_STORE(__stwb)
EMULATOR_STORE(__stwt)

// ---- atomics: two workers run blocks side by side ----

template <typename T>
using EmulatorValue = typename EmulatorPlain<T>::type; // converted, as the value of an atomic function is

#define EMULATOR_ATOMIC(name, builtin)                                                                                   \
    template <typename T>                                                                                                \
    EMULATOR_UNCHECKED inline T name(T* p, EmulatorValue<T> x)                                                           \
    {                                                                                                                    \
        static_assert(T(0.5f) == T(0), "no float atomics");                                                              \
        emulator_access(p, sizeof(T), emulator::EmulatorAccess::Atomic);                                                 \
        return builtin(p, x, __ATOMIC_SEQ_CST);                                                                          \
    }

EMULATOR_ATOMIC(atomicAdd, __atomic_fetch_add)
EMULATOR_ATOMIC(atomicSub, __atomic_fetch_sub)
EMULATOR_ATOMIC(atomicAnd, __atomic_fetch_and)
EMULATOR_ATOMIC(atomicOr, __atomic_fetch_or)
EMULATOR_ATOMIC(atomicXor, __atomic_fetch_xor)

template <typename T>
EMULATOR_UNCHECKED inline T atomicExch(T* p, EmulatorValue<T> x)
{
    emulator_access(p, sizeof(T), emulator::EmulatorAccess::Atomic);
    return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);
}

template <typename T>
EMULATOR_UNCHECKED inline T atomicCAS(T* p, EmulatorValue<T> expected, EmulatorValue<T> x)
{
    emulator_access(p, sizeof(T), emulator::EmulatorAccess::Atomic);
    T old = expected;
    __atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return old;
}

template <typename T, typename F>
EMULATOR_UNCHECKED inline T emulator_atomic(T* p, F change)
{
    emulator_access(p, sizeof(T), emulator::EmulatorAccess::Atomic);
    T old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(p, &old, change(old), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    return old;
}

template <typename T> inline T atomicMin(T* p, EmulatorValue<T> x)
{
    return emulator_atomic(p, [x](T y) { return y < x ? y : x;
    });
}
template <typename T> inline T atomicMax(T* p, EmulatorValue<T> x)
{
    return emulator_atomic(p, [x](T y) { return y > x ? y : x;
    });
}
inline unsigned int atomicInc(unsigned int* p, unsigned int x)
{
    return emulator_atomic(p, [x](unsigned int y) { return y >= x ? 0 : y + 1;
    });
}
inline unsigned int atomicDec(unsigned int* p, unsigned int x)
{
    return emulator_atomic(p, [x](unsigned int y) { return y == 0 || y > x ? x : y - 1;
    });
}

EMULATOR_UNCHECKED inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
EMULATOR_UNCHECKED inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
EMULATOR_UNCHECKED inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline long long clock64() { return (long long)__builtin_ia32_rdtsc(); }
inline int clock() { return (int)clock64(); }
