// Every piece of inline PTX, as small named functions. The emulator replaces this file by functions of the same names
// (MDM_EMULATOR), so nothing else may contain asm.
#pragma once
#ifndef MDM_EMULATOR

// ---- bfloat16 ----

__device__ __forceinline__ unsigned short bf16_bits(float x)
{
    unsigned short y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ unsigned int bf16_pair(float low, float high)
{
    unsigned int y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

// ---- arithmetic ----

// 2^x to 2 units in the last place; denormal results become 0.
__device__ __forceinline__ float exp2_approx(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// ---- asynchronous copies to shared memory (sm_80) ----

// Addresses in shared memory as the instructions want them.
__device__ __forceinline__ unsigned int shared_address(const void* p) { return (unsigned int)__cvta_generic_to_shared(p); }

// 16 bytes; both addresses are multiples of 16. Zeros are written where valid is false (source is not read then).
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
        "r"(valid ? 16 : 0) : "memory");
}

// As above, but only the first bytes (0 to 16) are read, and zeros follow them.
__device__ __forceinline__ void cp_async_16_partial(void* shared, const void* global, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
        : "memory");
}

// 4 bytes; both addresses are multiples of 4.
__device__ __forceinline__ void cp_async_4(void* shared, const void* global, bool valid)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global),
        "r"(valid ? 4 : 0) : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N groups of this thread are still under way. Other threads see the data after a barrier.
template <int N>
__device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- matrix fragments of a warp (sm_80) ----

// Four 8x8 matrices of 16-bit elements; lane l gives the address of row l%8 of matrix l/8 (16 bytes, aligned).
__device__ __forceinline__ void ldmatrix_x4(unsigned int (&r)[4], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned int (&r)[4], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

// Two 8x8 matrices; the addresses of lanes 0 to 15 count.
__device__ __forceinline__ void ldmatrix_x2(unsigned int (&r)[2], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
        : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}

__device__ __forceinline__ void ldmatrix_x2_transposed(unsigned int (&r)[2], const void* row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
        : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}

// d[16x8] += a[16x16] b[16x8], bfloat16 with float32 accumulation.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d[16x8] += a[16x8] b[8x8], TF32 (see to_tf32) with float32 accumulation.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned int (&a)[4], const unsigned int (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A float rounded to TF32 (10 bits of mantissa).
__device__ __forceinline__ unsigned int to_tf32(float x)
{
    unsigned int y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

// ---- Hopper: barriers in shared memory, the tensor copy unit (TMA), products of warpgroups (sm_90a) ----

// How a tensor lies in memory and in which boxes it is copied, as cuTensorMapEncodeTiled writes it. Kernels take it as a
// const __grid_constant__ parameter.
struct __align__(64) TensorMap
{
    unsigned char bytes[128];
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

// A barrier whose phase ends after so many arrivals and when all announced bytes have come.
__device__ __forceinline__ void mbarrier_init(unsigned long long* barrier, unsigned int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

// Makes what this thread wrote to shared memory visible to wgmma and the copy unit; other threads' use follows a barrier.
__device__ __forceinline__ void shared_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Makes initialised barriers visible to the copy unit; other threads see them after __syncthreads.
__device__ __forceinline__ void mbarrier_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    shared_fence();
}

__device__ __forceinline__ void mbarrier_arrive(unsigned long long* barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives at the barrier at the same place of another block of the cluster (or of this one).
__device__ __forceinline__ void mbarrier_arrive_at(unsigned long long* barrier, int rank)
{
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" ::"r"(shared_address(barrier)), "r"(rank) : "memory");
}

// Arrives and announces bytes that copies will bring in this phase.
__device__ __forceinline__ void mbarrier_expect(unsigned long long* barrier, unsigned int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}

// Waits for the end of the phase of this parity: 0 is the first phase; 1, on a new barrier, is past already.
__device__ __forceinline__ void mbarrier_wait(unsigned long long* barrier, unsigned int parity)
{
    unsigned int done;
    do
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
            : "=r"(done) : "r"(shared_address(barrier)), "r"(parity) : "memory");
    while (!done);
}

// Fetches the map itself ahead of its first use.
__device__ __forceinline__ void tensor_prefetch(const TensorMap* map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Copies the box whose first element has the coordinates (x innermost); what lies outside the tensor is filled with zeros.
// The bytes of the whole box are counted on the barrier. One thread does this.
__device__ __forceinline__ void tensor_load_2d(void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y) : "memory");
}

__device__ __forceinline__ void tensor_load_3d(
    void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y, int z)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z) : "memory");
}

