// Barriers and the collective functions of a warp. Every one of them is a meeting: the thread that comes last does the work
// for all (bridge.h).
#pragma once

#define EMULATOR_LANE ((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32u)

inline void emulator_barrier(int key, int count, bool waits, bool strict, void* operands, emulator::Execute execute,
    emulator::Site site)
{
    emulator_services.meet_many(emulator_services.worker, key, count, waits, strict, operands, execute, site);
}

inline int emulator_threads() { return (int)(blockDim.x * blockDim.y * blockDim.z); }

inline void __syncthreads(EMULATOR_SITE)
{
    emulator_barrier(0, emulator_threads(), true, true, nullptr, nullptr, EMULATOR_HERE("__syncthreads"));
}

inline void emulator_count(void* const* operands, int count)
{
    int sum = 0;
    for (int i = 0; i < count; ++i)
        sum += *static_cast<int*>(operands[i]) != 0;
    for (int i = 0; i < count; ++i)
        *static_cast<int*>(operands[i]) = sum;
}

inline int __syncthreads_count(int predicate, EMULATOR_SITE)
{
    emulator_barrier(0, emulator_threads(), true, true, &predicate, emulator_count, EMULATOR_HERE("__syncthreads_count"));
    return predicate;
}

inline int __syncthreads_or(int predicate, EMULATOR_SITE) { return __syncthreads_count(predicate, file, line) != 0; }
inline int __syncthreads_and(int predicate, EMULATOR_SITE)
{
    return __syncthreads_count(predicate, file, line) == emulator_threads();
}

inline void emulator_warp(unsigned int mask, void* operands, emulator::Execute execute, emulator::Site site)
{
    emulator_services.meet_warp(emulator_services.worker, mask, operands, execute, site);
}

inline void __syncwarp(unsigned int mask = 0xffffffffu, EMULATOR_SITE)
{
    emulator_warp(mask, nullptr, nullptr, EMULATOR_HERE("__syncwarp"));
}

// ---- votes ----

struct EmulatorVote
{
    int predicate;
    unsigned int ballot;
};

inline void emulator_vote(void* const* operands, int)
{
    unsigned int ballot = 0;
    for (int lane = 0; lane < 32; ++lane)
        if (operands[lane] && static_cast<EmulatorVote*>(operands[lane])->predicate)
            ballot |= 1u << lane;
    for (int lane = 0; lane < 32; ++lane)
        if (operands[lane])
            static_cast<EmulatorVote*>(operands[lane])->ballot = ballot;
}

inline unsigned int __ballot_sync(unsigned int mask, int predicate, EMULATOR_SITE)
{
    EmulatorVote vote{predicate, 0};
    emulator_warp(mask, &vote, emulator_vote, EMULATOR_HERE("__ballot_sync"));
    return vote.ballot;
}

inline int __any_sync(unsigned int mask, int predicate, EMULATOR_SITE) { return __ballot_sync(mask, predicate, file, line) != 0; }
inline int __all_sync(unsigned int mask, int predicate, EMULATOR_SITE)
{
    return __ballot_sync(mask, predicate, file, line) == mask;
}

// ---- shuffles ----

template <typename T>
struct EmulatorShuffle
{
    T value, result;
    int source; // lane
    emulator::Site site;
};

template <typename T>
inline void emulator_shuffle(void* const* operands, int)
{
    for (int lane = 0; lane < 32; ++lane)
    {
        auto own = static_cast<EmulatorShuffle<T>*>(operands[lane]);
        if (!own)
            continue;
        auto other = static_cast<EmulatorShuffle<T>*>(operands[own->source]);
        if (!other)
            emulator_services.fail(emulator_services.worker, 719, "a lane reads from a lane outside the mask", own->site);
        else
            own->result = other->value;
    }
}

template <typename T>
inline T emulator_shuffle(unsigned int mask, T value, int source, emulator::Site site)
{
    EmulatorShuffle<T> shuffle{value, value, source, site};
    emulator_warp(mask, &shuffle, emulator_shuffle<T>, site);
    return shuffle.result;
}

template <typename T>
inline T __shfl_sync(unsigned int mask, T value, int source, int width = 32, EMULATOR_SITE)
{
    int lane = EMULATOR_LANE, segment = lane & ~(width - 1);
    return emulator_shuffle(mask, value, segment | (source & (width - 1)), EMULATOR_HERE("__shfl_sync"));
}

template <typename T>
inline T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = 32, EMULATOR_SITE)
{
    int lane = EMULATOR_LANE, source = lane - (int)delta, segment = lane & ~(width - 1);
    return emulator_shuffle(mask, value, source < segment ? lane : source, EMULATOR_HERE("__shfl_up_sync"));
}

template <typename T>
inline T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = 32, EMULATOR_SITE)
{
    int lane = EMULATOR_LANE, source = lane + (int)delta, segment = lane & ~(width - 1);
    return emulator_shuffle(mask, value, source >= segment + width ? lane : source, EMULATOR_HERE("__shfl_down_sync"));
}

template <typename T>
inline T __shfl_xor_sync(unsigned int mask, T value, int lane_mask, int width = 32, EMULATOR_SITE)
{
    int lane = EMULATOR_LANE, source = lane ^ lane_mask, segment = lane & ~(width - 1);
    return emulator_shuffle(mask, value, source >= segment + width ? lane : source, EMULATOR_HERE("__shfl_xor_sync"));
}

// ---- integer reductions (sm_80) ----

template <typename T, typename F>
inline T emulator_reduce(unsigned int mask, T value, F join, const char* file, int line)
{
    T result = 0;
    bool first = true;
    for (int lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1u)
        {
            T other = __shfl_sync(mask, value, lane, 32, file, line);
            result = first ? other : join(result, other);
            first = false;
        }
    return result;
}

template <typename T> inline T __reduce_add_sync(unsigned int mask, T x, EMULATOR_SITE)
{
    return emulator_reduce(mask, x, [](T a, T b) { return a + b;
    }, file, line);
}
template <typename T> inline T __reduce_min_sync(unsigned int mask, T x, EMULATOR_SITE)
{
    return emulator_reduce(mask, x, [](T a, T b) { return b < a ? b : a;
    }, file, line);
}
template <typename T> inline T __reduce_max_sync(unsigned int mask, T x, EMULATOR_SITE)
{
    return emulator_reduce(mask, x, [](T a, T b) { return a < b ? b : a;
    }, file, line);
}
inline unsigned int __reduce_or_sync(unsigned int mask, unsigned int x, EMULATOR_SITE)
{
    return emulator_reduce(mask, x, [](unsigned int a, unsigned int b) { return a | b;
    }, file, line);
}
inline unsigned int __reduce_and_sync(unsigned int mask, unsigned int x, EMULATOR_SITE)
{
    return emulator_reduce(mask, x, [](unsigned int a, unsigned int b) { return a & b;
    }, file, line);
}

inline void __trap(EMULATOR_SITE) { emulator_services.fail(emulator_services.worker, 719, "__trap", EMULATOR_HERE("__trap")); }
inline void __nanosleep(unsigned int) {}
