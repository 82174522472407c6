// What a running block has under way of Hopper's instructions.
#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "runtime.h"

namespace emulator
{
struct TensorCopy
{
    unsigned int shared; // address as instructions have it
    TensorMap map; // the thread that brought it may be gone when the copy is made
    int at[5];
    Site site;
};

// A barrier in shared memory. Copies are carried out when nothing else keeps the phase from ending.
struct PhaseBarrier
{
    unsigned int arrivals, missing; // of a phase, still to come in this one
    unsigned int phase;             // phases that have ended
    bool fenced;                    // known to the copy unit
    unsigned long long announced, queued; // bytes
    std::vector<TensorCopy> copies;
};

// Accumulators of a thread that products under way write: read before the wait, they are NaN.
struct Accumulators
{
    float* d;
    int count, products; // under way
    float values[128];
};

struct ProductThread
{
    struct Issue
    {
        WarpgroupProduct product;
        int group;
        Site site;
        unsigned int held[4];
    };

    bool fenced;
    int group; // products issued now belong to it
    std::vector<Issue> issues;
    std::vector<Accumulators> accumulators;
};

struct HopperState
{
    std::map<void*, PhaseBarrier> barriers;
    std::vector<ProductThread> threads;
};

class Worker;

// Two blocks that run together, each on a worker of its own. A worker that has nothing to run polls; when both have polled in
// vain since either of them last did something, nobody can go on.
struct Cluster
{
    static constexpr int size = 2;

    Worker* workers[size] = {};
    std::atomic<bool> failed{false}, finished[size] = {};
    std::atomic<unsigned int> progress{0}, quiet[size] = {};
    std::atomic<int> met{0}, meetings{0};
    int arrived = 0;           // threads in cluster_sync; under the lock of HopperCalls
    unsigned int synchronised = 0; // times that all of them were there

    // Waits for the other worker; false: it failed.
    bool meet();
    bool everybody_is_quiet(unsigned int at) const;
};

// What a module calls, and the end of a thread and of a block.
struct HopperCalls
{
    static void barrier_init(void* worker, void* barrier, unsigned int arrivals, Site site);
    static void barrier_fence(void* worker);
    static void barrier_arrive(void* worker, void* barrier, int rank, unsigned int bytes, Site site);
    static void barrier_wait(void* worker, void* barrier, unsigned int parity, Site site);
    static void tensor_load(void* worker, void* shared, const void* map, void* barrier, const int* at, int dimensions,
        unsigned int blocks, Site site);
    static void cluster_sync(void* worker, Site site);
    static void product_fence(void* worker);
    static void product(void* worker, const WarpgroupProduct& product, Site site);
    static void product_commit(void* worker);
    static void product_wait(void* worker, int groups, Site site);

    static void finish_thread(Worker& worker);

    // A block that ended in an error may have held the lock that blocks of a cluster share.
    static void let_go();

    // Null if nothing was left under way.
    static const TensorCopy* unfinished(const Worker& worker);

private:
    static ProductThread& thread(Worker& worker);
    static PhaseBarrier& barrier_at(Worker& caller, Worker& owner, void* address, Site site);
    static Worker& member(Worker& worker, int rank, Site site);
    static void* address_in(Worker& caller, Worker& owner, void* address, Site site);
    static void end_phase(Worker& worker, PhaseBarrier& barrier);
    static void carry_out(Worker& worker, const TensorCopy& copy);
    static void multiply(Worker& worker, void* const* threads, int index);
    static void execute(void* const* operands, int count);
};

// The 128-byte swizzle: exchanges bits 4 to 6 of an address by bits 7 to 9.
inline unsigned int swizzle(unsigned int address) { return address ^ (address >> 7 & 7) << 4; }

extern const HopperServices hopper_services;
} // namespace emulator
