#include "streams.h"

#include <algorithm>

namespace emulator
{
std::recursive_mutex driver_lock;
int context_error = Success;

namespace
{
std::vector<Stream*> streams;
std::vector<Capture*> captures;

int run_one(const std::function<int()>& work)
{
    int error = work();
    if (error != Success)
    {
        context_error = error;
        for (Stream* stream : streams)
            stream->queue.clear();
    }
    return error;
}

// Carries out the queue, up to the event's ticket if one is given.
int drain(Stream* stream, Event* until, long long ticket)
{
    while (context_error == Success && !stream->queue.empty() && !(until && until->done >= ticket))
    {
        Operation next = std::move(stream->queue.front());
        stream->queue.pop_front();
        if (next.record)
            next.record->done = std::max(next.record->done, next.ticket), next.record->time = std::chrono::steady_clock::now();
        else if (!next.wait)
            run_one(next.work);
        else if (next.wait->done < next.ticket)
            drain(next.wait->stream, next.wait, next.ticket);
    }
    return context_error;
}
} // namespace

Stream* create_stream()
{
    streams.push_back(new Stream());
    return streams.back();
}

void destroy_stream(Stream* stream)
{
    drain(stream, nullptr, 0);
    streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
    delete stream;
}

int enqueue(Stream* stream, std::function<int()> work)
{
    if (context_error != Success)
        return context_error;
    if (!stream)
    {
        if (forbidden_by_capture())
            return CaptureUnsupported;
        int error = finish_all();
        return error != Success ? error : run_one(work);
    }
    if (stream->capture)
    {
        stream->capture->work.push_back(std::move(work));
        return Success;
    }
    stream->queue.push_back({std::move(work)});
    return settings().blocking ? drain(stream, nullptr, 0) : Success;
}

int record(Event* event, Stream* stream)
{
    event->capture = stream ? stream->capture : nullptr;
    if (event->capture)
        return Success;
    event->stream = stream;
    ++event->recorded;
    if (stream)
    {
        stream->queue.push_back({nullptr, event, nullptr, event->recorded});
        return Success;
    }
    int error = finish_all();
    event->done = event->recorded, event->time = std::chrono::steady_clock::now();
    return error;
}

int wait(Stream* stream, Event* event)
{
    if (event->capture)
    {
        if (!stream || (stream->capture && stream->capture != event->capture))
            return CaptureUnsupported;
        if (!stream->capture) // joins it
            stream->capture = event->capture, event->capture->streams.push_back(stream);
        return Success;
    }
    if (!stream)
        return finish(event);
    if (stream->capture)
        return Success; // recorded before the capture began: the launch comes after it in any case here
    stream->queue.push_back({nullptr, nullptr, event, event->recorded});
    return Success;
}

int finish(Stream* stream)
{
    if (stream && stream->capture)
    {
        stream->capture->invalid = true;
        return report(CaptureUnsupported, "a stream is waited for while it is being captured");
    }
    return stream ? drain(stream, nullptr, 0) : finish_all();
}

int finish(Event* event)
{
    if (event->capture)
        return report(CaptureUnsupported, "an event of a capture is waited for");
    return event->stream && event->done < event->recorded ? drain(event->stream, event, event->recorded) : context_error;
}

int finish_all()
{
    for (Stream* stream : streams)
        drain(stream, nullptr, 0);
    return context_error;
}

int begin_capture(Stream* stream, int mode)
{
    if (!stream || stream->capture)
        return CaptureUnsupported;
    stream->capture = new Capture{{}, {stream}, mode};
    captures.push_back(stream->capture);
    return Success;
}

int end_capture(Stream* stream, Graph** graph)
{
    Capture* capture = stream ? stream->capture : nullptr;
    if (!capture)
        return report(InvalidValue, "cuStreamEndCapture: the stream is not being captured");
    bool invalid = capture->invalid;
    *graph = invalid ? nullptr : new Graph{std::move(capture->work)};
    for (Stream* member : capture->streams)
        member->capture = nullptr;
    captures.erase(std::remove(captures.begin(), captures.end(), capture), captures.end());
    delete capture;
    return invalid ? CaptureInvalidated : Success;
}

bool forbidden_by_capture()
{
    constexpr int relaxed = 2;
    bool forbidden = false;
    for (Capture* capture : captures)
        if (capture->mode != relaxed)
            capture->invalid = forbidden = true;
    if (forbidden)
        report(CaptureUnsupported, "a call that allocates, frees or waits while a stream is being captured");
    return forbidden;
}

void forget_all()
{
    for (Stream* stream : streams)
        stream->queue.clear();
    context_error = Success;
}
} // namespace emulator
