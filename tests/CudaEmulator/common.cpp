// Settings and error messages.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "runtime.h"

namespace emulator
{
namespace
{
long number(const char* name, long otherwise)
{
    const char* value = getenv(name);
    return value && *value ? strtol(value, nullptr, 10) : otherwise;
}

void set_order(Settings& s, const std::string& order)
{
    s.order = order == "forward" ? Settings::Order::Forward : order == "reverse" ? Settings::Order::Reverse
        : Settings::Order::Shuffle;
    size_t colon = order.find(':');
    s.seed = colon == std::string::npos ? 1 : strtoull(order.c_str() + colon + 1, nullptr, 10);
}

Settings read_settings()
{
    Settings s{};
    s.devices = (int)number("MDM_EMULATOR_DEVICES", 1);
    s.memory = (size_t)number("MDM_EMULATOR_MEMORY", 2048) << 20;
    s.blocking = number("CUDA_LAUNCH_BLOCKING", 0) != 0;
    s.workers = (int)number("MDM_EMULATOR_WORKERS", max_workers);
    s.timeout = (int)number("MDM_EMULATOR_TIMEOUT", 300);
    s.check = s.checked_from_start = number("MDM_EMULATOR_CHECK", 0) != 0;
    s.workers = s.workers < 1 ? 1 : s.workers > max_workers ? max_workers : s.workers;

    const char* capability = getenv("MDM_EMULATOR_CAPABILITY");
    double value = capability && *capability ? strtod(capability, nullptr) : 8.0;
    s.capability = (int)(value * 10 + 0.5);

    set_order(s, getenv("MDM_EMULATOR_ORDER") ? getenv("MDM_EMULATOR_ORDER") : "shuffle");
    return s;
}

Settings& current()
{
    static Settings s = read_settings();
    return s;
}

std::mutex message_lock;
std::string& message()
{
    static auto* text = new std::string();
    return *text;
}
} // namespace

const Settings& settings() { return current(); }

void set_order(const char* order) { set_order(current(), order); }
void set_timeout(int seconds) { current().timeout = seconds; }
void set_check(bool check) { current().check = check; }

void set_capability(int capability) { current().capability = capability; }

int shared_limit()
{
    int capability = settings().capability;
    return (capability >= 90 ? 227 : capability == 80 || capability == 87 ? 163 : 99) * 1024;
}

int report(int error, const std::string& words)
{
    std::lock_guard hold(message_lock);
    fprintf(stderr, "CUDA emulator: %s\n", words.c_str());
    message() = words;
    return error;
}

const char* last_message()
{
    std::lock_guard hold(message_lock);
    return message().c_str();
}

void clear_message()
{
    std::lock_guard hold(message_lock);
    message().clear();
}

std::string text(const char* format, ...)
{
    char buffer[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    return buffer;
}
} // namespace emulator
