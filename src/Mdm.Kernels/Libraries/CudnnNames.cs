namespace Mdm.Kernels.Libraries;

// The numbers of cuDNN 9's graph API, as its header cudnn_graph.h has them (unchanged since cuDNN 8.3).

/// <summary>cudnnBackendDescriptorType_t.</summary>
internal enum CudnnKind
{
    Pointwise = 0,
    Convolution = 1,
    Engine = 2,
    EngineConfiguration = 3,
    Heuristics = 4,
    Plan = 5,
    ConvolutionForward = 10,
    ConvolutionBackwardFilter = 11,
    ConvolutionBackwardData = 12,
    PointwiseOperation = 13,
    OperationGraph = 15,
    VariantPack = 16,
    Tensor = 17,
}

/// <summary>cudnnBackendAttributeName_t.</summary>
internal enum CudnnAttribute
{
    PointwiseMode = 0,
    PointwisePrecision = 1,
    ConvolutionComputeType = 100,
    ConvolutionMode = 101,
    ConvolutionDilations = 102,
    ConvolutionStrides = 103,
    ConvolutionPaddingsAfter = 104,
    ConvolutionPaddingsBefore = 105,
    ConvolutionDimensions = 106,
    HeuristicsMode = 200,
    HeuristicsGraph = 201,
    HeuristicsResults = 202,
    ConfigurationEngine = 300,
    PlanHandle = 400,
    PlanConfiguration = 401,
    PlanWorkspaceSize = 402,
    ForwardAlpha = 700,
    ForwardBeta = 701,
    ForwardConvolution = 702,
    ForwardW = 703,
    ForwardX = 704,
    ForwardY = 705,
    BackwardDataAlpha = 706,
    BackwardDataBeta = 707,
    BackwardDataConvolution = 708,
    BackwardDataW = 709,
    BackwardDataDx = 710,
    BackwardDataDy = 711,
    BackwardFilterAlpha = 712,
    BackwardFilterBeta = 713,
    BackwardFilterConvolution = 714,
    BackwardFilterDw = 715,
    BackwardFilterX = 716,
    BackwardFilterDy = 717,
    PointwiseDescriptor = 750,
    PointwiseX = 751,
    PointwiseB = 752,
    PointwiseY = 753,
    GraphHandle = 800,
    GraphOperations = 801,
    TensorAlignment = 900,
    TensorType = 901,
    TensorDimensions = 902,
    TensorStrides = 903,
    TensorName = 906,
    TensorIsVirtual = 907,
    VariantPackNames = 1000,
    VariantPackPointers = 1001,
    VariantPackWorkspace = 1003,
    EngineNumericalNote = 1303,
}

/// <summary>cudnnBackendAttributeType_t.</summary>
internal enum CudnnType
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
    Descriptor = 15,
}

/// <summary>cudnnDataType_t.</summary>
internal enum CudnnData
{
    Float = 0,
    BFloat16 = 9,
}

/// <summary>cudnnBackendHeurMode_t: how engines are proposed.</summary>
internal enum CudnnHeuristics
{
    Fallback = 2,
    A = 3,
}

/// <summary>cudnnBackendNumericalNote_t: how an engine computes.</summary>
internal enum CudnnNote
{
    /// <summary>For float32 operands: rounds them to TF32.</summary>
    TensorCore = 0,
    DownConvertInputs = 1,
    ReducedPrecisionReduction = 2,
    Fft = 3,
    Nondeterministic = 4,
    Winograd = 5,
}

/// <summary>cudnnConvolutionMode_t.</summary>
internal enum CudnnConvolutionMode
{
    CrossCorrelation = 1,
}

/// <summary>cudnnPointwiseMode_t.</summary>
internal enum CudnnPointwise
{
    Add = 0,
}
