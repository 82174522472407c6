// See checks.h.
#include "checks.h"

#include <algorithm>
#include <cstring>

#include "worker.h"

namespace emulator
{
namespace
{
constexpr int lanes = 32;

// Fresh memory is all ones (memory.cpp, worker.cpp). So bytes of any other value were written, though perhaps by a library's
// stand-in or a tensor copy, which leave no mark; numbers of two bytes and more are looked at in pairs of bytes.
template <typename IsWritten>
bool nobody_wrote(const unsigned char* p, size_t bytes, IsWritten is_written)
{
    const size_t step = bytes % 2 == 0 ? 2 : 1;
    for (size_t i = 0; i < bytes; i += step)
    {
        bool fresh = true;
        for (size_t j = i; j < i + step; ++j)
            fresh = fresh && !is_written(j) && p[j] == 0xff;
        if (fresh)
            return true;
    }
    return false;
}

const char* verb(bool writes) { return writes ? "write" : "read"; }
} // namespace

void Checks::begin(const unsigned char* d, size_t d_bytes, const unsigned char* f, size_t f_bytes, Index3 block_size)
{
    dynamic = d, dynamic_bytes = d_bytes, fixed = f, fixed_bytes = f_bytes, size = block_size;
    if (bytes.size() < d_bytes + f_bytes)
        bytes.resize(d_bytes + f_bytes);
    const size_t threads = (size_t)size.x * size.y * size.z;
    clocks.assign((threads + lanes - 1) / lanes * lanes * lanes, 0);
    for (size_t t = 0; t < threads; ++t)
        clocks[t * lanes + t % lanes] = 1;
    races = true;
    ++epoch, ++block; // what is known of older blocks counts no more
    global = {};
    unwritten = {};
}

Checks::SharedByte* Checks::find(const void* address, size_t n)
{
    auto p = static_cast<const unsigned char*>(address);
    if (p >= fixed && p + n <= fixed + fixed_bytes)
        return &bytes[p - fixed];
    if (p >= dynamic && p + n <= dynamic + dynamic_bytes)
        return &bytes[fixed_bytes + (p - dynamic)];
    return nullptr;
}

void Checks::forget(const void* address, size_t n)
{
    if (SharedByte* cells = find(address, n))
        for (size_t i = 0; i < n; ++i)
            cells[i].written = 0;
}

std::string Checks::name(int thread) const
{
    auto t = (unsigned int)thread;
    return text("thread (%u, %u, %u)", t % size.x, t / size.x % size.y, t / (size.x * size.y));
}

bool Checks::ordered(const Trace& before, int thread) const
{
    if (before.epoch != epoch || before.thread == thread)
        return true;
    return before.thread / lanes == thread / lanes && clocks[thread * lanes + before.thread % lanes] >= before.clock;
}

Finding Checks::met_all()
{
    ++epoch;
    return std::move(unwritten);
}

void Checks::met_warp(int first, unsigned int mask)
{
    unsigned int latest[lanes] = {};
    for (unsigned int rest = mask; rest; rest &= rest - 1)
    {
        const unsigned int* own = &clocks[(first + __builtin_ctz(rest)) * lanes];
        for (int i = 0; i < lanes; ++i)
            latest[i] = std::max(latest[i], own[i]);
    }
    for (unsigned int rest = mask; rest; rest &= rest - 1)
    {
        int lane = __builtin_ctz(rest);
        unsigned int* own = &clocks[(first + lane) * lanes];
        memcpy(own, latest, sizeof(latest));
        ++own[lane];
    }
}

Finding Checks::race(const SharedByte& cell, EmulatorAccess kind, const Trace& now) const
{
    auto between = [&](const Trace& before, bool wrote) {
        return Finding{name(now.thread), text("race: a %s of shared memory, and no barrier since the %s of %s",
            verb(kind == EmulatorAccess::Write), verb(wrote), name(before.thread).c_str()), now.code, before.code};
    };
    if (!ordered(cell.write, now.thread))
        return between(cell.write, true);
    if (kind == EmulatorAccess::Write)
        for (const Trace& read : cell.reads)
            if (!ordered(read, now.thread))
                return between(read, false);
    return {};
}

Finding Checks::access_shared(SharedByte* cells, const unsigned char* p, size_t n, EmulatorAccess kind, Trace now)
{
    // A thread that should have written first may yet do it: then the race is told.
    if (kind != EmulatorAccess::Write && !unwritten
        && nobody_wrote(p, n, [&](size_t i) { return cells[i].written == block; }))
        unwritten = {name(now.thread), text("a read of %zu bytes of shared memory that nobody wrote, or only a copy that is "
            "under way", n), now.code, nullptr};
    for (size_t i = 0; i < n; ++i)
    {
        SharedByte& cell = cells[i];
        if (kind != EmulatorAccess::Read)
            cell.written = block;
        if (kind == EmulatorAccess::Atomic || !races)
            continue;
        if (Finding found = race(cell, kind, now))
            return found;
        if (kind == EmulatorAccess::Write)
            cell.write = now;
        else
        {
            Trace &last = cell.reads[0], &other = cell.reads[1];
            if (last.epoch == epoch && last.thread / lanes != now.thread / lanes)
                other = last;
            last = now;
        }
    }
    return {};
}

Finding Checks::access(const void* address, size_t n, EmulatorAccess kind, int thread, const void* code)
{
    if (SharedByte* cells = find(address, n))
        return access_shared(cells, static_cast<const unsigned char*>(address), n, kind,
            {code, epoch, clocks[thread * lanes + thread % lanes], thread});

    auto p = static_cast<const unsigned char*>(address);
    if (!(p >= global.begin && p < global.end))
    {
        Written there = written_at(p);
        if (!there.bytes)
            return {};
        global = there;
    }
    if (p + n > global.end)
        return {}; // the access itself will fault
    unsigned char* written = global.bytes + (p - global.begin);
    if (kind != EmulatorAccess::Write && nobody_wrote(p, n, [&](size_t i) { return written[i] != 0; }))
        return {name(thread), text("a read of %zu bytes that nobody wrote, at byte %zu of an allocation of %zu bytes", n,
            size_t(p - global.begin), size_t(global.end - global.begin)), code, nullptr};
    if (kind != EmulatorAccess::Read)
        memset(written, 1, n);
    return {};
}

void Worker::check(const void* address, size_t bytes, EmulatorAccess kind, const void* code)
{
    if (checks && bytes > 0)
        stop_for(checks->access(address, bytes, kind, current, code));
}

void Worker::stop_for(Finding finding)
{
    if (!finding)
        return;
    found = std::move(finding);
    abandon();
}

void Worker::describe_finding(const Finding& finding)
{
    // The call's own address is just before the one that it returns to; the emulator's headers are of no interest.
    auto line = [this](const void* code) {
        std::string places = source_line(*launch->function->module, number, static_cast<const char*>(code) - 1);
        const std::string caller = ", called at ";
        while (places.rfind("emulator_", 0) == 0 && places.find(caller) != std::string::npos)
            places.erase(0, places.find(caller) + caller.size());
        return places;
    };
    const Index3& b = block_index;
    error = LaunchFailed;
    message = text("kernel %s, block (%u, %u, %u), ", kernel->name, b.x, b.y, b.z) + finding.thread + ", " + line(finding.code)
        + ": " + finding.words + (finding.other ? " at " + line(finding.other) : "");
}
} // namespace emulator
