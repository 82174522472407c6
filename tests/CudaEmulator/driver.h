// What all entry points of the driver begin with.
#pragma once
#include "streams.h"

#define EXPORT extern "C" __attribute__((visibility("default"))) int
#define LOCK std::lock_guard hold(driver_lock)
#define LIVE                          \
    LOCK;                             \
    if (context_error != Success)     \
        return context_error
