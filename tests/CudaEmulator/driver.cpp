// The entry points of the CUDA driver that the program uses, but for those of driver_launch.cpp.
#include <cstring>
#include <map>

#include "driver.h"

using namespace emulator;

namespace
{
constexpr uintptr_t context_handle = 0xc0de;
int retained = 0;

int check_device(uint64_t address, size_t bytes, const char* call)
{
    return is_device_memory(reinterpret_cast<void*>(address), bytes) ? Success
        : report(InvalidValue, text("%s: %zu bytes at 0x%llx are not within device memory", call, bytes,
            (unsigned long long)address));
}

int freed_meanwhile(const char* work, size_t bytes)
{
    return report(IllegalAddress, text("a %s of %zu bytes: the device memory was freed before it was carried out", work, bytes));
}

// A copy whose device ends are checked again when it is carried out.
int copy(Stream* stream, void* to, const void* from, size_t bytes, bool to_device, bool from_device)
{
    return enqueue(stream, [=] {
        if ((to_device && !is_device_memory(to, bytes)) || (from_device && !is_device_memory(from, bytes)))
            return freed_meanwhile("copy", bytes);
        memmove(to, from, bytes);
        if (to_device)
            mark_written(to, bytes, from);
        return (int)Success;
    });
}
} // namespace

// ---- the emulator's own ----

extern "C" __attribute__((visibility("default"))) const char* mdmEmulatorLastMessage() { return last_message(); }
EXPORT mdmEmulatorLiveAllocations() { return live_allocations(); }

// As MDM_EMULATOR_ORDER; for launches from now on.
EXPORT mdmEmulatorSetOrder(const char* order)
{
    LOCK;
    int error = finish_all();
    set_order(order);
    return error;
}

// As MDM_EMULATOR_CAPABILITY, as 10 major + minor; for devices and modules from now on.
EXPORT mdmEmulatorSetCapability(int capability)
{
    LOCK;
    int error = finish_all();
    set_capability(capability);
    return error;
}

// As MDM_EMULATOR_TIMEOUT.
EXPORT mdmEmulatorSetTimeout(int seconds) { return set_timeout(seconds), Success; }

// As MDM_EMULATOR_CHECK; for modules and memory from now on. NVRTC's version stays: such modules are not for a cache.
EXPORT mdmEmulatorSetCheck(int check)
{
    LOCK;
    int error = finish_all();
    set_check(check != 0);
    return error;
}

// Lets the context live on after an error, which no GPU does: for tests that plant errors.
EXPORT mdmEmulatorForgetError()
{
    LOCK;
    context_error = Success;
    clear_message();
    return Success;
}

// For stand-ins of libraries that queue work of their own: calls work(data), which returns a CUresult, when the stream comes to it,
// at each replay of what captured it, and forget(data) when nothing can call it any more.
EXPORT mdmEmulatorEnqueue(Stream* stream, int (*work)(void*), void* data, void (*forget)(void*))
{
    LOCK;
    std::shared_ptr<void> kept(data, forget);
    return context_error != Success ? context_error : enqueue(stream, [=] { return work(kept.get()); });
}

// Success if the bytes lie in one allocation of device memory; else an error that names the library's call.
EXPORT mdmEmulatorCheckMemory(const void* address, size_t bytes, const char* call)
{
    return check_device(reinterpret_cast<uint64_t>(address), bytes, call);
}

// ---- devices and the context ----

EXPORT cuInit(unsigned int) { return settings().devices > 0 ? Success : NoDevice; }
EXPORT cuDriverGetVersion(int* version) { return *version = 12040, Success; }
EXPORT cuDeviceGetCount(int* count) { return *count = settings().devices, Success; }
EXPORT cuDeviceGet(int* device, int ordinal)
{
    return *device = ordinal, ordinal >= 0 && ordinal < settings().devices ? Success : InvalidDevice;
}

EXPORT cuDeviceGetName(char* name, int length, int)
{
    strncpy(name, "Emulated GPU", length - 1);
    name[length - 1] = 0;
    return Success;
}

EXPORT cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = settings().memory, Success; }

