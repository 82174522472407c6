// One worker runs one block at a time: its threads are fibers that hand over to each other where they wait.
#pragma once
#include <csignal>
#include <string>
#include <vector>

#include "checks.h"
#include "hopper.h"
#include "runtime.h"

extern "C" void emulator_switch(void** save, void* to); // worker.cpp
extern "C" [[noreturn]] void emulator_load(void* to);

namespace emulator
{
constexpr size_t page = 4096;
constexpr int max_threads = 1024; // of a block
constexpr int out_of_time = SIGXCPU; // the signal to a worker whose grid takes too long

inline std::string name(const Site& site) { return text("%s at %s:%d", site.what, site.file, site.line); }

struct Copy
{
    void* shared;
    const void* global;
    int bytes, valid_bytes, group;
    Site site;
    const void* code; // in the module
};

struct Fiber // a thread of the block
{
    enum State { New, Ready, Running, Meeting, Waiting, Exited } state;
    Index3 index;
    void* stack_pointer; // while it is not running
    Site site;           // where it waits
    unsigned int mask;   // of the warp meeting
    int key;             // of the other meetings, -1 in a warp's
    void* operands;
    Execute execute;
    bool (*ready)(void*);
    void* ready_state;
    int copy_group;
    std::vector<Copy> copies;
};

struct Meeting // of many threads
{
    int key, count, arrived;
    Site site;
    std::vector<int> waiting;
};

class Worker
{
public:
    explicit Worker(int number);

    // Runs one block; false: it failed, error and message say how.
    bool run_block(const Launch& launch, Index3 block, uint64_t seed, Cluster* cluster = nullptr);

    int error = Success;
    std::string message;

    // What the signal handler does for a fault of a running kernel: true if the context was changed to leave it.
    bool leave(void* context, int signal, void* address);

private:
    friend struct ServiceCalls;
    friend struct HopperCalls;
    friend void fiber_entry();

    [[noreturn]] void fiber();
    [[noreturn]] void fail(int code, const std::string& words, Site site);
    [[noreturn]] void abandon();
    void describe_fault();
    void describe_finding(const Finding& finding);
    std::string deadlock() const;
    std::string where() const;

    void reset(const Launch& launch, Index3 block, uint64_t seed);
    void run_thread();
    int take();
    void poll();
    void wake();
    void await_partner();
    void become(int thread);
    void suspend();
    void* fresh_stack();
    void release(const int* threads, int count, bool front);
    void shuffle(int* threads, int count);
    uint64_t random();

    void meet_warp(unsigned int mask, void* operands, Execute execute, Site site);
    void meet_many(int key, int count, bool waits, bool strict, void* operands, Execute execute, Site site);
    void check(const void* address, size_t bytes, EmulatorAccess kind, const void* code);
    void stop_for(Finding found);
    void copy_async(void* shared, const void* global, int bytes, int valid_bytes, Site site, const void* code);
    void copy_wait(int pending);
    bool is_shared(const void* p, size_t bytes) const;
    unsigned int dynamic_window() const;

    const int number;
    Services services;
    const Launch* launch = nullptr;
    const Module* module = nullptr;
    const Kernel* kernel = nullptr;
    Index3 block_index{};
    std::vector<void*> arguments;

    std::vector<Fiber> fibers; // max_threads
    int threads = 0, exited = 0, current = 0;
    std::vector<int> queue; // ring of threads that can run
    unsigned int head = 0, tail = 0;
    unsigned int warp_arrived[32] = {};
    std::vector<Meeting> meetings;
    uint64_t state = 1;

    std::vector<unsigned char*> stacks, free_stacks;
    unsigned char* starting_stack = nullptr;
    void* scheduler = nullptr; // its stack pointer while fibers run
    volatile bool inside = false;

    unsigned char *dynamic_pages = nullptr, *dynamic_end = nullptr, *dynamic = nullptr;
    size_t dynamic_bytes = 0;

    int fault_signal = 0;
    void *fault_address = nullptr, *fault_code = nullptr;
    const Copy* copying = nullptr;

    std::unique_ptr<Checks> checks; // in the checking mode
    Finding found;

    HopperState hopper;
    Cluster* cluster = nullptr;
};

// By the name that a module has for it.
inline Worker& of(void* worker) { return *static_cast<Worker*>(worker); }

// The services of a worker (services.cpp).
Services services_for(Worker* worker);

// The worker of this thread of the operating system.
extern thread_local Worker* this_worker;
} // namespace emulator
