#!/bin/sh
# Builds bin/libmdm_cuda_emulator.so (Linux, x86-64, g++ 10 or later) and prints its path; and bin/libraries/NAME of each
# libraries/NAME.cpp, stand-ins for optional libraries (MDM_LIBRARIES names their folder).
set -e
cd "$(dirname "$0")"
mkdir -p bin/libraries
build() {
    output=$1
    shift
    "${CXX:-g++}" -std=c++17 -O2 -march=native -g1 -fPIC -shared -pthread -fvisibility=hidden -fno-strict-aliasing -Wall -Wextra \
        -Wl,-soname,"$(basename "$output")" "$@" -ldl -o "$output.$$"
    mv "$output.$$" "$output"
}
build bin/libmdm_cuda_emulator.so ./*.cpp
for source in libraries/*.cpp; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .cpp)
    build "bin/libraries/$name" "$source"
done
echo "$PWD/bin/libmdm_cuda_emulator.so"
