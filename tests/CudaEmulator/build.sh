#!/bin/sh
# Builds bin/libmdm_cuda_emulator.so (Linux, x86-64, g++ 10 or later) and prints its path.
set -e
cd "$(dirname "$0")"
mkdir -p bin
"${CXX:-g++}" -std=c++17 -O2 -march=native -g1 -fPIC -shared -pthread -fvisibility=hidden -fno-strict-aliasing -Wall -Wextra \
    ./*.cpp -ldl -o "bin/libmdm_cuda_emulator.so.$$"
mv "bin/libmdm_cuda_emulator.so.$$" bin/libmdm_cuda_emulator.so
echo "$PWD/bin/libmdm_cuda_emulator.so"
