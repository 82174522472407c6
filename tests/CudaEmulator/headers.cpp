// The headers of the device's language, inside the library (build.sh names the folder).
#include <cstring>

#include "module.h"

#define HEADER(symbol, file)                                                                       \
    asm(".section .rodata\n.globl " #symbol "\n.hidden " #symbol "\n" #symbol ":\n.incbin \"" file "\"\n.byte 0\n.text\n"); \
    extern "C" const char symbol[]

HEADER(header_bridge, "bridge.h");
HEADER(header_emulator, "emulator.h");
HEADER(header_types, "emulator_types.h");
HEADER(header_math, "emulator_math.h");
HEADER(header_warp, "emulator_warp.h");
HEADER(header_ptx, "emulator_ptx.h");
HEADER(header_hopper, "emulator_hopper.h");
HEADER(header_check, "emulator_check.h");
HEADER(header_compiler, "nvrtc.cpp"); // how it compiles counts for the version too

namespace emulator
{
std::vector<HeaderFile> header_files()
{
    return {{"bridge.h", header_bridge}, {"emulator.h", header_emulator}, {"emulator_types.h", header_types},
        {"emulator_math.h", header_math}, {"emulator_warp.h", header_warp}, {"emulator_ptx.h", header_ptx},
        {"emulator_hopper.h", header_hopper}, {"emulator_check.h", header_check}};
}

uint64_t headers_version()
{
    static const uint64_t version = [] {
        uint64_t hash = 14695981039346656037ull; // FNV-1a
        auto add = [&hash](const char* text) {
            for (; *text; ++text)
                hash = (hash ^ (unsigned char)*text) * 1099511628211ull;
        };
        for (const HeaderFile& file : header_files())
            add(file.text);
        add(header_compiler);
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? hash : hash + 1; // see nvrtc.cpp
    }();
    return settings().checked_from_start ? version + 2 : version; // see nvrtc.cpp
}
} // namespace emulator
