// How the threads of a block take turns, and a block's beginning and end.
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
constexpr int ring = 2048;
constexpr size_t stack_bytes = 128 * 1024;
constexpr size_t dynamic_room = 228 * 1024;
constexpr size_t copy_alignment_slack = 128;

int linear(const Index3& i, const Index3& size) { return (int)(i.x + size.x * (i.y + size.y * i.z)); }
} // namespace

void fiber_entry() { this_worker->fiber(); }

Worker::Worker(int number) : number(number), services(services_for(this)), fibers(max_threads), queue(ring)
{
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

    found = {};
    if (!settings().check)
        checks.reset();
    else if (!checks)
        checks = std::make_unique<Checks>();
    if (checks)
        checks->begin(dynamic, dynamic_bytes, module->shared_begin, module->shared_end - module->shared_begin, l.block);
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
    if (checks && error == Success && !found)
        found = checks->finish();
    if (found)
        describe_finding(found);
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
