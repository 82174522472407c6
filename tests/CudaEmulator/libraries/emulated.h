// What a stand-in for one of NVIDIA's libraries needs of the emulator that is loaded in this process: it checks its arguments,
// then queues its work on a stream.
#pragma once
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace emulated
{
inline void* function(const char* name)
{
    static void* emulator = dlopen("libmdm_cuda_emulator.so", RTLD_NOW | RTLD_NOLOAD); // its soname
    void* address = emulator ? dlsym(emulator, name) : nullptr;
    if (!address)
    {
        fprintf(stderr, "no emulator of CUDA with %s is loaded\n", name);
        abort();
    }
    return address;
}

// Calls work when the stream comes to it, at each replay of what captured it. Not 0: a CUresult.
inline int enqueue(void* stream, std::function<int()> work)
{
    using Work = std::function<int()>;
    static auto enqueue = reinterpret_cast<int (*)(void*, int (*)(void*), void*, void (*)(void*))>(function("mdmEmulatorEnqueue"));
    return enqueue(stream, [](void* data) { return (*static_cast<Work*>(data))(); }, new Work(std::move(work)),
        [](void* data) { delete static_cast<Work*>(data); });
}

// 0 if the bytes lie in one allocation of device memory; else a CUresult, and the emulator's message names the call.
inline int check_memory(const void* address, size_t bytes, const char* call)
{
    static auto check = reinterpret_cast<int (*)(const void*, size_t, const char*)>(function("mdmEmulatorCheckMemory"));
    return check(address, bytes, call);
}

inline float from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    static_assert(sizeof value == sizeof wide);
    __builtin_memcpy(&value, &wide, sizeof value);
    return value;
}

// To the nearest, ties to even.
inline uint16_t to_bf16(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return value != value ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
} // namespace emulated
