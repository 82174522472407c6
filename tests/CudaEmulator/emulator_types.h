// Vector types, as CUDA lays them out, and the little of the standard library's metaprogramming that registration needs.
#pragma once

#define EMULATOR_VECTOR(T, name, align2, align4)                                                                         \
    struct name##1 { T x; };                                                                                             \
    struct __align__(align2) name##2 { T x, y; };                                                                        \
    struct name##3 { T x, y, z; };                                                                                       \
    struct __align__(align4) name##4 { T x, y, z, w; };                                                                  \
    inline name##1 make_##name##1(T x) { return {x}; }                                                                   \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                           \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                                   \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMULATOR_VECTOR(signed char, char, 2, 4)
EMULATOR_VECTOR(unsigned char, uchar, 2, 4)
EMULATOR_VECTOR(short, short, 4, 8)
EMULATOR_VECTOR(unsigned short, ushort, 4, 8)
EMULATOR_VECTOR(int, int, 8, 16)
EMULATOR_VECTOR(unsigned int, uint, 8, 16)
EMULATOR_VECTOR(long long, longlong, 16, 16)
EMULATOR_VECTOR(unsigned long long, ulonglong, 16, 16)
EMULATOR_VECTOR(float, float, 8, 16)
EMULATOR_VECTOR(double, double, 16, 16)

template <size_t... I>
struct emulator_index_sequence
{
};

template <size_t N, size_t... I>
struct EmulatorIndices : EmulatorIndices<N - 1, N - 1, I...>
{
};

template <size_t... I>
struct EmulatorIndices<0, I...>
{
    using type = emulator_index_sequence<I...>;
};

template <size_t N>
using emulator_make_index_sequence = typename EmulatorIndices<N>::type;

template <typename T>
struct EmulatorPlain
{
    using type = T;
};

template <typename T>
struct EmulatorPlain<const T>
{
    using type = T;
};

template <typename T>
using emulator_remove_const = typename EmulatorPlain<T>::type;

constexpr int emulator_first(int threads, int = 0, int = 0) { return threads; }
