// The checking mode (MDM_EMULATOR_CHECK): g++ calls a function before every access of a kernel to memory (emulator_check.h), and
// each byte is known by who wrote it. Reads of device or shared memory that nobody wrote are found, and accesses of two threads
// to a byte of shared memory that no barrier orders, one of them a write.
#pragma once
#include <string>
#include <vector>

#include "runtime.h"

namespace emulator
{
// Why a block is wrong: who, what, and places in the module's code: that of the access, and of the other one of a race.
struct Finding
{
    std::string thread, words;
    const void *code = nullptr, *other = nullptr;

    explicit operator bool() const { return !words.empty(); }
};

// What is known of one block while it runs. Order: a barrier of all threads ends an epoch; within one, only meetings of a warp
// order its threads, each of which has a clock, and knows the clocks of the others at their last meeting.
class Checks
{
public:
    // A new block: dynamic and static shared memory.
    void begin(const unsigned char* dynamic, size_t dynamic_bytes, const unsigned char* fixed, size_t fixed_bytes, Index3 size);

    // An access of a running thread, and a meeting; what they found is returned.
    Finding access(const void* address, size_t bytes, EmulatorAccess kind, int thread, const void* code);
    Finding met_all();
    void met_warp(int first, unsigned int mask);

    // Threads are ordered by something else from now on: races are not looked for in the rest of the block.
    void ignore_races() { races = false; }

    // Bytes of shared memory hold nothing until an asynchronous copy is waited for.
    void forget(const void* address, size_t bytes);

    // At the end of the block.
    Finding finish() { return std::move(unwritten); }

private:
    struct Trace // of an access to a byte
    {
        const void* code;
        unsigned int epoch, clock;
        int thread;
    };

    struct SharedByte
    {
        Trace write, reads[2]; // the last ones; reads of two different warps if there are such
        unsigned int written;  // in this block, if it is block's number
    };

    SharedByte* find(const void* address, size_t bytes);
    Finding access_shared(SharedByte* cells, const unsigned char* p, size_t bytes, EmulatorAccess kind, Trace now);
    bool ordered(const Trace& before, int thread) const;
    Finding race(const SharedByte& cell, EmulatorAccess kind, const Trace& now) const;
    std::string name(int thread) const;

    const unsigned char *dynamic = nullptr, *fixed = nullptr;
    size_t dynamic_bytes = 0, fixed_bytes = 0;
    Index3 size{};
    bool races = true;
    unsigned int epoch = 0, block = 0;
    std::vector<SharedByte> bytes;             // static shared memory, then dynamic
    std::vector<unsigned int> clocks;          // [thread][lane of its warp]
    Written global{};                          // where the last access was
    Finding unwritten;                         // a read that a race may yet explain
};
} // namespace emulator
