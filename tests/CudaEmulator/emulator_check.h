// What g++'s -fsanitize=thread calls before each access to memory, for the checking mode (checks.h). Only these functions know
// that flag: its own runtime library is not there.
#pragma once

#define EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))

#ifdef MDM_EMULATOR_CHECK
#define EMULATOR_CHECK(name, bytes, kind)                                                                                \
    extern "C" EMULATOR_UNCHECKED __attribute__((noinline, used)) void name(void* p)                                     \
    {                                                                                                                    \
        emulator_services.access(emulator_services.worker, p, bytes, kind, __builtin_return_address(0));                 \
    }
#define EMULATOR_CHECK_SIZES(name, kind)                                                                                 \
    EMULATOR_CHECK(name##1, 1, kind)                                                                                     \
    EMULATOR_CHECK(name##2, 2, kind)                                                                                     \
    EMULATOR_CHECK(name##4, 4, kind)                                                                                     \
    EMULATOR_CHECK(name##8, 8, kind)                                                                                     \
    EMULATOR_CHECK(name##16, 16, kind)
#define EMULATOR_CHECK_RANGE(name, kind)                                                                                 \
    extern "C" EMULATOR_UNCHECKED __attribute__((noinline, used)) void name(void* p, ptrdiff_t bytes)                     \
    {                                                                                                                    \
        emulator_services.access(emulator_services.worker, p, bytes, kind, __builtin_return_address(0));                 \
    }

EMULATOR_CHECK_SIZES(__tsan_read, emulator::EmulatorAccess::Read)
EMULATOR_CHECK_SIZES(__tsan_write, emulator::EmulatorAccess::Write)
EMULATOR_CHECK_SIZES(__tsan_unaligned_read, emulator::EmulatorAccess::Read)
EMULATOR_CHECK_SIZES(__tsan_unaligned_write, emulator::EmulatorAccess::Write)
EMULATOR_CHECK_SIZES(__tsan_volatile_read, emulator::EmulatorAccess::Read)
EMULATOR_CHECK_SIZES(__tsan_volatile_write, emulator::EmulatorAccess::Write)
EMULATOR_CHECK_RANGE(__tsan_read_range, emulator::EmulatorAccess::Read)
EMULATOR_CHECK_RANGE(__tsan_write_range, emulator::EmulatorAccess::Write)
extern "C" EMULATOR_UNCHECKED __attribute__((used)) void __tsan_init() {}
extern "C" EMULATOR_UNCHECKED __attribute__((used)) void __tsan_func_entry(void*) {}
extern "C" EMULATOR_UNCHECKED __attribute__((used)) void __tsan_func_exit(void*) {}

// Accesses that g++ does not see.
inline __attribute__((always_inline)) void emulator_access(const void* p, size_t bytes,
    emulator::EmulatorAccess kind)
{
    emulator_services.access(emulator_services.worker, p, bytes, kind, nullptr);
}
#else
inline void emulator_access(const void*, size_t, emulator::EmulatorAccess) {}
#endif
