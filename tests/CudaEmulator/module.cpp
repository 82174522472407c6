// A module is a shared library that nvrtc.cpp built, with a header before it.
#include "module.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulator
{
std::string temporary_folder()
{
    const char* base = getenv("TMPDIR");
    std::string pattern = std::string(base && *base ? base : "/tmp") + "/mdm-emulator-XXXXXX";
    return mkdtemp(pattern.data()) ? pattern : "";
}

bool write_file(const std::string& path, const void* data, size_t bytes)
{
    FILE* file = fopen(path.c_str(), "wb");
    if (!file)
        return false;
    bool written = fwrite(data, 1, bytes, file) == bytes;
    return fclose(file) == 0 && written;
}

int load_module(const void* image, LoadedModule** module)
{
    auto header = static_cast<const ImageHeader*>(image);
    if (memcmp(header->magic, image_magic, sizeof(header->magic)) != 0)
        return report(InvalidImage, "cuModuleLoadData: this is no module of the emulator");
    if (header->version != headers_version())
        return report(NoBinaryForGpu, "cuModuleLoadData: the module was compiled by another version of the emulator");

    auto loaded = std::make_unique<LoadedModule>();
    auto bytes = static_cast<const unsigned char*>(image) + sizeof(ImageHeader);
    loaded->image.assign(bytes, bytes + header->bytes);
    std::string folder = temporary_folder();
    if (folder.empty())
        return report(InvalidImage, "cuModuleLoadData: cannot make a temporary folder");

    int error = Success;
    for (int worker = 0; worker < max_workers && error == Success; ++worker)
    {
        std::string path = folder + text("/module%d.so", worker);
        void* library = write_file(path, bytes, header->bytes) ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
        auto found = library ? static_cast<const Module*>(dlsym(library, "mdm_emulator_module")) : nullptr;
        link_map* map = nullptr;
        if (!found || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
            error = report(InvalidImage, text("cuModuleLoadData: %s", dlerror()));
        else
            loaded->bases[worker] = reinterpret_cast<unsigned char*>(map->l_addr);
        loaded->libraries[worker] = library;
        loaded->copies[worker] = found;
        unlink(path.c_str());
    }
    rmdir(folder.c_str());
    if (error == Success)
        *module = loaded.release();
    return error;
}

void unload_module(LoadedModule* module)
{
    for (void* library : module->libraries)
        if (library)
            dlclose(library);
    delete module;
}

std::string source_line(const LoadedModule& module, int worker, const void* code)
{
    Dl_info info;
    if (!dladdr(code, &info) || info.dli_fbase != module.bases[worker])
        return "";
    std::string folder = temporary_folder(), path = folder + "/module.so", line;
    if (folder.empty() || !write_file(path, module.image.data(), module.image.size()))
        return "";
    auto offset = static_cast<const unsigned char*>(code) - module.bases[worker];
    if (FILE* pipe = popen(text("addr2line -e %s -s -i 0x%zx 2>/dev/null", path.c_str(), (size_t)offset).c_str(), "r"))
    {
        char buffer[512];
        while (fgets(buffer, sizeof(buffer), pipe))
        {
            std::string one(buffer);
            one = one.substr(0, one.find_first_of(" \n"));
            if (one.find('?') == std::string::npos)
                line += (line.empty() ? "" : ", called at ") + one;
        }
        pclose(pipe);
    }
    unlink(path.c_str());
    rmdir(folder.c_str());
    return line;
}
} // namespace emulator
