// What a compiled module looks like, for nvrtc.cpp and module.cpp.
#pragma once
#include "runtime.h"

namespace emulator
{
constexpr char image_magic[8] = {'M', 'D', 'M', 'E', 'M', 'U', 'L', '1'};

struct ImageHeader
{
    char magic[8];
    uint64_t version; // headers_version()
    uint64_t bytes;   // of the shared library that follows
};

// A number that changes with the headers below.
uint64_t headers_version();

// Files that a compilation needs, part of this library.
struct HeaderFile
{
    const char *name, *text;
};
std::vector<HeaderFile> header_files();

std::string temporary_folder();
bool write_file(const std::string& path, const void* data, size_t bytes);
} // namespace emulator
