// The objects of cuDNN's graph API: which attributes they have, of which types and how many.
#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace cudnn
{
enum Status : int
{
    Success = 0,
    NotInitialized = 1001,
    BadParam = 2000,
    NullPointer = 2002,
    MisalignedPointer = 2003,
    NotFinalized = 2004,
    ShapeMismatch = 2008,
    AttributeType = 2010,
    DescriptorType = 2012,
    UnsupportedPattern = 3001,
    UnsupportedType = 3003,
    UnsupportedLayout = 3004,
    MissingPrerequisite = 3008,
    ExecutionFailed = 5000,
};

enum Kind : int
{
    Pointwise = 0,
    Convolution = 1,
    Engine = 2,
    Configuration = 3,
    Heuristics = 4,
    Plan = 5,
    Forward = 10,
    BackwardFilter = 11,
    BackwardData = 12,
    PointwiseOperation = 13,
    Graph = 15,
    VariantPack = 16,
    Tensor = 17,
};

// CUDNN_TYPE_...; Object is CUDNN_TYPE_BACKEND_DESCRIPTOR.
enum Type : int
{
    Handle = 0,
    DataType = 1,
    Boolean = 2,
    Int64 = 3,
    Float = 4,
    Pointer = 6,
    ConvolutionMode = 7,
    HeuristicsMode = 8,
    NumericalNote = 11,
    PointwiseMode = 14,
    Object = 15,
};

inline size_t size_of(Type type)
{
    return type == Boolean ? 1 : type == Handle || type == Int64 || type == Pointer || type == Object ? 8 : 4;
}

// An attribute that the host sets.
struct Rule
{
    Type type;
    int least, most; // elements
    bool optional;
};

inline const std::map<int, Rule>& rules(Kind kind)
{
    static const std::map<int, std::map<int, Rule>> all = {
        {Pointwise, {{0, {PointwiseMode, 1, 1, false}}, {1, {DataType, 1, 1, false}}}},
        {Convolution, {{100, {DataType, 1, 1, false}}, {101, {ConvolutionMode, 1, 1, false}}, {102, {Int64, 2, 2, false}},
            {103, {Int64, 2, 2, false}}, {104, {Int64, 2, 2, false}}, {105, {Int64, 2, 2, false}}, {106, {Int64, 1, 1, false}}}},
        {Heuristics, {{200, {HeuristicsMode, 1, 1, false}}, {201, {Object, 1, 1, false}}}},
        {Plan, {{400, {Handle, 1, 1, false}}, {401, {Object, 1, 1, false}}}},
        {Forward, {{700, {Float, 1, 1, false}}, {701, {Float, 1, 1, false}}, {702, {Object, 1, 1, false}},
            {703, {Object, 1, 1, false}}, {704, {Object, 1, 1, false}}, {705, {Object, 1, 1, false}}}},
        {BackwardData, {{706, {Float, 1, 1, false}}, {707, {Float, 1, 1, false}}, {708, {Object, 1, 1, false}},
            {709, {Object, 1, 1, false}}, {710, {Object, 1, 1, false}}, {711, {Object, 1, 1, false}}}},
        {BackwardFilter, {{712, {Float, 1, 1, false}}, {713, {Float, 1, 1, false}}, {714, {Object, 1, 1, false}},
            {715, {Object, 1, 1, false}}, {716, {Object, 1, 1, false}}, {717, {Object, 1, 1, false}}}},
        {PointwiseOperation, {{750, {Object, 1, 1, false}}, {751, {Object, 1, 1, false}}, {752, {Object, 1, 1, false}},
            {753, {Object, 1, 1, false}}}},
        {Graph, {{800, {Handle, 1, 1, false}}, {801, {Object, 1, 3, false}}}},
        {Tensor, {{900, {Int64, 1, 1, false}}, {901, {DataType, 1, 1, false}}, {902, {Int64, 4, 4, false}},
            {903, {Int64, 4, 4, false}}, {906, {Int64, 1, 1, false}}, {907, {Boolean, 1, 1, true}}}},
        {VariantPack, {{1000, {Int64, 1, 5, false}}, {1001, {Pointer, 1, 5, false}}, {1003, {Pointer, 1, 1, false}}}},
    };
    static const std::map<int, Rule> none;
    auto found = all.find(kind);
    return found == all.end() ? none : found->second;
}

// What an engine is like.
struct EngineModel
{
    std::vector<int> notes;
    int64_t workspace;
    int failure; // of building a plan
};

struct Problem; // what a graph describes

struct Descriptor
{
    Kind kind;
    bool finalized = false;
    std::map<int, std::vector<unsigned char>> values;
    std::shared_ptr<const Problem> problem;    // graphs, and what was made from them
    std::shared_ptr<const EngineModel> engine; // configurations, engines and plans

    template <typename T>
    std::vector<T> all(int attribute) const
    {
        const std::vector<unsigned char>& bytes = values.at(attribute);
        std::vector<T> result(bytes.size() / sizeof(T));
        memcpy(result.data(), bytes.data(), bytes.size());
        return result;
    }

    template <typename T>
    T one(int attribute) const { return all<T>(attribute)[0]; }

    const Descriptor& object(int attribute) const { return *one<const Descriptor*>(attribute); }
};
} // namespace cudnn
