// Device memory: every allocation has pages of its own, ends at their end, and an unreadable page lies on either side, so that
// a kernel that runs over it faults. What is left of the first page, and the last few bytes up to a multiple of 16, hold a
// pattern that is checked when the memory is freed. Fresh memory is poisoned: all ones, which is NaN in every type.
#include <sys/mman.h>

#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>

#include "runtime.h"

namespace emulator
{
namespace
{
constexpr size_t page = 4096;
constexpr unsigned char pattern = 0xa5;

struct Block
{
    unsigned char* pages; // the first readable one
    size_t length;        // of the readable pages
    size_t bytes;         // asked for
    std::shared_ptr<unsigned char[]> written; // bytes that were, in the checking mode
};

struct Memory
{
    std::mutex lock;
    std::map<unsigned char*, Block> blocks; // by address
    std::deque<Block> freed;                // unreadable until forgotten, so that a late use faults
    std::map<unsigned char*, size_t> pinned;
    size_t used = 0;
};

Memory& memory()
{
    static auto* m = new Memory();
    return *m;
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void unmap(const Block& block) { munmap(block.pages - page, block.length + 2 * page); }

bool untouched(const unsigned char* from, const unsigned char* to)
{
    for (; from < to; ++from)
        if (*from != pattern)
            return false;
    return true;
}
} // namespace

int allocate(size_t bytes, void** address)
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    if (bytes == 0 || !address)
        return InvalidValue;
    if (bytes > settings().memory || m.used + bytes > settings().memory)
        return OutOfMemory;

    size_t length = round_up(bytes, page);
    void* map = mmap(nullptr, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return OutOfMemory;
    unsigned char* pages = static_cast<unsigned char*>(map) + page;
    if (mprotect(pages, length, PROT_READ | PROT_WRITE) != 0)
    {
        munmap(map, length + 2 * page);
        return OutOfMemory;
    }

    unsigned char* start = pages + length - round_up(bytes, 16);
    memset(pages, pattern, start - pages);
    memset(start, 0xff, bytes);
    memset(start + bytes, pattern, pages + length - (start + bytes));
    m.blocks[start] = {pages, length, bytes,
        std::shared_ptr<unsigned char[]>(settings().check ? new unsigned char[bytes]() : nullptr)};
    m.used += bytes;
    *address = start;
    return Success;
}

int release(void* address)
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    auto found = m.blocks.find(static_cast<unsigned char*>(address));
    if (found == m.blocks.end())
        return report(InvalidValue, text("cuMemFree: %p is no allocation", address));

    Block block = found->second;
    unsigned char* start = found->first;
    bool before = untouched(block.pages, start), after = untouched(start + block.bytes, block.pages + block.length);
    m.blocks.erase(found);
    m.used -= block.bytes;
    mprotect(block.pages, block.length, PROT_NONE);
    madvise(block.pages, block.length, MADV_DONTNEED);
    m.freed.push_back(block);
    if (m.freed.size() > 256)
    {
        unmap(m.freed.front());
        m.freed.pop_front();
    }
    if (!before || !after)
        return report(IllegalAddress,
            text("the memory just %s an allocation of %zu bytes was overwritten (found when it was freed)",
            before ? "after" : "before", block.bytes));
    return Success;
}

size_t memory_used()
{
    std::lock_guard hold(memory().lock);
    return memory().used;
}

int live_allocations()
{
    std::lock_guard hold(memory().lock);
    return (int)memory().blocks.size();
}

void release_all()
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    for (auto& [start, block] : m.blocks)
        unmap(block);
    m.blocks.clear();
    m.used = 0;
}

std::string describe_address(const void* address)
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    auto p = static_cast<const unsigned char*>(address);
    for (const Block& block : m.freed)
        if (p >= block.pages - page && p < block.pages + block.length + page)
            return text("address %p lies in memory that was freed (%zu bytes)", address, block.bytes);

    const unsigned char* nearest = nullptr;
    size_t distance = ~size_t(0), bytes = 0;
    for (auto& [start, block] : m.blocks)
    {
        size_t away = p < start ? start - p : p >= start + block.bytes ? p - (start + block.bytes) : 0;
        if (away < distance)
            distance = away, nearest = start, bytes = block.bytes;
    }
    if (!nearest || distance > (size_t(1) << 30))
        return text("address %p lies far from every allocation", address);
    if (p < nearest)
        return text("address %p lies %zu bytes before an allocation of %zu bytes", address, distance, bytes);
    if (p >= nearest + bytes)
        return text("address %p lies %zu bytes past the end of an allocation of %zu bytes", address, distance, bytes);
    return text("address %p lies at byte %zu of an allocation of %zu bytes", address, size_t(p - nearest), bytes);
}

bool is_device_memory(const void* address, size_t bytes)
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    auto p = static_cast<unsigned char*>(const_cast<void*>(address));
    auto after = m.blocks.upper_bound(p);
    if (after == m.blocks.begin())
        return false;
    auto& [start, block] = *std::prev(after);
    return p + bytes <= start + block.bytes;
}

Written written_at(const void* address)
{
    Memory& m = memory();
    std::lock_guard hold(m.lock);
    auto p = static_cast<unsigned char*>(const_cast<void*>(address));
    auto after = m.blocks.upper_bound(p);
    if (after == m.blocks.begin())
        return {};
    auto& [start, block] = *std::prev(after);
    return p < start + block.bytes && block.written ? Written{start, start + block.bytes, block.written.get()} : Written{};
}

void mark_written(void* to, size_t bytes, const void* from)
{
    auto p = static_cast<unsigned char*>(to);
    Written target = written_at(to), source = from ? written_at(from) : Written{};
    if (target.bytes && source.bytes)
        memmove(target.bytes + (p - target.begin), source.bytes + (static_cast<const unsigned char*>(from) - source.begin),
            bytes);
    else if (target.bytes)
        memset(target.bytes + (p - target.begin), 1, bytes);
}

int allocate_pinned(size_t bytes, void** address)
{
    if (bytes == 0 || !address)
        return InvalidValue;
    size_t length = round_up(bytes, page);
    void* map = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return OutOfMemory;
    memset(map, 0xff, bytes);
    std::lock_guard hold(memory().lock);
    memory().pinned[static_cast<unsigned char*>(map)] = length;
    *address = map;
    return Success;
}

int release_pinned(void* address)
{
    std::lock_guard hold(memory().lock);
    auto found = memory().pinned.find(static_cast<unsigned char*>(address));
    if (found == memory().pinned.end())
        return InvalidValue;
    munmap(found->first, found->second);
    memory().pinned.erase(found);
    return Success;
}

bool is_pinned(const void* address)
{
    std::lock_guard hold(memory().lock);
    auto p = static_cast<unsigned char*>(const_cast<void*>(address));
    auto after = memory().pinned.upper_bound(p);
    if (after == memory().pinned.begin())
        return false;
    auto& [start, length] = *std::prev(after);
    return p < start + length;
}
} // namespace emulator