__device__ __forceinline__ void tensor_load_4d(
    void* shared, const TensorMap* map, unsigned long long* barrier, int x, int y, int z, int w)
{
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}

// The same into the shared memory of several blocks of the cluster (a bit each), at the same place in each, counted on the
// barrier at the same place in each.
__device__ __forceinline__ void tensor_multicast_2d(
    void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks, int x, int y)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%4, %5}], [%2], %3;"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "h"(blocks), "r"(x), "r"(y) : "memory");
}

__device__ __forceinline__ void tensor_multicast_3d(
    void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks, int x, int y, int z)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%4, %5, %6}], [%2], %3;"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "h"(blocks), "r"(x), "r"(y), "r"(z) : "memory");
}

__device__ __forceinline__ void tensor_multicast_4d(
    void* shared, const TensorMap* map, unsigned long long* barrier, unsigned short blocks, int x, int y, int z, int w)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%4, %5, %6, %7}], [%2], %3;"
        ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "h"(blocks), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
}

// Waits for all threads of the cluster; what they did to barriers and shared memory is seen.
__device__ __forceinline__ void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// Waits at barrier id (1 to 15; 0 is that of __syncthreads) until so many threads, whole warps, have come or said so.
__device__ __forceinline__ void barrier_meet(int id, int threads)
{
    asm volatile("barrier.sync.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Counts as having come to a barrier, and goes on.
__device__ __forceinline__ void barrier_arrive(int id, int threads)
{
    asm volatile("barrier.arrive.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Registers of each thread of a warpgroup from here on; every thread of it must call.
template <int N>
__device__ __forceinline__ void registers_increase()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N>
__device__ __forceinline__ void registers_decrease()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

// Orders earlier accesses to the accumulators before the products that follow.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Ends a group of products.
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most Groups groups are under way. After 0 the accumulators may be read; naming them here keeps the compiler
// from reading them earlier.
template <int Groups, int N>
__device__ __forceinline__ void wgmma_wait(float (&d)[N])
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
    if (Groups == 0)
    {
#pragma unroll
        for (int i = 0; i < N; ++i)
            asm volatile("" : "+f"(d[i])::"memory");
    }
}

// The same where the products of d are older than the last Groups groups: d may be read.
template <int Groups, int N>
__device__ __forceinline__ void wgmma_wait_older(float (&d)[N])
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Groups) : "memory");
#pragma unroll
    for (int i = 0; i < N; ++i)
        asm volatile("" : "+f"(d[i])::"memory");
}

// d[64xN] += a[64x16] b[16xN] (Add = 0: =), bfloat16 from shared memory through matrix descriptors, by the 128 threads
// of a warpgroup. Operands are K-major (0) or M- and N-major (1). N is 2 times the accumulators of a thread: element i lies in
// row 16 warp + lane/4 + 8 (i/2%2) and column 8 (i/4) + 2 (lane%4) + i%2.
#define WGMMA_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_D16(i) WGMMA_D4(i), WGMMA_D4(i + 4), WGMMA_D4(i + 8), WGMMA_D4(i + 12)
#define WGMMA_D32(i) WGMMA_D16(i), WGMMA_D16(i + 16)
#define WGMMA_R16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define WGMMA_R32 WGMMA_R16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define WGMMA_R48 WGMMA_R32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define WGMMA_R64 WGMMA_R48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define WGMMA_R128 WGMMA_R64 \
    ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79" \
    ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95" \
    ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
    ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define WGMMA(n, registers, add, operands)                                                                                 \
    "{\n.reg .pred p;\nsetp.ne.b32 p, " add ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" registers "}, " \
    operands ";\n}"

template <int TransposeA, int TransposeB>
__device__ __forceinline__ void wgmma(float (&d)[4], unsigned long long a, unsigned long long b)
{
    asm volatile(WGMMA("8", "%0,%1,%2,%3", "1", "%4, %5, p, 1, 1, %6, %7")
        : WGMMA_D4(0) : "l"(a), "l"(b), "n"(TransposeA), "n"(TransposeB));
}

