// The CUDA language for g++: included before every kernel source. Threads are fibers of the library (bridge.h).
#pragma once
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS // C's math.h: half the time of a compilation would go into the other
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bridge.h"

#define __global__ __mdm_global__
#define __launch_bounds__(...) __mdm_launch_bounds__(__VA_ARGS__)
#define __cluster_dims__(...) __mdm_cluster_dims__(__VA_ARGS__)
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ EMULATOR_USE_THE_MACRO_SHARED
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict

// Static variables without a value lie in the module's .bss, which holds nothing else and is poisoned before every block.
#define SHARED(type, declarator) static type declarator
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator_dynamic_shared)

#define EMULATOR_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMULATOR_HERE(what) emulator::Site{what, file, line}
#define EMULATOR_OWN __attribute__((section(".data"), visibility("hidden")))

using dim3 = emulator::Index3;
EMULATOR_OWN emulator::Services emulator_services = {};
EMULATOR_OWN emulator::Index3 threadIdx = {}, blockIdx = {}, blockDim = {}, gridDim = {};
EMULATOR_OWN unsigned char* emulator_dynamic_shared = nullptr;
constexpr int warpSize = 32;

#include "emulator_check.h"
#include "emulator_types.h"
#include "emulator_math.h"
#include "emulator_warp.h"
#include "emulator_ptx.h"
#include "emulator_hopper.h"

// ---- registration: text appended to the source names every kernel ----

extern unsigned char emulator_bss[] __asm__("__bss_start") __attribute__((visibility("hidden")));
extern unsigned char emulator_end[] __asm__("_end") __attribute__((visibility("hidden")));

template <typename F>
struct EmulatorSignature;

template <typename... P>
struct EmulatorSignature<void (*)(P...)>
{
    static constexpr size_t sizes[sizeof...(P) + 1] = {sizeof(P)..., 0};
    static constexpr int parameters = sizeof...(P);

    template <void (*F)(P...), size_t... I>
    static void call(void* const* arguments, emulator_index_sequence<I...>)
    {
        F(*static_cast<emulator_remove_const<P>*>(arguments[I])...);
    }

    template <void (*F)(P...)>
    static void invoke(void* const* arguments)
    {
        call<F>(arguments, emulator_make_index_sequence<sizeof...(P)>());
    }
};
