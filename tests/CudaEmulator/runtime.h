// The emulator's own parts.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bridge.h"

namespace emulator
{
// CUresult.
enum : int
{
    Success = 0,
    InvalidValue = 1,
    OutOfMemory = 2,
    NotInitialized = 3,
    NoDevice = 100,
    InvalidDevice = 101,
    InvalidImage = 200,
    InvalidContext = 201,
    NoBinaryForGpu = 209,
    InvalidHandle = 400,
    NotFound = 500,
    NotReady = 600,
    IllegalAddress = 700,
    LaunchOutOfResources = 701,
    LaunchTimeout = 702,
    IllegalInstruction = 715,
    MisalignedAddress = 716,
    LaunchFailed = 719,
    CaptureUnsupported = 900,
    CaptureInvalidated = 901,
};

// ---- settings (environment variables) ----

struct Settings
{
    int devices, capability; // capability: 10 major + minor
    size_t memory;           // bytes
    bool blocking;           // every call is carried out before it returns
    enum class Order { Forward, Reverse, Shuffle } order;
    uint64_t seed;
    int workers;
    int timeout; // of a grid, seconds
    bool check;  // every access of a kernel to memory (checks.h)
    bool checked_from_start; // by the environment: modules in a cache are told apart by it
};

const Settings& settings();
void set_capability(int capability);
void set_order(const char* order);
void set_timeout(int seconds);
void set_check(bool check);

// Largest dynamic shared memory of a block, bytes.
int shared_limit();

// ---- errors ----

// Keeps the text for mdmEmulatorLastMessage and cuGetErrorString, prints it, returns the code.
int report(int error, const std::string& message);
const char* last_message();
void clear_message();

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

// ---- device memory (memory.cpp) ----

int allocate(size_t bytes, void** address);
int release(void* address);
size_t memory_used();
int live_allocations();
void release_all();

// "12 bytes past the end of the allocation of 4096 bytes at 0x...", or the like.
std::string describe_address(const void* address);

// Whether [address, address + bytes) lies in one allocation.
bool is_device_memory(const void* address, size_t bytes);

// Which bytes of an allocation were written, one for each; null pointers if that is not known: not in the checking mode.
struct Written
{
    const unsigned char *begin, *end;
    unsigned char* bytes;
};

// Of the allocation that holds an address. Allocations do not change while a grid runs.
Written written_at(const void* address);

// Bytes were written by the host, or (from) copied.
void mark_written(void* to, size_t bytes, const void* from = nullptr);

int allocate_pinned(size_t bytes, void** address);
int release_pinned(void* address);
bool is_pinned(const void* address);

// ---- modules (module.cpp) ----

constexpr int max_workers = 2;

struct LoadedModule
{
    std::vector<unsigned char> image;
    void* libraries[max_workers] = {}; // a copy for each worker
    const Module* copies[max_workers] = {};
    unsigned char* bases[max_workers] = {};
};

struct Function
{
    LoadedModule* module;
    int index;
    std::string name;
    int max_dynamic_shared = 48 * 1024;

    const Kernel& kernel(int worker = 0) const { return module->copies[worker]->kernels[index]; }
};

int load_module(const void* image, LoadedModule** module);
void unload_module(LoadedModule* module);

// "norm.cu:12 (sum), norm.cu:40 (kernel)": where an address in a module's code comes from, as far as can be told.
std::string source_line(const LoadedModule& module, int worker, const void* code);

// ---- launches (workers.cpp) ----

struct Launch
{
    Function* function;
    Index3 grid, block;
    size_t shared;
    std::vector<unsigned char> blob; // arguments
    std::vector<size_t> offsets;
};

// Runs a grid on the workers; an error is reported.
int run(const Launch& launch);

// The execution of warp-wide instructions (ptx.cpp).
void execute_mma_bf16(void* const* operands, int count);
void execute_mma_tf32(void* const* operands, int count);
void execute_ldmatrix(void* const* operands, int count);
} // namespace emulator