template <int TransposeA, int TransposeB, int Add = 1>
__device__ __forceinline__ void wgmma(float (&d)[16], unsigned long long a, unsigned long long b)
{
    asm volatile(WGMMA("32", WGMMA_R16, "%20", "%16, %17, p, 1, 1, %18, %19")
        : WGMMA_D16(0) : "l"(a), "l"(b), "n"(TransposeA), "n"(TransposeB), "n"(Add));
}

template <int TransposeA, int TransposeB, int Add = 1>
__device__ __forceinline__ void wgmma(float (&d)[32], unsigned long long a, unsigned long long b)
{
    asm volatile(WGMMA("64", WGMMA_R32, "%36", "%32, %33, p, 1, 1, %34, %35")
        : WGMMA_D32(0) : "l"(a), "l"(b), "n"(TransposeA), "n"(TransposeB), "n"(Add));
}

template <int TransposeA, int TransposeB, int Add = 1>
__device__ __forceinline__ void wgmma(float (&d)[64], unsigned long long a, unsigned long long b)
{
    asm volatile(WGMMA("128", WGMMA_R64, "%68", "%64, %65, p, 1, 1, %66, %67")
        : WGMMA_D32(0), WGMMA_D32(32) : "l"(a), "l"(b), "n"(TransposeA), "n"(TransposeB), "n"(Add));
}

template <int TransposeA, int TransposeB, int Add = 1>
__device__ __forceinline__ void wgmma(float (&d)[128], unsigned long long a, unsigned long long b)
{
    asm volatile(WGMMA("256", WGMMA_R128, "%132", "%128, %129, p, 1, 1, %130, %131")
        : WGMMA_D32(0), WGMMA_D32(32), WGMMA_D32(64), WGMMA_D32(96)
        : "l"(a), "l"(b), "n"(TransposeA), "n"(TransposeB), "n"(Add));
}

// The same with a from registers, which stay as they are until the wait: pairs of neighbouring columns of bfloat16, a[i] in row
// 16 warp + lane/4 + 8 (i%2) and columns 8 (i/2) + 2 (lane%4). They are the accumulators of columns 16 k.. in their order.
#define WGMMA_A "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])

template <int TransposeB>
__device__ __forceinline__ void wgmma_held(float (&d)[16], const unsigned int (&a)[4], unsigned long long b)
{
    asm volatile(WGMMA("32", WGMMA_R16, "1", "{%16,%17,%18,%19}, %20, p, 1, 1, %21")
        : WGMMA_D16(0) : WGMMA_A, "l"(b), "n"(TransposeB));
}

template <int TransposeB>
__device__ __forceinline__ void wgmma_held(float (&d)[32], const unsigned int (&a)[4], unsigned long long b)
{
    asm volatile(WGMMA("64", WGMMA_R32, "1", "{%32,%33,%34,%35}, %36, p, 1, 1, %37")
        : WGMMA_D32(0) : WGMMA_A, "l"(b), "n"(TransposeB));
}

template <int TransposeB>
__device__ __forceinline__ void wgmma_held(float (&d)[48], const unsigned int (&a)[4], unsigned long long b)
{
    asm volatile(WGMMA("96", WGMMA_R48, "1", "{%48,%49,%50,%51}, %52, p, 1, 1, %53")
        : WGMMA_D32(0), WGMMA_D16(32) : WGMMA_A, "l"(b), "n"(TransposeB));
}

template <int TransposeB>
__device__ __forceinline__ void wgmma_held(float (&d)[64], const unsigned int (&a)[4], unsigned long long b)
{
    asm volatile(WGMMA("128", WGMMA_R64, "1", "{%64,%65,%66,%67}, %68, p, 1, 1, %69")
        : WGMMA_D32(0), WGMMA_D32(32) : WGMMA_A, "l"(b), "n"(TransposeB));
}

#undef WGMMA
#undef WGMMA_A
#undef WGMMA_R16
#undef WGMMA_R32
#undef WGMMA_R48
#undef WGMMA_R64
#undef WGMMA_R128
#undef WGMMA_D4
#undef WGMMA_D16
#undef WGMMA_D32
#endif

#endif