EXPORT cuDeviceGetAttribute(int* value, int attribute, int)
{
    const std::map<int, int> values{ // the capability may change
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64},                  // threads of a block, its sizes
        {5, 2147483647}, {6, 65535}, {7, 65535},                   // sizes of a grid
        {8, 48 * 1024}, {9, 65536}, {10, 32}, {12, 65536},         // shared and constant memory, warp, registers
        {13, 1000000}, {15, 1}, {16, 4}, {20, 0}, {31, 1},         // kHz, -, multiprocessors, compute mode, concurrent kernels
        {32, 0}, {36, 1000000}, {37, 64}, {38, 4 << 20},           // ECC, memory kHz, bus, L2
        {39, 2048}, {40, 2}, {41, 1},                              // threads of a multiprocessor, copy engines, one address space
        {75, settings().capability / 10}, {76, settings().capability % 10},
        {81, shared_limit() + 1024}, {82, 65536}, {97, shared_limit()}, {106, 32}, {111, 1024},
    };
    auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return Success;
}

EXPORT cuDevicePrimaryCtxRetain(uintptr_t* context, int)
{
    LOCK;
    ++retained;
    *context = context_handle;
    return Success;
}

// The last release ends the context: what is still allocated was leaked.
EXPORT cuDevicePrimaryCtxRelease_v2(int)
{
    LOCK;
    if (retained == 0)
        return InvalidContext;
    if (--retained > 0)
        return Success;
    finish_all();
    if (int count = live_allocations())
        report(Success, text("leak: %d allocations (%zu bytes) are alive at the end of the context", count, memory_used()));
    release_all();
    forget_all();
    return Success;
}

EXPORT cuCtxSetCurrent(uintptr_t context) { return context == context_handle || context == 0 ? Success : InvalidContext; }

// ---- memory ----

EXPORT cuMemGetInfo_v2(size_t* free, size_t* total)
{
    LIVE;
    *total = settings().memory;
    *free = *total - memory_used();
    return Success;
}

EXPORT cuMemAlloc_v2(uint64_t* address, size_t bytes)
{
    LIVE;
    if (forbidden_by_capture())
        return CaptureUnsupported;
    return allocate(bytes, reinterpret_cast<void**>(address));
}

EXPORT cuMemFree_v2(uint64_t address)
{
    LIVE;
    if (forbidden_by_capture())
        return CaptureUnsupported;
    int error = finish_all();
    if (error == Success)
        error = release(reinterpret_cast<void*>(address));
    return context_error = error == IllegalAddress ? error : context_error, error;
}

EXPORT cuMemHostAlloc(void** address, size_t bytes, unsigned int) { LIVE; return allocate_pinned(bytes, address); }

EXPORT cuMemFreeHost(void* address)
{
    LIVE;
    finish_all();
    return release_pinned(address);
}

EXPORT cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream)
{
    LIVE;
    if (int error = check_device(to, bytes, "cuMemcpyHtoDAsync"))
        return error;
    if (is_pinned(from) || (stream && stream->capture))
        return copy(stream, reinterpret_cast<void*>(to), from, bytes, true, false);

    // Memory that is not pinned is read before the call returns.
    auto staged = std::make_shared<std::vector<unsigned char>>((const unsigned char*)from, (const unsigned char*)from + bytes);
    return enqueue(stream, [=] {
        if (!is_device_memory(reinterpret_cast<void*>(to), bytes))
            return freed_meanwhile("copy", bytes);
        memcpy(reinterpret_cast<void*>(to), staged->data(), bytes);
        mark_written(reinterpret_cast<void*>(to), bytes);
        return (int)Success;
    });
}

EXPORT cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream)
{
    LIVE;
    if (int error = check_device(from, bytes, "cuMemcpyDtoHAsync"))
        return error;
    int error = copy(stream, to, reinterpret_cast<void*>(from), bytes, false, true);
    return error == Success && !is_pinned(to) && !(stream && stream->capture) ? finish(stream) : error;
}

EXPORT cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream)
{
    LIVE;
    int error = check_device(to, bytes, "cuMemcpyDtoDAsync");
    if (error == Success)
        error = check_device(from, bytes, "cuMemcpyDtoDAsync");
    return error == Success ? copy(stream, reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes, true, true) : error;
}

