// How the threads of a block take turns.
#include "worker.h"

#include <sys/mman.h>

#include <cstring>
#include <thread>

// emulator_switch(void** save, void* to): keeps what a function must keep on the stack, notes the stack pointer, goes on at
// another one. emulator_load(void* to): goes on there.
asm(R"(
    .text
    .globl emulator_switch
    .hidden emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rdi
    .globl emulator_load
    .hidden emulator_load
    .type emulator_load, @function
emulator_load:
    movq %rdi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
namespace emulator
{
thread_local Worker* this_worker = nullptr;

namespace
{
constexpr int max_threads = 1024, ring = 2048;
constexpr size_t stack_bytes = 128 * 1024;
constexpr size_t dynamic_room = 228 * 1024;
constexpr size_t copy_alignment_slack = 128;

int linear(const Index3& i, const Index3& size) { return (int)(i.x + size.x * (i.y + size.y * i.z)); }

bool same(const Site& a, const Site& b)
{
    return a.line == b.line && strcmp(a.what, b.what) == 0 && strcmp(a.file, b.file) == 0;
}

} // namespace

void fiber_entry() { this_worker->fiber(); }

// What a module calls.
struct ServiceCalls
{
    static Worker* of(void* worker) { return static_cast<Worker*>(worker); }
    static void meet_warp(void* w, unsigned int mask, void* operands, Execute execute, Site site)
    {
        of(w)->meet_warp(mask, operands, execute, site);
    }
    static void meet_many(void* w, int key, int count, bool waits, bool strict, void* operands, Execute execute, Site site)
    {
        of(w)->meet_many(key, count, waits, strict, operands, execute, site);
    }
    static void wait_until(void* w, bool (*ready)(void*), void* state, Site site)
    {
        if (ready(state))
            return;
        Fiber& self = of(w)->fibers[of(w)->current];
        self.state = Fiber::Waiting, self.site = site, self.ready = ready, self.ready_state = state;
        of(w)->suspend();
    }
    static void copy_async(void* w, void* shared, const void* global, int bytes, int valid_bytes, Site site)
    {
        of(w)->copy_async(shared, global, bytes, valid_bytes, site);
    }
    static void copy_commit(void* w) { ++of(w)->fibers[of(w)->current].copy_group; }
    static void copy_wait(void* w, int pending) { of(w)->copy_wait(pending); }
    static unsigned int shared_address(void* w, const void* pointer, Site site)
    {
        auto p = static_cast<const unsigned char*>(pointer);
        if (!of(w)->is_shared(p, 1))
            of(w)->fail(IllegalAddress, text("%p is no address in shared memory", pointer), site);
        bool is_static = p >= of(w)->module->shared_begin && p < of(w)->module->shared_end;
        return is_static ? (unsigned int)(p - of(w)->module->shared_begin) : of(w)->dynamic_window() + (unsigned int)(p - of(w)->dynamic);
    }
    static void* shared_pointer(void* w, unsigned int address, int bytes, Site site)
    {
        unsigned char* p = address >= of(w)->dynamic_window() ? of(w)->dynamic + (address - of(w)->dynamic_window())
            : of(w)->module->shared_begin + address;
        if (!of(w)->is_shared(p, bytes))
            of(w)->fail(IllegalAddress, text("%d bytes at %u are not within the block's shared memory", bytes, address), site);
        return p;
    }
    static void fail(void* w, int error, const char* message, Site site) { of(w)->fail(error, message, site); }
};

Worker::Worker(int number) : number(number), fibers(max_threads), queue(ring)
{
    services = {this, ServiceCalls::meet_warp, ServiceCalls::meet_many, ServiceCalls::wait_until, ServiceCalls::copy_async,
        ServiceCalls::copy_commit, ServiceCalls::copy_wait, ServiceCalls::shared_address, ServiceCalls::shared_pointer,
            ServiceCalls::fail,
        execute_mma_bf16, execute_mma_tf32, execute_ldmatrix, &hopper_services};

    // Dynamic shared memory ends at an unreadable page.
    void* map = mmap(nullptr, dynamic_room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    dynamic_pages = static_cast<unsigned char*>(map) + page;
    dynamic_end = dynamic_pages + dynamic_room;
    mprotect(dynamic_pages, dynamic_room, PROT_READ | PROT_WRITE);
}

uint64_t Worker::random()
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

void Worker::shuffle(int* list, int count)
{
    for (int i = count - 1; i > 0; --i)
        std::swap(list[i], list[(uint32_t)random() % (uint32_t)(i + 1)]);
}

// Puts threads into the queue in the order that was asked for.
void Worker::release(const int* list, int count, bool front)
{
    int order[max_threads];
    Settings::Order kind = settings().order;
    for (int i = 0; i < count; ++i)
        order[i] = list[kind == Settings::Order::Reverse ? count - 1 - i : i];
    if (kind == Settings::Order::Shuffle)
    {
        shuffle(order, count);
        front = front && (random() & 1024) != 0;
    }
    for (int i = 0; i < count; ++i)
    {
        Fiber& f = fibers[order[i]];
        if (f.state != Fiber::New)
            f.state = Fiber::Ready;
    }
    if (front)
        for (int i = count - 1; i >= 0; --i)
            queue[--head % ring] = order[i];
    else
        for (int i = 0; i < count; ++i)
            queue[tail++ % ring] = order[i];
}

// Lets threads go on that wait for something which has come, if no other can.
void Worker::poll()
{
    if (head == tail)
        for (int t = 0; t < threads; ++t)
            if (fibers[t].state == Fiber::Waiting && fibers[t].ready(fibers[t].ready_state))
                release(&t, 1, false);
}

// Something has come: who waits for it may go on before all others.
void Worker::wake()
{
    for (int t = 0; t < threads; ++t)
        if (fibers[t].state == Fiber::Waiting && fibers[t].ready(fibers[t].ready_state))
            release(&t, 1, true);
}

// Polls until the other block of the cluster has done something for this one, or nobody can go on.
void Worker::await_partner()
{
    for (++cluster->progress;;)
    {
        unsigned int now = cluster->progress;
        poll();
        if (head != tail)
        {
            ++cluster->progress;
            return;
        }
        cluster->quiet[number] = now;
        if (cluster->everybody_is_quiet(now) && cluster->progress == now)
            return;
        if (cluster->failed)
        {
            error = LaunchFailed, message = "the other block of the cluster failed";
            abandon();
        }
        std::this_thread::yield();
    }
}

// The next thread that can run; -1: none.
int Worker::take()
{
    poll();
    if (head == tail && cluster && exited < threads)
        await_partner();
    return head == tail ? -1 : queue[head++ % ring];
}

void Worker::become(int thread)
{
    current = thread;
    *module->thread_index = fibers[thread].index;
}

// A stack on which fiber_entry begins.
void* Worker::fresh_stack()
{
    if (free_stacks.empty())
    {
        void* map = mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mprotect(map, page, PROT_NONE);
        stacks.push_back(static_cast<unsigned char*>(map) + page);
        free_stacks.push_back(stacks.back());
    }
    starting_stack = free_stacks.back();
    free_stacks.pop_back();
    void** top = reinterpret_cast<void**>(starting_stack + stack_bytes) - 1;
    *--top = reinterpret_cast<void*>(fiber_entry);
    for (int i = 0; i < 6; ++i)
        *--top = nullptr;
    return top;
}

// The running thread waits; another goes on.
void Worker::suspend()
{
    int self = current, next = take();
    if (next < 0)
        fail(LaunchFailed, deadlock(), fibers[self].site);
    bool begun = fibers[next].state != Fiber::New;
    become(next);
    if (next != self)
        emulator_switch(&fibers[self].stack_pointer, begun ? fibers[next].stack_pointer : fresh_stack());
    fibers[self].state = Fiber::Running;
}

// Runs threads that have not begun, one after another on one stack, until one that has begun is to go on.
void Worker::fiber()
{
    unsigned char* stack = starting_stack;
    for (;;)
    {
        run_thread();
        int next = take();
        if (next < 0)
        {
            if (exited < threads)
                fail(LaunchFailed, deadlock(), Site{nullptr, nullptr, 0});
            abandon();
        }
        bool begun = fibers[next].state != Fiber::New;
        become(next);
        if (begun)
        {
            free_stacks.push_back(stack);
            emulator_load(fibers[next].stack_pointer);
        }
    }
}

void Worker::run_thread()
{
    Fiber& self = fibers[current];
    self.state = Fiber::Running;
    kernel->invoke(arguments.data());
    for (const Copy& copy : self.copies)
        if (copy.valid_bytes > 0)
            fail(LaunchFailed, "the thread ends without having waited for this asynchronous copy", copy.site);
    HopperCalls::finish_thread(*this);
    self.state = Fiber::Exited;
    ++exited;
}

void Worker::abandon()
{
    copying = nullptr;
    emulator_load(scheduler);
}

void Worker::meet_warp(unsigned int mask, void* operands, Execute execute, Site site)
{
    int self = current, warp = self / 32, lane = self % 32, first = warp * 32;
    if (!(mask >> lane & 1u))
        fail(LaunchFailed, text("lane %d is not in its mask %08x", lane, mask), site);
    Fiber& own = fibers[self];
    own.state = Fiber::Meeting, own.site = site, own.mask = mask, own.key = -1, own.operands = operands;
    unsigned int arrived = warp_arrived[warp] |= 1u << lane;

    for (unsigned int others = arrived & mask & ~(1u << lane); others; others &= others - 1)
    {
        const Fiber& other = fibers[first + __builtin_ctz(others)];
        if (other.mask != mask || !same(other.site, site))
            fail(LaunchFailed, text("divergence: lane %d is here with mask %08x, lane %d in %s with mask %08x", lane, mask,
                __builtin_ctz(others), name(other.site).c_str(), other.mask), site);
        break; // the others were compared with that one
    }

    if ((arrived & mask) == mask)
    {
        if (execute)
        {
            void* lanes[32];
            for (int i = 0; i < 32; ++i)
                lanes[i] = mask >> i & 1u ? fibers[first + i].operands : nullptr;
            execute(lanes, 32);
        }
        warp_arrived[warp] &= ~mask;
        int list[32], count = 0;
        for (int i = 0; i < 32; ++i)
            if (mask >> i & 1u)
                list[count++] = first + i;
        release(list, count, true);
    }
    suspend();
}

void Worker::meet_many(int key, int count, bool waits, bool strict, void* operands, Execute execute, Site site)
{
    int self = current;
    Meeting* meeting = nullptr;
    for (Meeting& m : meetings)
        if (m.key == key)
            meeting = &m;
    if (!meeting)
        meeting = &meetings.emplace_back(Meeting{key, 0, 0, site, {}});
    if (meeting->arrived == 0)
        meeting->count = count, meeting->site = site;
    else if (meeting->count != count || (strict && !same(meeting->site, site)))
        fail(LaunchFailed, text("divergence: %d threads of %d came here, %d threads of %d wait in %s", 1, count, meeting->arrived,
            meeting->count, name(meeting->site).c_str()), site);

    ++meeting->arrived;
    Fiber& own = fibers[self];
    if (waits)
    {
        own.state = Fiber::Meeting, own.site = site, own.key = key, own.operands = operands;
        meeting->waiting.push_back(self);
    }
    if (meeting->arrived == count)
    {
        std::vector<int>& waiting = meeting->waiting;
        if (execute)
        {
            std::vector<void*> all;
            for (int t : waiting)
                all.push_back(fibers[t].operands);
            execute(all.data(), (int)all.size());
        }
        int list[max_threads], n = 0;
        bool present[max_threads] = {};
        for (int t : waiting)
            present[t] = true;
        for (int t = 0; t < threads; ++t)
            if (present[t])
                list[n++] = t;
        meeting->arrived = 0;
        waiting.clear();
        release(list, n, false);
    }
    if (waits)
        suspend();
}

// Dynamic shared memory begins here in the addresses that instructions have: after the static part and a gap.
unsigned int Worker::dynamic_window() const
{
    return (unsigned int)(module->shared_end - module->shared_begin + 2047) / 1024 * 1024;
}

bool Worker::is_shared(const void* pointer, size_t bytes) const
{
    auto p = static_cast<const unsigned char*>(pointer);
    return (p >= module->shared_begin && p + bytes <= module->shared_end) || (p >= dynamic
        && p + bytes <= dynamic + dynamic_bytes);
}

void Worker::copy_async(void* shared, const void* global, int bytes, int valid_bytes, Site site)
{
    if ((size_t)shared % bytes != 0 || (valid_bytes > 0 && (size_t)global % bytes != 0))
        fail(MisalignedAddress, text("from %p to %p: the addresses must be multiples of %d", global, shared, bytes), site);
    if (!is_shared(shared, bytes))
        fail(IllegalAddress, text("the destination %p is not within the block's shared memory", shared), site);
    Fiber& own = fibers[current];
    memset(shared, 0xff, bytes);
    own.copies.push_back({shared, global, bytes, valid_bytes, own.copy_group, site});
}

void Worker::copy_wait(int pending)
{
    Fiber& own = fibers[current];
    size_t done = 0;
    while (done < own.copies.size() && own.copies[done].group < own.copy_group - pending)
    {
        copying = &own.copies[done++];
        memcpy(copying->shared, copying->global, copying->valid_bytes);
        memset(static_cast<char*>(copying->shared) + copying->valid_bytes, 0, copying->bytes - copying->valid_bytes);
    }
    copying = nullptr;
    own.copies.erase(own.copies.begin(), own.copies.begin() + done);
}

void Worker::reset(const Launch& l, Index3 block, uint64_t seed)
{
    launch = &l;
    module = l.function->module->copies[number];
    kernel = &l.function->kernel(number);
    arguments.clear();
    for (size_t offset : l.offsets)
        arguments.push_back(const_cast<unsigned char*>(l.blob.data()) + offset);
    *module->services = services;
    *module->block_index = block_index = block;
    *module->block_size = l.block;
    *module->grid_size = l.grid;

    dynamic_bytes = l.shared;
    dynamic = dynamic_end - (l.shared + copy_alignment_slack - 1) / copy_alignment_slack * copy_alignment_slack;
    *module->dynamic_shared = dynamic;
    memset(dynamic, 0xff, dynamic_end - dynamic);
    memset(module->shared_begin, 0xff, module->shared_end - module->shared_begin);

    threads = (int)(l.block.x * l.block.y * l.block.z);
    exited = 0;
    head = tail = 0;
    state = seed * 0x9e3779b97f4a7c15ull + linear(block, l.grid) * 0xbf58476d1ce4e5b9ull + 1;
    memset(warp_arrived, 0, sizeof(warp_arrived));
    meetings.clear();
    hopper = {};
    free_stacks = stacks;
    int all[max_threads];
    for (int t = 0; t < threads; ++t)
    {
        Fiber& f = fibers[t];
        f.state = Fiber::New;
        unsigned int n = (unsigned int)t;
        f.index = {n % l.block.x, n / l.block.x % l.block.y, n / (l.block.x * l.block.y)};
        f.copy_group = 0;
        f.copies.clear();
        all[t] = t;
    }
    release(all, threads, false);
}

bool Worker::run_block(const Launch& l, Index3 block, uint64_t seed, Cluster* partners)
{
    error = Success;
    fault_signal = 0;
    reset(l, block, seed);
    cluster = partners;
    if (cluster)
    {
        cluster->workers[number] = this;
        cluster->finished[number] = false;
        if (!cluster->meet())
            return false;
    }
    become(take());
    inside = true;
    emulator_switch(&scheduler, fresh_stack());
    inside = false;
    HopperCalls::let_go();
    if (cluster)
        cluster->finished[number] = true;
    if (fault_signal != 0)
        describe_fault();
    if (const TensorCopy* copy = HopperCalls::unfinished(*this); copy && error == Success)
        error = LaunchFailed, message = text("kernel %s, block (%u, %u, %u): %s: the block ends before this copy",
            kernel->name, block.x,
            block.y, block.z, name(copy->site).c_str());
    for (unsigned char* p = dynamic + dynamic_bytes; error == Success && p < dynamic_end; ++p)
        if (*p != 0xff)
            error = IllegalAddress,
                message = text("kernel %s, block (%u, %u, %u): bytes after the %zu bytes of dynamic shared memory were "
                "overwritten", kernel->name, block.x, block.y, block.z, dynamic_bytes);
    return error == Success;
}
} // namespace emulator
