// Streams, events and graphs. Work is only queued; a wait of the host carries it out, so that a host that does not wait sees
// memory unchanged.
#pragma once
#include <chrono>
#include <deque>
#include <mutex>

#include "runtime.h"

namespace emulator
{
struct Event;
struct Stream;

struct Operation
{
    std::function<int()> work; // else
    Event* record = nullptr;   // or
    Event* wait = nullptr;
    long long ticket = 0;
};

struct Capture
{
    std::vector<std::function<int()>> work;
    std::vector<Stream*> streams;
    int mode;
    bool invalid = false;
};

struct Stream
{
    std::deque<Operation> queue;
    Capture* capture = nullptr;
};

struct Event
{
    Stream* stream = nullptr;
    Capture* capture = nullptr;
    long long recorded = 0, done = 0;
    std::chrono::steady_clock::time_point time;
};

struct Graph
{
    std::vector<std::function<int()>> work;
};

// Guards everything of the driver.
extern std::recursive_mutex driver_lock;

// The error that has ended the context; Success if none.
extern int context_error;

Stream* create_stream();
void destroy_stream(Stream* stream);

// Queues work; stream null: everything queued anywhere is done first, then this.
int enqueue(Stream* stream, std::function<int()> work);
int record(Event* event, Stream* stream);
int wait(Stream* stream, Event* event);
int finish(Stream* stream);
int finish(Event* event);
int finish_all();

int begin_capture(Stream* stream, int mode);
int end_capture(Stream* stream, Graph** graph);

// Whether calls that a capture forbids (allocating, waiting) are forbidden now; an ended capture is invalid then.
bool forbidden_by_capture();
void forget_all();
} // namespace emulator
