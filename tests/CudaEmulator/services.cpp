// What a module calls: meetings of threads, asynchronous copies, addresses in shared memory.
#include <cstring>

#include "worker.h"

namespace emulator
{
namespace
{
bool same(const Site& a, const Site& b)
{
    return a.line == b.line && strcmp(a.what, b.what) == 0 && strcmp(a.file, b.file) == 0;
}
} // namespace

// What a module calls.
struct ServiceCalls
{
    static void meet_warp(void* w, unsigned int mask, void* operands, Execute execute, Site site)
    {
        of(w).meet_warp(mask, operands, execute, site);
    }
    static void meet_many(void* w, int key, int count, bool waits, bool strict, void* operands, Execute execute, Site site)
    {
        of(w).meet_many(key, count, waits, strict, operands, execute, site);
    }
    static void wait_until(void* w, bool (*ready)(void*), void* state, Site site)
    {
        if (ready(state))
            return;
        Fiber& self = of(w).fibers[of(w).current];
        self.state = Fiber::Waiting, self.site = site, self.ready = ready, self.ready_state = state;
        of(w).suspend();
    }
    static void copy_async(void* w, void* shared, const void* global, int bytes, int valid_bytes, Site site)
    {
        of(w).copy_async(shared, global, bytes, valid_bytes, site, __builtin_return_address(0));
    }
    static void copy_commit(void* w) { ++of(w).fibers[of(w).current].copy_group; }
    static void copy_wait(void* w, int pending) { of(w).copy_wait(pending); }
    static unsigned int shared_address(void* w, const void* pointer, Site site)
    {
        auto p = static_cast<const unsigned char*>(pointer);
        if (!of(w).is_shared(p, 1))
            of(w).fail(IllegalAddress, text("%p is no address in shared memory", pointer), site);
        bool is_static = p >= of(w).module->shared_begin && p < of(w).module->shared_end;
        return is_static ? (unsigned int)(p - of(w).module->shared_begin) : of(w).dynamic_window() + (unsigned int)(p - of(w).dynamic);
    }
    static void* shared_pointer(void* w, unsigned int address, int bytes, Site site)
    {
        unsigned char* p = address >= of(w).dynamic_window() ? of(w).dynamic + (address - of(w).dynamic_window())
            : of(w).module->shared_begin + address;
        if (!of(w).is_shared(p, bytes))
            of(w).fail(IllegalAddress, text("%d bytes at %u are not within the block's shared memory", bytes, address), site);
        return p;
    }
    static void access(void* w, const void* address, size_t bytes, EmulatorAccess kind, const void* code)
    {
        of(w).check(address, bytes, kind, code ? code : __builtin_return_address(0));
    }
    static void fail(void* w, int error, const char* message, Site site) { of(w).fail(error, message, site); }
};

Services services_for(Worker* worker)
{
    return {worker, ServiceCalls::meet_warp, ServiceCalls::meet_many, ServiceCalls::wait_until, ServiceCalls::copy_async,
        ServiceCalls::copy_commit, ServiceCalls::copy_wait, ServiceCalls::shared_address, ServiceCalls::shared_pointer,
        ServiceCalls::access, ServiceCalls::fail, execute_mma_bf16, execute_mma_tf32, execute_ldmatrix, &hopper_services};
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
        if (checks)
            checks->met_warp(first, mask);
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
        if (checks && (int)waiting.size() == threads)
            stop_for(checks->met_all());
        else if (checks)
            checks->ignore_races();
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

void Worker::copy_async(void* shared, const void* global, int bytes, int valid_bytes, Site site, const void* code)
{
    if ((size_t)shared % bytes != 0 || (valid_bytes > 0 && (size_t)global % bytes != 0))
        fail(MisalignedAddress, text("from %p to %p: the addresses must be multiples of %d", global, shared, bytes), site);
    if (!is_shared(shared, bytes))
        fail(IllegalAddress, text("the destination %p is not within the block's shared memory", shared), site);
    Fiber& own = fibers[current];
    check(shared, bytes, EmulatorAccess::Write, code);
    if (checks)
        checks->forget(shared, bytes);
    memset(shared, 0xff, bytes);
    own.copies.push_back({shared, global, bytes, valid_bytes, own.copy_group, site, code});
}

void Worker::copy_wait(int pending)
{
    Fiber& own = fibers[current];
    size_t done = 0;
    while (done < own.copies.size() && own.copies[done].group < own.copy_group - pending)
    {
        copying = &own.copies[done++];
        check(copying->global, copying->valid_bytes, EmulatorAccess::Read, copying->code);
        check(copying->shared, copying->bytes, EmulatorAccess::Write, copying->code);
        memcpy(copying->shared, copying->global, copying->valid_bytes);
        memset(static_cast<char*>(copying->shared) + copying->valid_bytes, 0, copying->bytes - copying->valid_bytes);
    }
    copying = nullptr;
    own.copies.erase(own.copies.begin(), own.copies.begin() + done);
}
} // namespace emulator
