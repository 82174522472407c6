// Twins of the Hopper part of kernels/include/ptx.cuh. The work is done by the library (hopper.cpp, hopper_products.cpp).
#pragma once

struct __align__(64) TensorMap
{
    unsigned char bytes[128];
};

#define EMULATOR_CALL(function, ...) emulator_services.hopper->function(emulator_services.worker, __VA_ARGS__)

// ---- barriers ----

inline void mbarrier_init(unsigned long long* barrier, unsigned int arrivals, EMULATOR_SITE)
{
    EMULATOR_CALL(barrier_init, barrier, arrivals, EMULATOR_HERE("mbarrier_init"));
}

inline void shared_fence() {}

inline void mbarrier_init_fence() { emulator_services.hopper->barrier_fence(emulator_services.worker); }

inline void mbarrier_arrive(unsigned long long* barrier, EMULATOR_SITE)
{
    EMULATOR_CALL(barrier_arrive, barrier, -1, 0, EMULATOR_HERE("mbarrier_arrive"));
}

inline void mbarrier_arrive_at(unsigned long long* barrier, int rank, EMULATOR_SITE)
{
    EMULATOR_CALL(barrier_arrive, barrier, rank, 0, EMULATOR_HERE("mbarrier_arrive_at"));
}

inline void mbarrier_expect(unsigned long long* barrier, unsigned int bytes, EMULATOR_SITE)
{
    EMULATOR_CALL(barrier_arrive, barrier, -1, bytes, EMULATOR_HERE("mbarrier_expect"));
}

inline void mbarrier_wait(unsigned long long* barrier, unsigned int parity, EMULATOR_SITE)
{
    EMULATOR_CALL(barrier_wait, barrier, parity, EMULATOR_HERE("mbarrier_wait"));
}

// ---- the tensor copy unit ----

inline void tensor_prefetch(const TensorMap*) {}

inline void tensor_load_2d(void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y, EMULATOR_SITE)
{
    int at[] = {x, y};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 2, 0, EMULATOR_HERE("tensor_load_2d"));
}

inline void tensor_load_3d(void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y, int z, EMULATOR_SITE)
{
    int at[] = {x, y, z};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 3, 0, EMULATOR_HERE("tensor_load_3d"));
}

inline void tensor_load_4d(void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y, int z, int w,
    EMULATOR_SITE)
{
    int at[] = {x, y, z, w};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 4, 0, EMULATOR_HERE("tensor_load_4d"));
}

inline void tensor_multicast_2d(void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks,
    int x, int y, EMULATOR_SITE)
{
    int at[] = {x, y};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 2, blocks, EMULATOR_HERE("tensor_multicast_2d"));
}

inline void tensor_multicast_3d(void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks,
    int x, int y, int z, EMULATOR_SITE)
{
    int at[] = {x, y, z};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 3, blocks, EMULATOR_HERE("tensor_multicast_3d"));
}

inline void tensor_multicast_4d(void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks,
    int x, int y, int z, int w, EMULATOR_SITE)
{
    int at[] = {x, y, z, w};
    EMULATOR_CALL(tensor_load, shared, map, barrier, at, 4, blocks, EMULATOR_HERE("tensor_multicast_4d"));
}

// ---- clusters ----

inline void cluster_sync(EMULATOR_SITE)
{
    emulator_services.hopper->cluster_sync(emulator_services.worker, EMULATOR_HERE("cluster_sync"));
}

// ---- barriers of some threads of a block ----

inline void barrier_meet(int id, int threads, EMULATOR_SITE)
{
    emulator_barrier(id, threads, true, false, nullptr, nullptr, EMULATOR_HERE("barrier_meet"));
}

inline void barrier_arrive(int id, int threads, EMULATOR_SITE)
{
    emulator_barrier(id, threads, false, false, nullptr, nullptr, EMULATOR_HERE("barrier_arrive"));
}

// ---- registers ----

template <int N>
inline void registers_increase()
{
    static_assert(N % 8 == 0 && N >= 24 && N <= 256, "setmaxnreg takes multiples of 8 from 24 to 256");
}

template <int N>
inline void registers_decrease()
{
    registers_increase<N>();
}

// ---- products of a warpgroup ----

inline void wgmma_fence() { emulator_services.hopper->product_fence(emulator_services.worker); }

inline void wgmma_commit() { emulator_services.hopper->product_commit(emulator_services.worker); }

template <int Groups, int N>
inline void wgmma_wait(float (&)[N], EMULATOR_SITE)
{
    EMULATOR_CALL(product_wait, Groups, EMULATOR_HERE("wgmma_wait"));
}

template <int Groups, int N>
inline void wgmma_wait_older(float (&)[N], EMULATOR_SITE)
{
    EMULATOR_CALL(product_wait, Groups, EMULATOR_HERE("wgmma_wait_older"));
}

template <int TransposeA, int TransposeB, int Add = 1, int N>
inline void wgmma(float (&d)[N], unsigned long long a, unsigned long long b, EMULATOR_SITE)
{
    static_assert(
        N == 4 || N == 16 || N == 32 || N == 64 || N == 128, "accumulators of 64 x 8, 32, 64, 128 or 256");
    emulator::WarpgroupProduct product{d, 2 * N, nullptr, a, b, TransposeA, TransposeB, Add};
    EMULATOR_CALL(product, product, EMULATOR_HERE("wgmma"));
}

template <int TransposeB, int N>
inline void wgmma_held(float (&d)[N], const unsigned int (&a)[4], unsigned long long b, EMULATOR_SITE)
{
    static_assert(N == 16 || N == 32 || N == 48 || N == 64, "accumulators of 64 x 32, 64, 96 or 128");
    emulator::WarpgroupProduct product{d, 2 * N, a, 0, b, 0, TransposeB, 1};
    EMULATOR_CALL(product, product, EMULATOR_HERE("wgmma_held"));
}

#undef EMULATOR_CALL
