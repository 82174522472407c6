// A stand-in for cuBLASLt: the entry points that the program uses, with their meaning (column-major matrices, leading dimensions,
// transpositions, alpha and beta, a bias to every column in D's type), as loops that add in float32. It is strict: an algorithm serves the
// very product that it was found for, addresses have the alignment that was promised, matrices and workspace lie within allocations.
// It knows no algorithm for bfloat16 matrices whose columns are an odd number of elements apart, and wants workspace for long sums.
// It also finds an algorithm for sums of 77 terms that then does not serve. MDM_EMULATOR_CUBLASLT=broken: cublasLtCreate fails.
#include "emulated.h"

#include <cmath>
#include <cstring>
#include <vector>

namespace
{
enum : int { Success = 0, NotInitialized = 1, InvalidValue = 7, ExecutionFailed = 13, NotSupported = 15 };
enum : int { Real32 = 0, RealBf16 = 14, Compute32 = 68, Compute32Tf32 = 77, EpilogueDefault = 1, EpilogueBias = 4 };
constexpr uint64_t long_sum = 256, refused_sum = 77;

struct Handle { uint64_t is = 0xb1a5; };
struct Operation
{
    uint64_t is = 0x09e7;
    int compute, transpose_a = 0, transpose_b = 0, epilogue = EpilogueDefault;
    const void* bias = nullptr;
};
struct Layout { uint64_t is = 0x1a40; int type; uint64_t rows, columns; int64_t ld; };
struct Preference { uint64_t is = 0x94ef; uint64_t workspace = 0; uint32_t schemes = 7, alignment[4] = {256, 256, 256, 256}; };

template <typename T>
bool valid(const T* object) { return object && object->is == T().is; }

size_t bytes_of(int type) { return type == RealBf16 ? 2 : 4; }

// Of the 64 bytes of an algorithm.
struct Algorithm
{
    uint64_t is, product, workspace;
    uint32_t alignment[4];
    uint64_t unused[3];
};
static_assert(sizeof(Algorithm) == 64);

struct Heuristic
{
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Heuristic) == 96);

uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3ull; }

uint64_t identity(const Operation& o, const Layout* const (&matrices)[4])
{
    uint64_t hash = mix(mix(mix(mix(0xcbf29ce484222325ull, o.compute), o.transpose_a), o.transpose_b), o.epilogue);
    for (const Layout* m : matrices)
        hash = mix(mix(mix(mix(hash, m->type), m->rows), m->columns), m->ld);
    return hash;
}

// Sizes of the product; InvalidValue if the matrices do not fit together.
int sizes(const Operation& o, const Layout* const (&l)[4], uint64_t& m, uint64_t& n, uint64_t& k)
{
    auto [a, b, c, d] = l;
    m = o.transpose_a ? a->columns : a->rows, k = o.transpose_a ? a->rows : a->columns, n = o.transpose_b ? b->rows : b->columns;
    bool fit = (o.transpose_b ? b->columns : b->rows) == k && c->rows == m && c->columns == n && d->rows == m && d->columns == n;
    for (const Layout* matrix : l)
        fit = fit && matrix->rows > 0 && matrix->columns > 0 && matrix->ld >= (int64_t)matrix->rows;
    return fit ? Success : InvalidValue;
}

int check(const void* at, const Layout& layout, const char* call)
{
    return emulated::check_memory(at, ((layout.columns - 1) * layout.ld + layout.rows) * bytes_of(layout.type), call);
}

float load(const void* at, int type, uint64_t i)
{
    return type == RealBf16 ? emulated::from_bf16(static_cast<const uint16_t*>(at)[i]) : static_cast<const float*>(at)[i];
}

float to_tf32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
    memcpy(&value, &bits, 4);
    return value;
}

// op(matrix), row after row if `rows` is set, column after column if not.
std::vector<float> gather(const void* at, const Layout& l, bool transpose, bool rows, bool tf32)
{
    std::vector<float> values(l.rows * l.columns);
    for (uint64_t j = 0; j < l.columns; j++)
        for (uint64_t i = 0; i < l.rows; i++)
        {
            float value = load(at, l.type, j * l.ld + i);
            bool along = rows == transpose; // stored columns are what is wanted as lines
            values[along ? j * l.rows + i : i * l.columns + j] = tf32 ? to_tf32(value) : value;
        }
    return values;
}
} // namespace

EXPORT size_t cublasLtGetVersion() { return 120405; }

EXPORT int cublasLtCreate(Handle** handle)
{
    const char* fault = getenv("MDM_EMULATOR_CUBLASLT");
    if (fault && !strcmp(fault, "broken"))
        return NotInitialized;
    *handle = new Handle();
    return Success;
}

EXPORT int cublasLtDestroy(Handle* handle)
{
    if (!valid(handle))
        return InvalidValue;
    return delete handle, Success;
}

EXPORT int cublasLtMatmulDescCreate(Operation** operation, int compute, int scale)
{
    if ((compute != Compute32 && compute != Compute32Tf32) || scale != Real32)
        return NotSupported;
    *operation = new Operation();
    (*operation)->compute = compute;
    return Success;
}

EXPORT int cublasLtMatmulDescDestroy(Operation* operation)
{
    if (!valid(operation))
        return InvalidValue;
    return delete operation, Success;
}

EXPORT int cublasLtMatmulDescSetAttribute(Operation* operation, int attribute, const void* value, size_t bytes)
{
    if (!valid(operation) || bytes != (attribute == 8 ? sizeof(void*) : sizeof(int)))
        return InvalidValue;
    switch (attribute)
    {
    case 3: memcpy(&operation->transpose_a, value, bytes); break;
    case 4: memcpy(&operation->transpose_b, value, bytes); break;
    case 7: memcpy(&operation->epilogue, value, bytes); break;
    case 8: memcpy(&operation->bias, value, bytes); break;
    default: return InvalidValue;
    }
    return (operation->transpose_a | operation->transpose_b) <= 1 ? Success : InvalidValue;
}

