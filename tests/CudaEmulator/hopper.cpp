// Hopper's instructions. Formats: PTX ISA, "Asynchronous warpgroup level matrix shared memory layout" and "Matrix descriptor";
// the registers of wgmma.m64nNk16; the 128-byte swizzle exchanges bits 4 to 6 of an address by bits 7 to 9.
#include "hopper.h"

#include <cstring>
#include <thread>

#include "worker.h"

namespace emulator
{
namespace
{
constexpr int warpgroup = 128, depth = 16, rows = 64, most_columns = 256;

Worker& of(void* worker) { return *static_cast<Worker*>(worker); }

unsigned int swizzle(unsigned int address) { return address ^ (address >> 7 & 7) << 4; }

// The low half of some bits as bfloat16.
float wide_half(unsigned int bits)
{
    bits <<= 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

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

// What a thread brings to the wait for its products.
struct Waiting
{
    Worker* worker;
    ProductThread* thread;
    int number, groups;
    Site site;
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

// ---- products ----

ProductThread& HopperCalls::thread(Worker& worker)
{
    if (worker.hopper.threads.empty())
        worker.hopper.threads.resize(worker.threads);
    return worker.hopper.threads[worker.current];
}

void HopperCalls::product_fence(void* w) { thread(of(w)).fenced = true; }

void HopperCalls::product(void* w, const WarpgroupProduct& product, Site site)
{
    ProductThread& own = thread(of(w));
    int count = product.columns / 2;
    Accumulators* accumulators = nullptr;
    for (Accumulators& a : own.accumulators)
        if (a.d == product.d)
            accumulators = &a;
    if (!accumulators)
    {
        if (!own.fenced)
            of(w).fail(LaunchFailed, "the accumulators were in use by the thread: wgmma_fence is missing", site);
        accumulators = &own.accumulators.emplace_back(Accumulators{product.d, count, 0, {}});
        memcpy(accumulators->values, product.d, count * sizeof(float));
        memset(product.d, 0xff, count * sizeof(float));
    }
    ++accumulators->products;
    own.issues.push_back({product, own.group, site, {}});
    if (product.held)
        memcpy(own.issues.back().held, product.held, sizeof(own.issues.back().held));
}

void HopperCalls::product_commit(void* w) { ++thread(of(w)).group; }

void HopperCalls::product_wait(void* w, int groups, Site site)
{
    Worker& worker = of(w);
    ProductThread& own = thread(worker);
    int self = worker.current;
    Waiting waiting{&worker, &own, self, groups, site};
    constexpr int first_key = 16;
    worker.services.meet_many(w, first_key + self / warpgroup, warpgroup, true, true, &waiting, execute, site);

    for (size_t i = 0; i < own.accumulators.size();)
    {
        Accumulators& a = own.accumulators[i];
        if (a.products > 0)
        {
            ++i;
            continue;
        }
        memcpy(a.d, a.values, a.count * sizeof(float));
        own.accumulators.erase(own.accumulators.begin() + (long)i);
        own.fenced = false;
    }
}

// Carries out the products of all groups but the last ones, for the 128 threads.
void HopperCalls::execute(void* const* operands, int count)
{
    void* threads[warpgroup] = {};
    for (int i = 0; i < count; ++i)
        threads[static_cast<Waiting*>(operands[i])->number % warpgroup] = operands[i];
    auto first = static_cast<Waiting*>(threads[0]);
    int due = 0;
    for (auto& issue : first->thread->issues)
        due += issue.group < first->thread->group - first->groups;
    for (int index = 0; index < due; ++index)
        multiply(*first->worker, threads, index);
    for (void* t : threads)
    {
        auto& issues = static_cast<Waiting*>(t)->thread->issues;
        issues.erase(issues.begin(), issues.begin() + due);
    }
}

// Product number index of the threads' lists. Element (line, k) of a matrix, in bytes from the start of its descriptor:
//   K-major      128 (line mod 8) + stride (line / 8) + 2 k
//   M-/N-major   2 (line mod 64) + leading (line / 64) + 128 (k mod 8) + stride (k / 8)
// and then the swizzle of the address.
void HopperCalls::multiply(Worker& worker, void* const* threads, int index)
{
    auto leader = static_cast<Waiting*>(threads[0]);
    if ((int)leader->thread->issues.size() <= index)
        worker.fail(LaunchFailed, "thread 0 of the warpgroup has issued fewer products than the others", leader->site);
    const auto& issue = leader->thread->issues[index];
    const WarpgroupProduct& p = issue.product;

    auto read = [&](unsigned long long descriptor, bool transposed, int lines, auto store) {
        unsigned int start = (descriptor & 0x3fff) << 4, leading = (descriptor >> 16 & 0x3fff) << 4,
            stride = (descriptor >> 32 & 0x3fff) << 4;
        constexpr unsigned int swizzle_128 = 1;
        if (descriptor >> 62 != swizzle_128 || (descriptor >> 49 & 7) != 0 || (start >> 7 & 7) != 0)
            worker.fail(IllegalInstruction,
                text("matrix descriptor %016llx: expected the 128-byte swizzle (1 in bits 62 and 63), no base "
                "offset, and lines that begin at a multiple of 1,024 bytes", descriptor), issue.site);
        for (int line = 0; line < lines; ++line)
            for (int k = 0; k < depth; ++k)
            {
                unsigned int offset = transposed ? 2 * (line % 64) + leading * (line / 64) + 128 * (k % 8) + stride * (k / 8)
                                                 : 128 * (line % 8) + stride * (line / 8) + 2 * k;
                unsigned short bits;
                memcpy(&bits, worker.services.shared_pointer(&worker, swizzle(start + offset), 2, issue.site), 2);
                store(line, k, wide_half(bits));
            }
    };
    static thread_local float a[rows][depth], b[depth][most_columns], d[rows][most_columns];
    if (!p.held)
        read(p.a, p.transpose_a, rows, [&](int row, int k, float x) { a[row][k] = x; });
    read(p.b, p.transpose_b, p.columns, [&](int column, int k, float x) { b[k][column] = x; });
    for (int t = 0; p.held && t < warpgroup; ++t)
    {
        auto& issues = static_cast<Waiting*>(threads[t])->thread->issues;
        if ((int)issues.size() <= index || !issues[index].product.held)
            continue; // told below
        const auto& held = issues[index].held;
        if (memcmp(held, issues[index].product.held, sizeof(held)) != 0)
            worker.fail(LaunchFailed, text("thread %d of the warpgroup changed a register of a before the wait", t), issue.site);
        for (int i = 0; i < 8; ++i)
            a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + t % 4 * 2 + i % 2] = wide_half(held[i / 2] >> 16 * (i % 2));
    }
    memset(d, 0, sizeof(d));
    for (int row = 0; row < rows; ++row)
        for (int k = 0; k < depth; ++k)
            for (int column = 0; column < p.columns; ++column)
                d[row][column] += a[row][k] * b[k][column];

    for (int t = 0; t < warpgroup; ++t)
    {
        ProductThread& own = *static_cast<Waiting*>(threads[t])->thread;
        bool same = index < (int)own.issues.size();
        const WarpgroupProduct& q = own.issues[same ? index : 0].product;
        if (!same || q.a != p.a || q.b != p.b || q.columns != p.columns || q.transpose_a != p.transpose_a
            || q.transpose_b != p.transpose_b || q.add != p.add || !q.held != !p.held
            || own.issues[index].group != issue.group)
            worker.fail(LaunchFailed, text("thread %d of the warpgroup issued other products than thread 0", t), issue.site);
        for (Accumulators& sums : own.accumulators)
        {
            if (sums.d != q.d)
                continue;
            --sums.products;
            for (int i = 0; i < sums.count; ++i)
                sums.values[i] = (p.add ? sums.values[i] : 0) + d[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + t % 4 * 2 + i % 2];
        }
    }
}

void HopperCalls::finish_thread(Worker& worker)
{
    if (!worker.hopper.threads.empty() && !thread(worker).issues.empty())
        worker.fail(LaunchFailed, "the thread ends without having waited for this product", thread(worker).issues.front().site);
}
} // namespace emulator
