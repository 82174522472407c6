// What is wrong with a kernel, in words.
#include <ucontext.h>

#include <csignal>
#include <map>

#include "worker.h"

namespace emulator
{
std::string Worker::where() const
{
    const Index3 &b = block_index, &t = fibers[current].index;
    return text("kernel %s, block (%u, %u, %u), thread (%u, %u, %u)", kernel->name, b.x, b.y, b.z, t.x, t.y, t.z);
}

void Worker::fail(int code, const std::string& words, Site site)
{
    error = code;
    message = where() + ": " + (site.what ? name(site) + ": " : "") + words;
    abandon();
}

// Who waits where when nobody can go on.
std::string Worker::deadlock() const
{
    std::map<std::string, int> sites;
    for (int t = 0; t < threads; ++t)
        if (fibers[t].state == Fiber::Meeting || fibers[t].state == Fiber::Waiting)
            ++sites[name(fibers[t].site)];
    std::string words = "divergence: nobody can go on:";
    for (auto& [place, count] : sites)
        words += text(" %d of %d threads wait for others in %s;", count, threads, place.c_str());
    return words + text(" %d have exited", exited);
}

bool Worker::leave(void* context, int signal, void* address)
{
    if (!inside)
        return signal == out_of_time;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    auto code = reinterpret_cast<unsigned char*>(registers[REG_RIP]);
    if (signal == out_of_time && !(code >= launch->function->module->bases[number] && code < module->shared_begin))
        return true; // in the middle of the library's own work: the signal comes again
    fault_signal = signal;
    fault_address = address;
    fault_code = code;
    registers[REG_RDI] = reinterpret_cast<greg_t>(scheduler);
    registers[REG_RIP] = reinterpret_cast<greg_t>(&emulator_load);
    return true;
}

void Worker::describe_fault()
{
    std::string line = source_line(*launch->function->module, number, fault_code);
    if (copying)
        line = name(copying->site);
    auto p = static_cast<unsigned char*>(fault_address);
    std::string what;
    error = IllegalAddress;
    if (fault_signal == out_of_time)
        error = LaunchTimeout, what = text("still running after %d s: an endless loop? (MDM_EMULATOR_TIMEOUT)",
            settings().timeout);
    else if (fault_signal == SIGFPE)
        error = LaunchFailed, what = "division of an integer by zero";
    else if (fault_signal == SIGILL || fault_signal == SIGTRAP)
        error = LaunchFailed, what = "an index is out of the bounds of its array, or an address is misaligned";
    else if (p >= dynamic_end && p < dynamic_end + page)
        what = text("an access %zu bytes past the end of the %zu bytes of dynamic shared memory",
            size_t(p - (dynamic + dynamic_bytes)), dynamic_bytes);
    else
    {
        what = describe_address(p);
        for (unsigned char* stack : stacks)
            if (p < stack && p >= stack - page)
                what = "the thread's stack is full (local memory above 128 KB)";
    }
    copying = nullptr;
    message = where() + (line.empty() ? "" : ", " + line) + ": " + what;
}
} // namespace emulator
