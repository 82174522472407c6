// The threads that run grids, and the signals that their faults raise.
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <numeric>
#include <thread>

#include "worker.h"

namespace emulator
{
namespace
{
struct Crew
{
    std::mutex lock, one_grid;
    std::condition_variable begin, end;
    const Launch* launch = nullptr;
    std::vector<long long> order; // of the blocks
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    int generation = 0, running = 0, active = 0;
    std::unique_ptr<Cluster> cluster; // of the launch
    int error = Success;
    std::string message;
    std::vector<std::thread> threads;
};

Crew& crew()
{
    static auto* c = new Crew();
    return *c;
}

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, out_of_time};
struct sigaction previous[NSIG];

void on_fault(int signal, siginfo_t* info, void* context)
{
    if (this_worker && this_worker->leave(context, signal, info->si_addr))
        return;

    // Not ours: what was there before.
    const struct sigaction& old = previous[signal];
    if (old.sa_flags & SA_SIGINFO)
        old.sa_sigaction(signal, info, context);
    else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN)
    {
        sigaction(signal, &old, nullptr);
        raise(signal);
    }
    else
        old.sa_handler(signal);
}

// Each worker takes the next block; those of a cluster have one block of each cluster.
void run_blocks(Worker& worker, int number)
{
    Crew& c = crew();
    const Index3& grid = c.launch->grid;
    Cluster* cluster = c.cluster.get();
    for (size_t mine = 0;; ++mine)
    {
        size_t i = cluster ? mine : c.next++;
        if (i >= c.order.size() || c.failed)
            return;
        long long n = cluster ? c.order[i] * Cluster::size + number : c.order[i];
        Index3 block{(unsigned int)(n % grid.x), (unsigned int)(n / grid.x % grid.y), (unsigned int)(n / grid.x / grid.y)};
        if (worker.run_block(*c.launch, block, settings().seed, cluster) && (!cluster || cluster->meet()))
            continue;
        std::lock_guard hold(c.lock);
        if (!c.failed.exchange(true))
            c.error = worker.error, c.message = worker.message;
        if (cluster)
            cluster->failed = true;
        return;
    }
}

void work(int number)
{
    // Faults of a fiber are handled on a stack of their own.
    static thread_local char signal_stack[64 * 1024];
    stack_t alternative{};
    alternative.ss_sp = signal_stack;
    alternative.ss_size = sizeof(signal_stack);
    sigaltstack(&alternative, nullptr);

    Worker worker(number);
    this_worker = &worker;
    Crew& c = crew();
    int seen = 0;
    std::unique_lock hold(c.lock);
    for (;;)
    {
        c.begin.wait(hold, [&] { return c.generation != seen; });
        seen = c.generation;
        if (number >= c.active)
            continue;
        hold.unlock();
        run_blocks(worker, number);
        hold.lock();
        if (--c.running == 0)
            c.end.notify_one();
    }
}

void begin_work()
{
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int signal : signals)
        sigaction(signal, &action, &previous[signal]);

    // Signals of the program go to the program's threads.
    sigset_t all, old;
    sigfillset(&all);
    for (int signal : signals)
        sigdelset(&all, signal);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int number = 0; number < max_workers; ++number)
        crew().threads.emplace_back(work, number);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}
} // namespace

int run(const Launch& launch)
{
    static std::once_flag once;
    std::call_once(once, begin_work);
    Crew& c = crew();
    std::lock_guard one(c.one_grid);
    const bool clusters = launch.function->kernel().cluster == Cluster::size;
    long long blocks = (long long)launch.grid.x * launch.grid.y * launch.grid.z;
    if (clusters)
        blocks /= Cluster::size;
    c.cluster = clusters ? std::make_unique<Cluster>() : nullptr;
    c.order.resize((size_t)blocks);
    std::iota(c.order.begin(), c.order.end(), 0ll);
    if (settings().order == Settings::Order::Reverse)
        std::reverse(c.order.begin(), c.order.end());
    else if (settings().order == Settings::Order::Shuffle)
    {
        uint64_t state = settings().seed * 0x9e3779b97f4a7c15ull + 1;
        for (size_t i = c.order.size(); i > 1; --i)
        {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            std::swap(c.order[i - 1], c.order[(state >> 33) % i]);
        }
    }

    std::unique_lock hold(c.lock);
    c.launch = &launch;
    c.next = 0;
    c.failed = false;
    c.active = c.running = clusters ? Cluster::size : blocks > 1 ? settings().workers : 1;
    ++c.generation;
    c.begin.notify_all();
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(settings().timeout);
    while (!c.end.wait_for(hold, std::chrono::milliseconds(200), [&] { return c.running == 0; }))
        if (std::chrono::steady_clock::now() >= deadline)
            for (std::thread& thread : c.threads)
                pthread_kill(thread.native_handle(), out_of_time);
    return c.failed ? report(c.error, c.message) : Success;
}
} // namespace emulator
