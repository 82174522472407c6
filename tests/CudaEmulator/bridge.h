// What a compiled module of kernels and the emulator's library know of each other. The library loads one copy of a module
// for each of its workers, so everything static in a module (its shared memory, threadIdx, ...) belongs to one worker.
#pragma once
#include <stddef.h>

namespace emulator
{
struct Index3
{
    unsigned int x, y, z;
};

// Does the work of threads that met, in the thread that came last. operands: what each of them brought, by its number in
// the group (lane of the warp, or order of arrival), null where the group has no such thread.
using Execute = void (*)(void* const* operands, int count);

// A place in the source.
struct Site
{
    const char* what;
    const char* file;
    int line;
};

// A product of 128 threads, d[64, columns] += a[64, 16] b[16, columns], or = without add: the accumulators of one of them, and
// the matrices as their descriptors say, or its 4 registers of a.
struct WarpgroupProduct
{
    float* d;
    int columns;
    const unsigned int* held;
    unsigned long long a, b;
    int transpose_a, transpose_b, add;
};

// Instructions of Hopper (hopper.cpp, hopper_products.cpp).
struct HopperServices
{
    void (*barrier_init)(void* worker, void* barrier, unsigned int arrivals, Site site);
    void (*barrier_fence)(void* worker);
    // rank: block of the cluster whose barrier it is, or -1 for this one.
    void (*barrier_arrive)(void* worker, void* barrier, int rank, unsigned int bytes, Site site);
    void (*barrier_wait)(void* worker, void* barrier, unsigned int parity, Site site);
    // blocks: those of the cluster that get it, a bit each; 0: this one.
    void (*tensor_load)(void* worker, void* shared, const void* map, void* barrier, const int* at, int dimensions,
        unsigned int blocks, Site site);
    void (*cluster_sync)(void* worker, Site site);
    void (*product_fence)(void* worker);
    void (*product)(void* worker, const WarpgroupProduct& product, Site site);
    void (*product_commit)(void* worker);
    void (*product_wait)(void* worker, int groups, Site site);
};

enum class EmulatorAccess
{
    Read,
    Write,
    Atomic,
};

// What the library does for a running thread of a kernel. The first argument is always the worker.
struct Services
{
    void* worker;

    // Waits until every lane of the mask is here; they must bring the same mask and site.
    void (*meet_warp)(void* worker, unsigned int mask, void* operands, Execute execute, Site site);

    // Waits until so many threads brought the same key (barriers 0 to 15, warpgroups from 16); they must bring the same site
    // if strict. Without waits, the thread only counts as arrived and goes on; it brings no operands then.
    void (*meet_many)(void* worker, int key, int count, bool waits, bool strict, void* operands, Execute execute, Site site);

    // Waits until ready(state) holds.
    void (*wait_until)(void* worker, bool (*ready)(void* state), void* state, Site site);

    // Asynchronous copies of the running thread: carried out by the wait.
    void (*copy_async)(void* worker, void* shared, const void* global, int bytes, int valid_bytes, Site site);
    void (*copy_commit)(void* worker);
    void (*copy_wait)(void* worker, int pending);

    // Addresses in shared memory as instructions have them (offsets in the block's window), and back; bytes from there are
    // checked to be shared memory.
    unsigned int (*shared_address)(void* worker, const void* pointer, Site site);
    void* (*shared_pointer)(void* worker, unsigned int address, int bytes, Site site);

    // Before an access to memory, in the checking mode. code: where in the module, null if it is where this is called.
    void (*access)(void* worker, const void* address, size_t bytes, EmulatorAccess kind, const void* code);

    // Ends the kernel with an error: a CUresult and a message.
    void (*fail)(void* worker, int error, const char* message, Site site);

    // Work of a warp that is the same for every module.
    Execute mma_bf16, mma_tf32, ldmatrix;

    const HopperServices* hopper;
};

struct Kernel
{
    const char* name;
    void (*invoke)(void* const* arguments);
    int parameters;
    const size_t* sizes;
    int max_threads; // of __launch_bounds__, else 1024
    int cluster;     // blocks of __cluster_dims__, which lie side by side; else 1
};

struct Module
{
    const Kernel* kernels; // up to one without a name
    Services* services;
    Index3 *thread_index, *block_index, *block_size, *grid_size;
    unsigned char** dynamic_shared;
    unsigned char *shared_begin, *shared_end; // static shared memory
};

// What cuTensorMapEncodeTiled writes (128 bytes).
struct TensorMap
{
    unsigned char type, rank, swizzle, interleave;
    unsigned int magic;
    unsigned char* address;
    unsigned int sizes[5];
    unsigned int box[5];
    unsigned long long strides[4]; // bytes, of dimensions 1 and up
    unsigned short steps[5];
    unsigned char rest[30];
};
static_assert(sizeof(TensorMap) == 128);
constexpr unsigned int tensor_map_magic = 0x544d4150;

// What a lane brings to the shared executions above.
struct MmaOperands
{
    float* d;
    const unsigned int *a, *b;
};

struct LdmatrixOperands
{
    const void* row;
    unsigned int* r;
    int matrices;
    bool transposed;
};
} // namespace emulator