EXPORT int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
    if (type != Real32 && type != RealBf16)
        return NotSupported;
    *layout = new Layout();
    (*layout)->type = type, (*layout)->rows = rows, (*layout)->columns = columns, (*layout)->ld = ld;
    return Success;
}

EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout)
{
    if (!valid(layout))
        return InvalidValue;
    return delete layout, Success;
}

EXPORT int cublasLtMatmulPreferenceCreate(Preference** preference) { return *preference = new Preference(), Success; }

EXPORT int cublasLtMatmulPreferenceDestroy(Preference* preference)
{
    if (!valid(preference))
        return InvalidValue;
    return delete preference, Success;
}

EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes)
{
    if (!valid(preference) || bytes != (attribute == 1 ? sizeof(uint64_t) : sizeof(uint32_t)))
        return InvalidValue;
    if (attribute == 1)
        memcpy(&preference->workspace, value, bytes);
    else if (attribute == 3)
        memcpy(&preference->schemes, value, bytes);
    else if (attribute >= 5 && attribute <= 8)
        memcpy(&preference->alignment[attribute - 5], value, bytes);
    else
        return InvalidValue;
    return Success;
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle* handle, Operation* operation, Layout* a, Layout* b, Layout* c, Layout* d,
    Preference* preference, int wanted, Heuristic* results, int* found)
{
    *found = 0;
    const Layout* const matrices[] = {a, b, c, d};
    uint64_t m, n, k;
    for (const Layout* matrix : matrices)
        if (!valid(matrix))
            return InvalidValue;
    if (!valid(handle) || !valid(operation) || !valid(preference) || wanted < 1 || sizes(*operation, matrices, m, n, k) != Success)
        return InvalidValue;
    bool types = a->type == b->type && c->type == d->type && (a->type == RealBf16 || d->type == Real32);
    if (!types || (operation->epilogue != EpilogueDefault && operation->epilogue != EpilogueBias))
        return NotSupported;
    if (operation->epilogue == EpilogueBias && !operation->bias)
        return InvalidValue;
    for (const Layout* matrix : matrices)
        if (matrix->type == RealBf16 && matrix->ld % 2 != 0)
            return NotSupported;
    Algorithm algorithm = {0xa190, identity(*operation, matrices), k >= long_sum ? 4 * m * n : 0, {}, {}};
    memcpy(algorithm.alignment, preference->alignment, sizeof algorithm.alignment);
    for (; *found < wanted && algorithm.workspace <= preference->workspace && *found < 2; algorithm.workspace = 0)
        results[(*found)++] = {algorithm, algorithm.workspace, Success, 1, {}};
    return *found > 0 ? Success : NotSupported;
}

EXPORT int cublasLtMatmul(Handle* handle, Operation* operation, const float* alpha, const void* a, Layout* la, const void* b,
    Layout* lb, const float* beta, const void* c, Layout* lc, void* d, Layout* ld, const Algorithm* algorithm, void* workspace,
    size_t workspace_bytes, void* stream)
{
    const Layout* const matrices[] = {la, lb, lc, ld};
    const void* const addresses[] = {a, b, c, d};
    uint64_t m, n, k;
    if (!valid(handle) || !valid(operation) || !algorithm || algorithm->is != 0xa190
        || sizes(*operation, matrices, m, n, k) != Success || algorithm->product != identity(*operation, matrices)
        || workspace_bytes < algorithm->workspace)
        return InvalidValue;
    for (int i = 0; i < 4; i++)
        if ((uintptr_t)addresses[i] % algorithm->alignment[i] != 0 || check(addresses[i], *matrices[i], "cublasLtMatmul") != 0)
            return InvalidValue;
    if (k == refused_sum)
        return NotSupported;
    const Operation o = *operation;
    const size_t wanted = algorithm->workspace;
    const int bias_type = ld->type;
    if ((o.epilogue == EpilogueBias && emulated::check_memory(o.bias, m * bytes_of(bias_type), "bias of cublasLtMatmul") != 0)
        || (wanted > 0 && emulated::check_memory(workspace, wanted, "workspace of cublasLtMatmul") != 0))
        return InvalidValue;
    const Layout A = *la, B = *lb, C = *lc, D = *ld;
    const float one = *alpha, add = *beta;
    int code = emulated::enqueue(stream, [=] {
        bool tf32 = o.compute == Compute32Tf32;
        std::vector<float> left = gather(a, A, o.transpose_a, true, tf32), right = gather(b, B, o.transpose_b, false, tf32);
        memset(workspace, 0xff, wanted);
        for (uint64_t j = 0; j < n; j++)
            for (uint64_t i = 0; i < m; i++)
            {
                float sum = 0;
                for (uint64_t p = 0; p < k; p++)
                    sum = std::fma(left[i * k + p], right[j * k + p], sum);
                sum = one * sum + (add != 0 ? add * load(c, C.type, j * C.ld + i) : 0);
                if (o.epilogue == EpilogueBias)
                    sum += load(o.bias, bias_type, i);
                uint64_t at = j * D.ld + i;
                if (D.type == RealBf16)
                    static_cast<uint16_t*>(d)[at] = emulated::to_bf16(sum);
                else
                    static_cast<float*>(d)[at] = sum;
            }
        return 0;
    });
    return code == 0 ? Success : ExecutionFailed;
}
