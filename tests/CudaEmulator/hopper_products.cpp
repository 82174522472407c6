// Hopper's products of a warpgroup. Formats: PTX ISA, "Asynchronous warpgroup level matrix shared memory layout" and "Matrix
// descriptor"; the registers of wgmma.m64nNk16.
#include "hopper.h"

#include <cstring>

#include "worker.h"

namespace emulator
{
namespace
{
constexpr int warpgroup = 128, depth = 16, rows = 64, most_columns = 256;

// The low half of some bits as bfloat16.
float wide_half(unsigned int bits)
{
    bits <<= 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// What a thread brings to the wait for its products.
struct Waiting
{
    Worker* worker;
    ProductThread* thread;
    int number, groups;
    Site site;
};
} // namespace

ProductThread& HopperCalls::thread(Worker& worker)
{
    if (worker.hopper.threads.empty())
        worker.hopper.threads.resize(worker.threads);
    return worker.hopper.threads[worker.current];
}

void HopperCalls::product_fence(void* w) { thread(of(w)).fenced = true; }

void HopperCalls::product(void* w, const WarpgroupProduct& product, Site site)
{
    ProductThread& own = thread(of(w));
    int count = product.columns / 2;
    Accumulators* accumulators = nullptr;
    for (Accumulators& a : own.accumulators)
        if (a.d == product.d)
            accumulators = &a;
    if (!accumulators)
    {
        if (!own.fenced)
            of(w).fail(LaunchFailed, "the accumulators were in use by the thread: wgmma_fence is missing", site);
        accumulators = &own.accumulators.emplace_back(Accumulators{product.d, count, 0, {}});
        memcpy(accumulators->values, product.d, count * sizeof(float));
        memset(product.d, 0xff, count * sizeof(float));
    }
    ++accumulators->products;
    own.issues.push_back({product, own.group, site, {}});
    if (product.held)
        memcpy(own.issues.back().held, product.held, sizeof(own.issues.back().held));
}

void HopperCalls::product_commit(void* w) { ++thread(of(w)).group; }

void HopperCalls::product_wait(void* w, int groups, Site site)
{
    Worker& worker = of(w);
    ProductThread& own = thread(worker);
    int self = worker.current;
    Waiting waiting{&worker, &own, self, groups, site};
    constexpr int first_key = 16;
    worker.services.meet_many(w, first_key + self / warpgroup, warpgroup, true, true, &waiting, execute, site);

    for (size_t i = 0; i < own.accumulators.size();)
    {
        Accumulators& a = own.accumulators[i];
        if (a.products > 0)
        {
            ++i;
            continue;
        }
        memcpy(a.d, a.values, a.count * sizeof(float));
        own.accumulators.erase(own.accumulators.begin() + (long)i);
        own.fenced = false;
    }
}

// Carries out the products of all groups but the last ones, for the 128 threads.
void HopperCalls::execute(void* const* operands, int count)
{
    void* threads[warpgroup] = {};
    for (int i = 0; i < count; ++i)
        threads[static_cast<Waiting*>(operands[i])->number % warpgroup] = operands[i];
    auto first = static_cast<Waiting*>(threads[0]);
    int due = 0;
    for (auto& issue : first->thread->issues)
        due += issue.group < first->thread->group - first->groups;
    for (int index = 0; index < due; ++index)
        multiply(*first->worker, threads, index);
    for (void* t : threads)
    {
        auto& issues = static_cast<Waiting*>(t)->thread->issues;
        issues.erase(issues.begin(), issues.begin() + due);
    }
}

// Product number index of the threads' lists. Element (line, k) of a matrix, in bytes from the start of its descriptor:
//   K-major      128 (line mod 8) + stride (line / 8) + 2 k
//   M-/N-major   2 (line mod 64) + leading (line / 64) + 128 (k mod 8) + stride (k / 8)
// and then the swizzle of the address.
void HopperCalls::multiply(Worker& worker, void* const* threads, int index)
{
    auto leader = static_cast<Waiting*>(threads[0]);
    if ((int)leader->thread->issues.size() <= index)
        worker.fail(LaunchFailed, "thread 0 of the warpgroup has issued fewer products than the others", leader->site);
    const auto& issue = leader->thread->issues[index];
    const WarpgroupProduct& p = issue.product;

    auto read = [&](unsigned long long descriptor, bool transposed, int lines, auto store) {
        unsigned int start = (descriptor & 0x3fff) << 4, leading = (descriptor >> 16 & 0x3fff) << 4,
            stride = (descriptor >> 32 & 0x3fff) << 4;
        constexpr unsigned int swizzle_128 = 1;
        if (descriptor >> 62 != swizzle_128 || (descriptor >> 49 & 7) != 0 || (start >> 7 & 7) != 0)
            worker.fail(IllegalInstruction,
                text("matrix descriptor %016llx: expected the 128-byte swizzle (1 in bits 62 and 63), no base "
                "offset, and lines that begin at a multiple of 1,024 bytes", descriptor), issue.site);
        for (int line = 0; line < lines; ++line)
            for (int k = 0; k < depth; ++k)
            {
                unsigned int offset = transposed ? 2 * (line % 64) + leading * (line / 64) + 128 * (k % 8) + stride * (k / 8)
                                                 : 128 * (line % 8) + stride * (line / 8) + 2 * k;
                unsigned short bits;
                memcpy(&bits, worker.services.shared_pointer(&worker, swizzle(start + offset), 2, issue.site), 2);
                store(line, k, wide_half(bits));
            }
    };
    static thread_local float a[rows][depth], b[depth][most_columns], d[rows][most_columns];
    if (!p.held)
        read(p.a, p.transpose_a, rows, [&](int row, int k, float x) { a[row][k] = x; });
    read(p.b, p.transpose_b, p.columns, [&](int column, int k, float x) { b[k][column] = x; });
    for (int t = 0; p.held && t < warpgroup; ++t)
    {
        auto& issues = static_cast<Waiting*>(threads[t])->thread->issues;
        if ((int)issues.size() <= index || !issues[index].product.held)
            continue; // told below
        const auto& held = issues[index].held;
        if (memcmp(held, issues[index].product.held, sizeof(held)) != 0)
            worker.fail(LaunchFailed, text("thread %d of the warpgroup changed a register of a before the wait", t), issue.site);
        for (int i = 0; i < 8; ++i)
            a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + t % 4 * 2 + i % 2] = wide_half(held[i / 2] >> 16 * (i % 2));
    }
    memset(d, 0, sizeof(d));
    for (int row = 0; row < rows; ++row)
        for (int k = 0; k < depth; ++k)
            for (int column = 0; column < p.columns; ++column)
                d[row][column] += a[row][k] * b[k][column];

    for (int t = 0; t < warpgroup; ++t)
    {
        ProductThread& own = *static_cast<Waiting*>(threads[t])->thread;
        bool same = index < (int)own.issues.size();
        const WarpgroupProduct& q = own.issues[same ? index : 0].product;
        if (!same || q.a != p.a || q.b != p.b || q.columns != p.columns || q.transpose_a != p.transpose_a
            || q.transpose_b != p.transpose_b || q.add != p.add || !q.held != !p.held
            || own.issues[index].group != issue.group)
            worker.fail(LaunchFailed, text("thread %d of the warpgroup issued other products than thread 0", t), issue.site);
        for (Accumulators& sums : own.accumulators)
        {
            if (sums.d != q.d)
                continue;
            --sums.products;
            for (int i = 0; i < sums.count; ++i)
                sums.values[i] = (p.add ? sums.values[i] : 0) + d[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + t % 4 * 2 + i % 2];
        }
    }
}

void HopperCalls::finish_thread(Worker& worker)
{
    if (!worker.hopper.threads.empty() && !thread(worker).issues.empty())
        worker.fail(LaunchFailed, "the thread ends without having waited for this product", thread(worker).issues.front().site);
}
} // namespace emulator
