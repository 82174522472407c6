// A stand-in for cuDNN 9: the part of its graph API that the program uses, on the emulator's memory and streams. What the host
// says is checked strictly, also where the library would let it pass. Engines that must not be chosen are proposed first, and
// spoil the result. Ready-made for: 3x3 convolutions with padding 1, channels last, float32 or bfloat16, float32 sums.
#include <cstdarg>
#include <mutex>
#include <set>
#include <string>

#include "cudnn_problem.h"

using namespace cudnn;

namespace
{
struct Context
{
    void* stream = nullptr;
};

std::mutex lock;
std::set<Descriptor*> live;
std::set<Context*> handles;
int creation = Success; // what cudnnCreate returns
bool known = true;      // whether there are engines at all
bool refuses = false;   // whether they turn out not to work
bool wide = false;      // whether float32 gradients of bfloat16 operands can be had
int executions = 0;

__attribute__((format(printf, 2, 3))) int fail(int status, const char* format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("cuDNN stand-in: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

// Engines that the program's own rules rule out spoil the result when they run.
bool spoils(const EngineModel& engine)
{
    for (int note : engine.notes)
        if (note >= 1 && note <= 8)
            return true;
    return false;
}

bool has_tensor_cores(const EngineModel& engine) { return !engine.notes.empty() && engine.notes[0] == 0; }

// The engines for a graph, in the order in which they are proposed.
std::vector<EngineModel> engines(const Problem& problem, int mode)
{
    const EngineModel plain = {{}, 0, Success}, cores = {{0}, 1 << 12, Success};
    if (!known)
        return {};
    if (mode == 2)
        return problem.added.empty() ? std::vector<EngineModel>{plain} : std::vector<EngineModel>{};
    std::vector<EngineModel> all = {{{0, 4}, 0, Success}, {{0, 1}, 0, Success}, {{5, 6}, 0, Success}, {{3}, 0, Success},
        {{0, 2}, 0, Success}, {{0}, 0, MissingPrerequisite}, {{0}, (int64_t)1 << 40, Success}, cores};
    // Additions are fused where tensor cores compute.
    if (problem.added.empty() && problem.image.type == Float32)
        all.push_back(plain);
    return all;
}

int bad_tensor(const Descriptor& d)
{
    std::vector<int64_t> size = d.all<int64_t>(902), stride = d.all<int64_t>(903);
    int64_t alignment = d.one<int64_t>(900), b = size[0], c = size[1], h = size[2], w = size[3];
    if (b < 1 || c < 1 || h < 1 || w < 1)
        return fail(BadParam, "a tensor of %ld x %ld x %ld x %ld", b, c, h, w);
    if (stride[0] != h * w * c || stride[1] != 1 || stride[2] != w * c || stride[3] != c)
        return fail(UnsupportedLayout, "the strides %ld, %ld, %ld, %ld are not those of channels last", stride[0], stride[1],
            stride[2], stride[3]);
    if (alignment < 1 || alignment > 16 || (alignment & (alignment - 1)) != 0)
        return fail(BadParam, "an alignment of %ld bytes", alignment);
    int type = d.one<int>(901);
    return type == Float32 || type == BFloat16 ? Success : fail(UnsupportedType, "a tensor of type %d", type);
}

TensorModel tensor(const Descriptor& d)
{
    std::vector<int64_t> size = d.all<int64_t>(902);
    bool is_virtual = d.values.count(907) && d.one<unsigned char>(907);
    return {d.one<int64_t>(906), d.one<int64_t>(900), size[0], size[2], size[3], size[1], d.one<int>(901), is_virtual};
}

bool same_size(const TensorModel& a, const TensorModel& b) { return a.b == b.b && a.h == b.h && a.w == b.w && a.c == b.c; }

int bad_convolution(const Descriptor& d)
{
    for (int attribute : {102, 104, 105})
        for (int64_t value : d.all<int64_t>(attribute))
            if (value != 1)
                return fail(UnsupportedPattern, "a dilation or padding of %ld", value);
    if (d.one<int>(100) != Float32 || d.one<int>(101) != 1 || d.one<int64_t>(106) != 2)
        return fail(UnsupportedPattern, "a convolution that does not sum in float32, is mirrored or not of two dimensions");
    return Success;
}

// The number of the attribute of the first operation's parts: image, weight, output, convolution, alpha, beta.
const int parts[3][6] = {{704, 703, 705, 702, 700, 701}, {716, 715, 717, 714, 712, 713}, {710, 709, 711, 708, 706, 707}};

int read_graph(const Descriptor& d, Problem& problem)
{
    std::vector<const Descriptor*> operations = d.all<const Descriptor*>(801);
    const Descriptor& first = *operations[0];
    if (first.kind != Forward && first.kind != BackwardFilter && first.kind != BackwardData)
        return fail(UnsupportedPattern, "a graph that begins with an object of kind %d", first.kind);
    const int* part = parts[first.kind - Forward];
    problem.pass = first.kind;
    problem.image = tensor(first.object(part[0]));
    problem.weight = tensor(first.object(part[1]));
    problem.output = tensor(first.object(part[2]));
    std::vector<int64_t> strides = first.object(part[3]).all<int64_t>(103);
    problem.stride = strides[0];
    if (first.one<float>(part[4]) != 1 || first.one<float>(part[5]) != 0 || strides[0] != strides[1])
        return fail(UnsupportedPattern, "alpha, beta or strides that are not 1, 0 and equal");
    const TensorModel &x = problem.image, &w = problem.weight, &y = problem.output;
    if (w.h != 3 || w.w != 3 || w.c != x.c || w.b != y.c || y.b != x.b || y.h != (x.h - 1) / problem.stride + 1
        || y.w != (x.w - 1) / problem.stride + 1)
        return fail(ShapeMismatch, "image, weight and output do not fit each other");

    TensorModel last = y;
    for (size_t i = 1; i < operations.size(); i++)
    {
        const Descriptor& add = *operations[i];
        if (add.kind != PointwiseOperation || first.kind != Forward || !last.is_virtual || last.type != Float32)
            return fail(UnsupportedPattern, "an operation that does not add to a virtual float32 sum");
        TensorModel from = tensor(add.object(751)), other = tensor(add.object(752));
        if (!(from == last) || !(same_size(other, last) || (other.b * other.h * other.w == 1 && other.c == last.c)))
            return fail(ShapeMismatch, "what is added does not fit the sum");
        problem.added.push_back(other);
        problem.sums.push_back(last = tensor(add.object(753)));
        if (!same_size(last, y))
            return fail(ShapeMismatch, "the result of an addition has another size");
    }

    if (last.is_virtual || problem.image.is_virtual || problem.weight.is_virtual)
        return fail(UnsupportedPattern, "an operand or the result is virtual");
    std::set<int64_t> names;
    for (const TensorModel& t : problem.tensors())
        if (!names.insert(t.name).second)
            return fail(BadParam, "two tensors have the name %ld", t.name);
    int operand = first.kind == Forward ? x.type : y.type, other = first.kind == BackwardFilter ? x.type : w.type;
    if (operand != other)
        return fail(UnsupportedType, "operands of the types %d and %d", operand, other);
    // What is not said aloud: the library knows no float32 results of bfloat16 operands, except, maybe, gradients of weights.
    return problem.result().type == operand || (wide && first.kind == BackwardFilter) ? Success : UnsupportedType;
}

int finish(Descriptor& d)
{
    for (auto& [attribute, rule] : rules(d.kind))
        if (!rule.optional && !d.values.count(attribute))
            return fail(BadParam, "an object of kind %d lacks attribute %d", d.kind, attribute);
    switch (d.kind)
    {
    case Tensor: return bad_tensor(d);
    case Convolution: return bad_convolution(d);
    case Pointwise:
        return d.one<int>(0) == 0 && d.one<int>(1) == Float32 ? Success : fail(UnsupportedPattern, "not a sum in float32");
    case Graph:
    {
        if (!handles.count(d.one<Context*>(800)))
            return fail(BadParam, "the handle is none");
        auto problem = std::make_shared<Problem>();
        int status = read_graph(d, *problem);
        d.problem = problem;
        return status;
    }
    case Heuristics:
        d.problem = d.object(201).problem;
        return d.one<int>(200) == 2 || d.one<int>(200) == 3 ? Success : fail(BadParam, "mode %d", d.one<int>(200));
    case Plan:
        d.problem = d.object(401).problem, d.engine = d.object(401).engine;
        return !handles.count(d.one<Context*>(400)) ? fail(BadParam, "the handle is none") : d.engine->failure;
    case VariantPack:
        return d.all<int64_t>(1000).size() == d.all<void*>(1001).size() ? Success
            : fail(BadParam, "not as many names as pointers");
    case Engine: case Configuration: return fail(BadParam, "objects of kind %d are not made here", d.kind);
    default: return Success; // operations, which are read with their graph
    }
}

Descriptor* find(void* pointer)
{
    auto* d = static_cast<Descriptor*>(pointer);
    return live.count(d) ? d : nullptr;
}

int execute(Context* handle, const Descriptor& plan, const Descriptor& pack)
{
    std::vector<int64_t> names = pack.all<int64_t>(1000);
    std::vector<void*> pointers = pack.all<void*>(1001);
    std::map<int64_t, void*> data;
    for (size_t i = 0; i < names.size(); i++)
        if (!data.emplace(names[i], pointers[i]).second)
            return fail(BadParam, "the name %ld comes twice", names[i]);
    std::vector<std::pair<void*, int64_t>> memory;
    for (const TensorModel& t : plan.problem->tensors())
    {
        auto found = data.find(t.name);
        if (found == data.end())
            return fail(BadParam, "tensor %ld has no pointer", t.name);
        if (reinterpret_cast<uintptr_t>(found->second) % t.alignment != 0)
            return fail(MisalignedPointer, "tensor %ld is at %p, not a multiple of %ld", t.name, found->second, t.alignment);
        memory.emplace_back(found->second, t.bytes());
    }

    if (memory.size() != data.size())
        return fail(BadParam, "%zu pointers, expected %zu", data.size(), memory.size());
    void* workspace = pack.one<void*>(1003);
    int64_t room = plan.engine->workspace;
    if (room > 0)
        memory.emplace_back(workspace, room);
    auto absent = [memory] {
        for (auto& [address, bytes] : memory)
            if (int error = emulated::check_memory(address, bytes, "cudnnBackendExecute"))
                return error;
        return 0;
    };
    if (absent())
        return ExecutionFailed;
    if (refuses)
        return MissingPrerequisite;
    return emulated::enqueue(handle->stream, [=, problem = plan.problem, engine = plan.engine] {
        if (int error = absent()) // freed meanwhile
            return error;
        if (room > 0)
            memset(workspace, 0xff, room);
        problem->compute(data, has_tensor_cores(*engine));
        if (spoils(*engine))
            memset(data.at(problem->result().name), 0xff, problem->result().bytes());
        __atomic_add_fetch(&executions, 1, __ATOMIC_RELAXED);
        return 0;
    }) == 0 ? Success : ExecutionFailed;
}
} // namespace

// ---- for tests ----

// engines: 0 none, 1 that work, 2 that refuse.
EXPORT void mdmCudnnSetUp(int status, int engines, int float_gradients)
{
    creation = status, known = engines != 0, refuses = engines == 2, wide = float_gradients;
}

EXPORT int mdmCudnnExecutions() { return __atomic_load_n(&executions, __ATOMIC_RELAXED); }
EXPORT int mdmCudnnObjects()
{
    std::lock_guard hold(lock);
    return (int)(live.size() + handles.size());
}

// ---- cuDNN ----

EXPORT size_t cudnnGetVersion() { return 90600; }

EXPORT const char* cudnnGetErrorString(int status)
{
    switch (status)
    {
    case Success: return "CUDNN_STATUS_SUCCESS";
    case NotInitialized: return "CUDNN_STATUS_NOT_INITIALIZED";
    case ExecutionFailed: return "CUDNN_STATUS_EXECUTION_FAILED";
    default: return status >= 3000 && status < 4000 ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM";
    }
}

EXPORT int cudnnCreate(Context** handle)
{
    std::lock_guard hold(lock);
    if (creation == Success)
        handles.insert(*handle = new Context());
    return creation;
}

EXPORT int cudnnDestroy(Context* handle)
{
    std::lock_guard hold(lock);
    if (handles.erase(handle) == 0)
        return fail(BadParam, "cudnnDestroy of what is no handle");
    delete handle;
    return Success;
}

EXPORT int cudnnSetStream(Context* handle, void* stream)
{
    std::lock_guard hold(lock);
    return handles.count(handle) ? handle->stream = stream, Success : fail(BadParam, "cudnnSetStream of what is no handle");
}

EXPORT int cudnnBackendCreateDescriptor(int kind, void** descriptor)
{
    std::lock_guard hold(lock);
    if (rules((Kind)kind).empty() && kind != Engine && kind != Configuration)
        return fail(BadParam, "an object of kind %d", kind);
    auto* made = new Descriptor();
    made->kind = (Kind)kind;
    live.insert(made);
    return *descriptor = made, Success;
}

EXPORT int cudnnBackendDestroyDescriptor(void* descriptor)
{
    std::lock_guard hold(lock);
    if (!find(descriptor))
        return fail(BadParam, "an object is destroyed that is none");
    live.erase(find(descriptor));
    delete static_cast<Descriptor*>(descriptor);
    return Success;
}

EXPORT int cudnnBackendSetAttribute(void* descriptor, int attribute, int type, int64_t count, const void* values)
{
    std::lock_guard hold(lock);
    Descriptor* d = find(descriptor);
    if (!d || d->finalized || !values)
        return fail(d && !d->finalized ? NullPointer : BadParam, "attribute %d of an object that is none or finished", attribute);
    auto rule = rules(d->kind).find(attribute);
    if (rule == rules(d->kind).end())
        return fail(BadParam, "an object of kind %d has no attribute %d", d->kind, attribute);
    if (rule->second.type != type)
        return fail(AttributeType, "attribute %d as type %d, expected %d", attribute, type, rule->second.type);
    if (count < rule->second.least || count > rule->second.most)
        return fail(BadParam, "attribute %d with %ld elements", attribute, count);
    for (int64_t i = 0; type == Object && i < count; i++)
    {
        Descriptor* value = find(static_cast<void* const*>(values)[i]);
        if (!value || !value->finalized)
            return fail(NotFinalized, "attribute %d is an object that is none, or not finished", attribute);
    }

    auto* bytes = static_cast<const unsigned char*>(values);
    d->values[attribute].assign(bytes, bytes + count * size_of((Type)type));
    return Success;
}

EXPORT int cudnnBackendFinalize(void* descriptor)
{
    std::lock_guard hold(lock);
    Descriptor* d = find(descriptor);
    if (!d || d->finalized)
        return fail(BadParam, "an object is finished that is none or already finished");
    int status = finish(*d);
    d->finalized = status == Success;
    return status;
}

EXPORT int cudnnBackendGetAttribute(void* descriptor, int attribute, int type, int64_t room, int64_t* count, void* values)
{
    std::lock_guard hold(lock);
    Descriptor* d = find(descriptor);
    if (!d || !d->finalized)
        return fail(NotFinalized, "attribute %d is read of an object that is none or not finished", attribute);
    if (d->kind == Heuristics && attribute == 202 && type == Object)
    {
        std::vector<EngineModel> all = engines(*d->problem, d->one<int>(200));
        *count = (int64_t)all.size();
        for (int64_t i = 0; i < room && i < *count; i++)
        {
            Descriptor* to = find(static_cast<void**>(values)[i]);
            if (!to || to->kind != Configuration)
                return fail(DescriptorType, "room for configurations that is none");
            to->problem = d->problem, to->engine = std::make_shared<EngineModel>(all[i]), to->finalized = true;
        }
        return Success;
    }

    if (d->kind == Configuration && attribute == 300 && type == Object && room == 1)
    {
        Descriptor* to = find(*static_cast<void**>(values));
        if (!to || to->kind != Engine)
            return fail(DescriptorType, "room for an engine that is none");
        return to->engine = d->engine, to->finalized = true, *count = 1, Success;
    }

    if (d->kind == Engine && attribute == 1303 && type == NumericalNote)
    {
        *count = (int64_t)d->engine->notes.size();
        memcpy(values, d->engine->notes.data(), sizeof(int) * std::min(room, *count));
        return Success;
    }

    if (d->kind == Plan && attribute == 402 && type == Int64 && room == 1)
        return memcpy(values, &d->engine->workspace, sizeof(int64_t)), *count = 1, Success;
    return fail(BadParam, "attribute %d of an object of kind %d is read as type %d", attribute, d->kind, type);
}

EXPORT int cudnnBackendExecute(Context* handle, void* plan, void* pack)
{
    std::lock_guard hold(lock);
    Descriptor *p = find(plan), *v = find(pack);
    if (!handles.count(handle) || !p || p->kind != Plan || !p->finalized || !v || v->kind != VariantPack || !v->finalized)
        return fail(BadParam, "cudnnBackendExecute of what is no handle, plan or variant pack");
    return execute(handle, *p, *v);
}
