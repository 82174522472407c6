// Hopper's barriers, clusters and tensor copies.
#include "hopper.h"

#include <cstring>
#include <thread>

#include "worker.h"

namespace emulator
{
namespace
{
struct Poll
{
    PhaseBarrier* barrier;
    Worker* worker;
    unsigned int parity;
};

// Barriers and copies of the blocks of a cluster are changed by two threads of the operating system.
std::mutex cluster_lock;
thread_local bool locked = false;

class Lock
{
public:
    Lock() : outermost(!locked)
    {
        if (outermost)
            cluster_lock.lock();
        locked = true;
    }

    ~Lock()
    {
        if (!outermost)
            return;
        locked = false;
        cluster_lock.unlock();
    }

private:
    const bool outermost;
};
} // namespace

const HopperServices hopper_services{HopperCalls::barrier_init, HopperCalls::barrier_fence, HopperCalls::barrier_arrive,
    HopperCalls::barrier_wait, HopperCalls::tensor_load, HopperCalls::cluster_sync, HopperCalls::product_fence,
    HopperCalls::product, HopperCalls::product_commit, HopperCalls::product_wait};

// ---- barriers ----

void HopperCalls::barrier_init(void* w, void* address, unsigned int arrivals, Site site)
{
    Services& services = of(w).services;
    services.shared_address(w, address, site);
    if (reinterpret_cast<size_t>(address) % 8 != 0 || arrivals == 0)
        of(w).fail(MisalignedAddress, text("a barrier at %p for %u arrivals: expected a multiple of 8 and some", address,
            arrivals), site);
    if (of(w).checks)
        of(w).checks->ignore_races();
    Lock lock;
    of(w).hopper.barriers[address] = PhaseBarrier{arrivals, arrivals, 0, false, 0, 0, {}};
}

void HopperCalls::barrier_fence(void* w)
{
    Lock lock;
    for (auto& [address, barrier] : of(w).hopper.barriers)
        barrier.fenced = true;
}

Worker& HopperCalls::member(Worker& worker, int rank, Site site)
{
    if (!worker.cluster || rank >= Cluster::size)
        worker.fail(IllegalInstruction, text("there is no block %d in the cluster", rank), site);
    return *worker.cluster->workers[rank];
}

// The same place in the shared memory of another block of the cluster.
void* HopperCalls::address_in(Worker& caller, Worker& owner, void* address, Site site)
{
    if (&caller == &owner)
        return address;
    return owner.services.shared_pointer(&owner, caller.services.shared_address(&caller, address, site), 1, site);
}

PhaseBarrier& HopperCalls::barrier_at(Worker& caller, Worker& owner, void* address, Site site)
{
    auto found = owner.hopper.barriers.find(address_in(caller, owner, address, site));
    if (found == owner.hopper.barriers.end())
        caller.fail(IllegalInstruction, text("there is no initialised barrier at %p", address), site);
    return found->second;
}

// Ends the phase if all that it waits for has come; copies come now.
void HopperCalls::end_phase(Worker& worker, PhaseBarrier& barrier)
{
    if (barrier.missing != 0 || barrier.queued != barrier.announced)
        return;
    for (const TensorCopy& copy : barrier.copies)
        carry_out(worker, copy);
    barrier.copies.clear();
    barrier.queued = barrier.announced = 0;
    barrier.missing = barrier.arrivals;
    ++barrier.phase;
}

void HopperCalls::barrier_arrive(void* w, void* address, int rank, unsigned int bytes, Site site)
{
    Worker& owner = rank < 0 ? of(w) : member(of(w), rank, site);
    Lock lock;
    PhaseBarrier& barrier = barrier_at(of(w), owner, address, site);
    end_phase(owner, barrier);
    if (barrier.missing == 0)
        of(w).fail(LaunchFailed, text("more than %u arrivals in a phase of the barrier", barrier.arrivals), site);
    --barrier.missing;
    barrier.announced += bytes;
    if (!barrier.copies.empty())
        return;
    unsigned int before = barrier.phase;
    end_phase(owner, barrier);
    // So that a stage which is freed too early is filled too early.
    if (barrier.phase != before && &owner == &of(w))
        owner.wake();
}

void HopperCalls::barrier_wait(void* w, void* address, unsigned int parity, Site site)
{
    auto find = [&]() -> PhaseBarrier& {
        Lock lock;
        return barrier_at(of(w), of(w), address, site);
    };
    Poll poll{&find(), &of(w), parity};
    auto ready = [](void* state) {
        Lock lock;
        auto p = static_cast<Poll*>(state);
        end_phase(*p->worker, *p->barrier);
        return (p->barrier->phase & 1) != p->parity;
    };
    of(w).services.wait_until(w, ready, &poll, site);
}

// ---- clusters ----

bool Cluster::meet()
{
    int before = meetings;
    if (++met == size)
    {
        met = 0;
        ++meetings;
    }
    while (meetings == before && !failed)
        std::this_thread::yield();
    return !failed;
}

bool Cluster::everybody_is_quiet(unsigned int at) const
{
    for (int i = 0; i < size; ++i)
        if (!finished[i] && quiet[i] != at)
            return false;
    return true;
}

void HopperCalls::let_go()
{
    if (!locked)
        return;
    locked = false;
    cluster_lock.unlock();
}

void HopperCalls::cluster_sync(void* w, Site site)
{
    struct Sync
    {
        Cluster* cluster;
        unsigned int before;
    };
    if (!of(w).cluster)
        of(w).fail(IllegalInstruction, "the kernel has no clusters", site);
    Sync sync{of(w).cluster, 0};
    {
        Lock lock;
        sync.before = sync.cluster->synchronised;
        if (++sync.cluster->arrived == Cluster::size * of(w).threads)
        {
            sync.cluster->arrived = 0;
            ++sync.cluster->synchronised;
        }
    }
    auto ready = [](void* state) {
        Lock lock;
        auto s = static_cast<Sync*>(state);
        return s->cluster->synchronised != s->before;
    };
    of(w).services.wait_until(w, ready, &sync, site);
}

// ---- tensor copies ----

void HopperCalls::tensor_load(void* w, void* shared, const void* address, void* barrier_address, const int* at, int rank,
    unsigned int blocks, Site site)
{
    constexpr int bfloat16 = 9, swizzle_128 = 3;
    Worker& worker = of(w);
    auto map = static_cast<const TensorMap*>(address);
    if (reinterpret_cast<size_t>(address) % 64 != 0 || map->magic != tensor_map_magic)
        worker.fail(IllegalInstruction, text("there is no tensor map at %p", address), site);
    if (map->rank != rank || map->type != bfloat16 || map->interleave != 0 || map->swizzle != swizzle_128)
        worker.fail(IllegalInstruction,
            text("tensor map of rank %d, type %d, interleave %d, swizzle %d: expected rank %d, bfloat16 (9), "
            "none, 128 bytes (3)", map->rank, map->type, map->interleave, map->swizzle, rank), site);
    if (map->box[0] * 2 > 128)
        worker.fail(IllegalInstruction, text("lines of %u bytes, at most 128 can be swizzled", map->box[0] * 2), site);

    unsigned int bytes = 2, first = worker.services.shared_address(w, shared, site);
    for (int i = 0; i < rank; ++i)
        bytes *= map->box[i];
    if (first % 128 != 0)
        worker.fail(MisalignedAddress, text("the destination %u is no multiple of 128", first), site);
    TensorCopy copy{first, *map, {}, site};
    memcpy(copy.at, at, rank * sizeof(int));
    for (int block = blocks ? __builtin_ctz(blocks) : -1;; blocks &= blocks - 1, block = blocks ? __builtin_ctz(blocks) : -1)
    {
        Worker& target = block < 0 ? worker : member(worker, block, site);
        Lock lock;
        PhaseBarrier& barrier = barrier_at(worker, target, barrier_address, site);
        if (!barrier.fenced)
            worker.fail(LaunchFailed, "the barrier was initialised without a fence for the copy unit", site);
        memset(address_in(worker, target, worker.services.shared_pointer(w, first, (int)bytes, site), site), 0xff, bytes);
        barrier.copies.push_back(copy);
        barrier.queued += bytes;
        if ((blocks & (blocks - 1)) == 0)
            break;
    }
}

void HopperCalls::carry_out(Worker& worker, const TensorCopy& copy)
{
    const TensorMap& map = copy.map;
    unsigned int lines = 1, line_elements = map.box[0];
    for (int i = 1; i < map.rank; ++i)
        lines *= map.box[i];
    auto base = static_cast<unsigned char*>(worker.services.shared_pointer(&worker, copy.shared,
        (int)(lines * line_elements * 2), copy.site));
    for (unsigned int line = 0; line < lines; ++line)
    {
        const unsigned char* source = map.address;
        bool inside = true;
        for (unsigned int i = 1, rest = line; i < map.rank; rest /= map.box[i], ++i)
        {
            long long position = (long long)copy.at[i] + rest % map.box[i];
            inside = inside && position >= 0 && position < map.sizes[i];
            source += position * (long long)map.strides[i - 1];
        }
        for (unsigned int e = 0; e < line_elements; ++e)
        {
            long long position = (long long)copy.at[0] + e;
            unsigned short value = 0;
            if (inside && position >= 0 && position < map.sizes[0])
                memcpy(&value, source + position * 2, 2);
            unsigned int target = copy.shared + (line * line_elements + e) * 2;
            memcpy(base + (swizzle(target) - copy.shared), &value, 2);
        }
    }
}

const TensorCopy* HopperCalls::unfinished(const Worker& worker)
{
    for (auto& [address, barrier] : worker.hopper.barriers)
        if (!barrier.copies.empty())
            return &barrier.copies.front();
    return nullptr;
}
} // namespace emulator
