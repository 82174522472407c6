// The driver's entry points for modules, launches and tensor maps.
#include <cstring>
#include <map>

#include "driver.h"

using namespace emulator;

EXPORT cuModuleLoadData(LoadedModule** module, const void* image) { LIVE; return load_module(image, module); }

EXPORT cuModuleUnload(LoadedModule* module)
{
    LOCK;
    finish_all();
    unload_module(module);
    return Success;
}

EXPORT cuModuleGetFunction(Function** function, LoadedModule* module, const char* name)
{
    LIVE;
    const Kernel* kernels = module->copies[0]->kernels;
    for (int i = 0; kernels[i].name; ++i)
        if (strcmp(kernels[i].name, name) == 0)
            return *function = new Function{module, i, name}, Success;
    return report(NotFound, text("cuModuleGetFunction: the module has no kernel %s", name));
}

EXPORT cuFuncSetAttribute(Function* function, int attribute, int value)
{
    LIVE;
    constexpr int max_dynamic_shared = 8;
    if (attribute != max_dynamic_shared)
        return Success;
    if (value > shared_limit())
        return report(InvalidValue,
            text("cuFuncSetAttribute: kernel %s asks for %d bytes of dynamic shared memory, at most %d are possible",
            function->name.c_str(), value, shared_limit()));
    function->max_dynamic_shared = value;
    return Success;
}

EXPORT cuFuncGetAttribute(int* value, int attribute, Function* function)
{
    LIVE;
    const std::map<int, int> values{{0, function->kernel().max_threads}, {4, 32}, {5, settings().capability},
        {6, settings().capability}, {8, function->max_dynamic_shared}};
    auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return Success;
}

EXPORT cuLaunchKernel(Function* function, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by,
    unsigned int bz, unsigned int shared, Stream* stream, void** parameters, void**)
{
    LIVE;
    const Kernel& kernel = function->kernel();
    const char* name = function->name.c_str();
    long long threads = (long long)bx * by * bz;
    if (gx == 0 || gy == 0 || gz == 0 || threads == 0)
        return report(InvalidValue, text("launch of %s: grid (%u, %u, %u) of blocks (%u, %u, %u) is empty", name, gx, gy, gz,
            bx, by, bz));
    if (gx > 2147483647u || gy > 65535 || gz > 65535)
        return report(InvalidValue, text("launch of %s: grid (%u, %u, %u), at most (2147483647, 65535, 65535)", name, gx, gy,
            gz));
    if (bx > 1024 || by > 1024 || bz > 64 || threads > 1024)
        return report(InvalidValue,
            text("launch of %s: block (%u, %u, %u) of %lld threads, at most (1024, 1024, 64) and 1024 in all", name,
            bx, by, bz, threads));
    if (threads > kernel.max_threads)
        return report(InvalidValue, text("launch of %s: blocks of %lld threads, its launch bounds say %d", name, threads,
            kernel.max_threads));
    if (kernel.cluster < 1 || kernel.cluster > 2 || gx % kernel.cluster != 0)
        return report(InvalidValue,
            text("launch of %s: a grid of %u columns in clusters of %d blocks; the emulator has clusters of 1 and 2", name, gx,
            kernel.cluster));
    if ((long long)shared > function->max_dynamic_shared)
        return report(InvalidValue,
            text("launch of %s: %u bytes of dynamic shared memory, %d are allowed (cuFuncSetAttribute)", name, shared,
            function->max_dynamic_shared));

    Launch launch{function, {gx, gy, gz}, {bx, by, bz}, shared, {}, {}};
    constexpr size_t alignment = 64;
    size_t bytes = alignment;
    for (int i = 0; i < kernel.parameters; ++i)
        bytes += (kernel.sizes[i] + alignment - 1) / alignment * alignment;
    launch.blob.resize(bytes);
    size_t offset = (alignment - reinterpret_cast<uintptr_t>(launch.blob.data()) % alignment) % alignment;
    for (int i = 0; i < kernel.parameters; ++i)
    {
        memcpy(launch.blob.data() + offset, parameters[i], kernel.sizes[i]);
        launch.offsets.push_back(offset);
        offset += (kernel.sizes[i] + alignment - 1) / alignment * alignment;
    }
    auto kept = std::make_shared<const Launch>(std::move(launch)); // the blob's address stays
    return enqueue(stream, [kept] { return run(*kept); });
}

EXPORT cuTensorMapEncodeTiled(TensorMap* map, int type, unsigned int rank, void* address, const uint64_t* sizes,
    const uint64_t* strides, const uint32_t* box, const uint32_t* steps, int interleave, int swizzle, int, int)
{
    if (rank < 1 || rank > 5 || reinterpret_cast<uintptr_t>(address) % 16 != 0)
        return report(InvalidValue, text("cuTensorMapEncodeTiled: rank %u, address %p: expected 1 to 5 and a multiple of 16",
            rank, address));
    *map = {};
    map->type = (unsigned char)type, map->rank = (unsigned char)rank;
    map->swizzle = (unsigned char)swizzle, map->interleave = (unsigned char)interleave;
    map->magic = tensor_map_magic;
    map->address = static_cast<unsigned char*>(address);
    for (unsigned int i = 0; i < rank; ++i)
    {
        if (sizes[i] == 0 || sizes[i] > 0xffffffffull || box[i] == 0 || box[i] > 256)
            return report(InvalidValue, text("cuTensorMapEncodeTiled: dimension %u of size %llu with a box of %u", i,
                (unsigned long long)sizes[i], box[i]));
        if (i > 0 && (strides[i - 1] % 16 != 0 || strides[i - 1] >= 1ull << 40))
            return report(InvalidValue,
                text("cuTensorMapEncodeTiled: stride %llu of dimension %u is no multiple of 16 below 2^40",
                (unsigned long long)strides[i - 1], i));
        map->sizes[i] = (unsigned int)sizes[i], map->box[i] = box[i], map->steps[i] = (unsigned short)steps[i];
        if (i > 0)
            map->strides[i - 1] = strides[i - 1];
    }
    return Success;
}