EXPORT cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, Stream* stream)
{
    LIVE;
    if (int error = check_device(to, bytes, "cuMemsetD8Async"))
        return error;
    return enqueue(stream, [=] {
        if (!is_device_memory(reinterpret_cast<void*>(to), bytes))
            return freed_meanwhile("fill", bytes);
        memset(reinterpret_cast<void*>(to), value, bytes);
        mark_written(reinterpret_cast<void*>(to), bytes);
        return (int)Success;
    });
}

// ---- streams, events, graphs ----

EXPORT cuStreamCreate(Stream** stream, unsigned int) { LIVE; return *stream = create_stream(), Success; }
EXPORT cuStreamSynchronize(Stream* stream) { LIVE; return finish(stream); }
EXPORT cuStreamDestroy_v2(Stream* stream) { LOCK; return destroy_stream(stream), Success; }
EXPORT cuStreamWaitEvent(Stream* stream, Event* event, unsigned int) { LIVE; return wait(stream, event); }
EXPORT cuStreamBeginCapture_v2(Stream* stream, int mode) { LIVE; return begin_capture(stream, mode); }
EXPORT cuStreamEndCapture(Stream* stream, Graph** graph) { LIVE; return end_capture(stream, graph); }
EXPORT cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long)
{
    LIVE;
    return *executable = new Graph(*graph), Success;
}
EXPORT cuGraphDestroy(Graph* graph) { LOCK; return delete graph, Success; }

EXPORT cuGraphLaunch(Graph* executable, Stream* stream)
{
    LIVE;
    for (auto& work : executable->work)
        if (int error = enqueue(stream, work))
            return error;
    return Success;
}

EXPORT cuGraphExecDestroy(Graph* executable) { LOCK; return delete executable, Success; }

EXPORT cuEventCreate(Event** event, unsigned int) { LIVE; return *event = new Event(), Success; }
EXPORT cuEventRecord(Event* event, Stream* stream) { LIVE; return record(event, stream); }
EXPORT cuEventSynchronize(Event* event) { LIVE; return finish(event); }

// Says "not ready" once before it carries out the work, so that callers meet both answers.
EXPORT cuEventQuery(Event* event)
{
    LIVE;
    bool ready = event->done >= event->recorded;
    int error = finish(event);
    return error != Success || ready ? error : (int)NotReady;
}

EXPORT cuEventElapsedTime(float* milliseconds, Event* begin, Event* end)
{
    LIVE;
    if (begin->recorded == 0 || end->recorded == 0)
        return InvalidHandle;
    if (begin->done < begin->recorded || end->done < end->recorded)
        return NotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return Success;
}

EXPORT cuEventDestroy_v2(Event* event)
{
    LOCK;
    finish_all(); // queued work may name it
    delete event;
    return Success;
}

// ---- errors ----

EXPORT cuGetErrorName(int error, const char** name)
{
    static const std::map<int, const char*> names{{Success, "CUDA_SUCCESS"}, {InvalidValue, "CUDA_ERROR_INVALID_VALUE"},
        {OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"}, {NotInitialized, "CUDA_ERROR_NOT_INITIALIZED"},
        {NoDevice, "CUDA_ERROR_NO_DEVICE"},
        {InvalidDevice, "CUDA_ERROR_INVALID_DEVICE"}, {InvalidImage, "CUDA_ERROR_INVALID_IMAGE"},
        {InvalidContext, "CUDA_ERROR_INVALID_CONTEXT"}, {NoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {InvalidHandle, "CUDA_ERROR_INVALID_HANDLE"}, {NotFound, "CUDA_ERROR_NOT_FOUND"}, {NotReady, "CUDA_ERROR_NOT_READY"},
        {IllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {LaunchOutOfResources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {LaunchTimeout, "CUDA_ERROR_LAUNCH_TIMEOUT"},
        {IllegalInstruction, "CUDA_ERROR_ILLEGAL_INSTRUCTION"}, {MisalignedAddress, "CUDA_ERROR_MISALIGNED_ADDRESS"},
        {LaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"}, {CaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
        {CaptureInvalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}};
    auto found = names.find(error);
    *name = found == names.end() ? nullptr : found->second;
    return found == names.end() ? InvalidValue : Success;
}

// The emulator's message if there is one.
EXPORT cuGetErrorString(int error, const char** words)
{
    int known = cuGetErrorName(error, words);
    if (error != Success && *last_message())
        return *words = last_message(), Success;
    return known;
}
