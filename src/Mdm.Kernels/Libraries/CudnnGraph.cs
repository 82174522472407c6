using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Libraries;

/// <summary>A convolution as cuDNN's operation graph: y = conv(x, w) (+ residual) (+ bias), or a gradient.</summary>
internal sealed class CudnnGraph : IDisposable
{
    /// <summary>The names under which a plan is given the operands' addresses.</summary>
    public const long Image = 1, Weight = 2, Output = 3, Bias = 4, Residual = 5;

    // What is between the operations has a name too, but no memory.
    private const long FirstVirtual = 6;

    private readonly CudnnApi api;
    private readonly List<CudnnDescriptor> owned = [];

    /// <exception cref="CudnnException">cuDNN does not take it.</exception>
    public CudnnGraph(CudnnApi api, nint handle, in CudnnConvolution what)
    {
        this.api = api;
        try
        {
            List<CudnnDescriptor> operations = Operations(what);
            Descriptor = New(CudnnKind.OperationGraph)
                .Set(CudnnAttribute.GraphHandle, CudnnType.Handle, handle)
                .Set<nint>(CudnnAttribute.GraphOperations, CudnnType.Descriptor, [.. operations.Select(o => o.Handle)])
                .Finish();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public CudnnDescriptor Descriptor { get; }

    public void Dispose()
    {
        for (int i = owned.Count - 1; i >= 0; i--)
            owned[i].Dispose();
        owned.Clear();
    }

    private List<CudnnDescriptor> Operations(in CudnnConvolution what)
    {
        ConvShape s = what.Shape;
        (CudnnData type, CudnnData result) = (Of(what.Type), Of(what.Result));
        ConvPass pass = what.Pass;
        CudnnDescriptor image = Tensor(Image, pass == ConvPass.Data ? result : type,
            s.Batch, s.Height, s.Width, s.InChannels);
        CudnnDescriptor weight = Tensor(Weight, pass == ConvPass.Weight ? result : type,
            s.OutChannels, 3, 3, s.InChannels);
        int sums = (what.Residual ? 1 : 0) + (what.BiasAlignment > 0 ? 1 : 0);
        CudnnDescriptor Sum(int i) => i == sums
            ? Tensor(Output, pass == ConvPass.Forward ? result : type, s.Batch, s.OutHeight, s.OutWidth, s.OutChannels)
            : Tensor(FirstVirtual + i, CudnnData.Float, s.Batch, s.OutHeight, s.OutWidth, s.OutChannels, isVirtual: true);

        CudnnDescriptor convolution = Convolution(s.Stride), output = Sum(0);
        List<CudnnDescriptor> operations = [pass switch
        {
            ConvPass.Forward => New(CudnnKind.ConvolutionForward)
                .Set(CudnnAttribute.ForwardConvolution, convolution)
                .Set(CudnnAttribute.ForwardX, image).Set(CudnnAttribute.ForwardW, weight).Set(CudnnAttribute.ForwardY, output)
                .Set(CudnnAttribute.ForwardAlpha, CudnnType.Float, 1f).Set(CudnnAttribute.ForwardBeta, CudnnType.Float, 0f),
            ConvPass.Data => New(CudnnKind.ConvolutionBackwardData)
                .Set(CudnnAttribute.BackwardDataConvolution, convolution)
                .Set(CudnnAttribute.BackwardDataDx, image).Set(CudnnAttribute.BackwardDataW, weight)
                .Set(CudnnAttribute.BackwardDataDy, output)
                .Set(CudnnAttribute.BackwardDataAlpha, CudnnType.Float, 1f)
                .Set(CudnnAttribute.BackwardDataBeta, CudnnType.Float, 0f),
            _ => New(CudnnKind.ConvolutionBackwardFilter)
                .Set(CudnnAttribute.BackwardFilterConvolution, convolution)
                .Set(CudnnAttribute.BackwardFilterX, image).Set(CudnnAttribute.BackwardFilterDw, weight)
                .Set(CudnnAttribute.BackwardFilterDy, output)
                .Set(CudnnAttribute.BackwardFilterAlpha, CudnnType.Float, 1f)
                .Set(CudnnAttribute.BackwardFilterBeta, CudnnType.Float, 0f),
        }];
        operations[0].Finish();

        // The residual comes before the bias: of the two orders, the one that cuDNN has ready-made engines for.
        if (what.Residual)
        {
            CudnnDescriptor residual = Tensor(Residual, result, s.Batch, s.OutHeight, s.OutWidth, s.OutChannels);
            operations.Add(Add(output, residual, output = Sum(operations.Count)));
        }

        if (what.BiasAlignment > 0)
        {
            CudnnDescriptor bias = Tensor(Bias, CudnnData.Float, 1, 1, 1, s.OutChannels, alignment: what.BiasAlignment);
            operations.Add(Add(output, bias, Sum(operations.Count)));
        }

        return operations;
    }

    private CudnnDescriptor Convolution(int stride) => New(CudnnKind.Convolution)
        .Set(CudnnAttribute.ConvolutionComputeType, CudnnType.DataType, (int)CudnnData.Float)
        .Set(CudnnAttribute.ConvolutionMode, CudnnType.ConvolutionMode, (int)CudnnConvolutionMode.CrossCorrelation)
        .Set(CudnnAttribute.ConvolutionDimensions, CudnnType.Int64, 2L)
        .Set(CudnnAttribute.ConvolutionPaddingsBefore, CudnnType.Int64, 1L, 1L)
        .Set(CudnnAttribute.ConvolutionPaddingsAfter, CudnnType.Int64, 1L, 1L)
        .Set(CudnnAttribute.ConvolutionDilations, CudnnType.Int64, 1L, 1L)
        .Set(CudnnAttribute.ConvolutionStrides, CudnnType.Int64, (long)stride, stride)
        .Finish();

    private CudnnDescriptor Add(CudnnDescriptor x, CudnnDescriptor b, CudnnDescriptor y) => New(CudnnKind.PointwiseOperation)
        .Set(CudnnAttribute.PointwiseDescriptor, New(CudnnKind.Pointwise)
            .Set(CudnnAttribute.PointwiseMode, CudnnType.PointwiseMode, (int)CudnnPointwise.Add)
            .Set(CudnnAttribute.PointwisePrecision, CudnnType.DataType, (int)CudnnData.Float)
            .Finish())
        .Set(CudnnAttribute.PointwiseX, x).Set(CudnnAttribute.PointwiseB, b).Set(CudnnAttribute.PointwiseY, y)
        .Finish();

    /// <summary>A [b,h,w,c] tensor, which cuDNN knows as [b,c,h,w] with the strides of the other order.</summary>
    private CudnnDescriptor Tensor(long name, CudnnData type, long b, long h, long w, long c, bool isVirtual = false,
        int alignment = CudnnConvolution.Alignment)
    {
        CudnnDescriptor tensor = New(CudnnKind.Tensor)
            .Set(CudnnAttribute.TensorName, CudnnType.Int64, name)
            .Set(CudnnAttribute.TensorType, CudnnType.DataType, (int)type)
            .Set(CudnnAttribute.TensorDimensions, CudnnType.Int64, b, c, h, w)
            .Set(CudnnAttribute.TensorStrides, CudnnType.Int64, h * w * c, 1, w * c, c)
            .Set(CudnnAttribute.TensorAlignment, CudnnType.Int64, (long)alignment);
        if (isVirtual)
            tensor.Set(CudnnAttribute.TensorIsVirtual, CudnnType.Boolean, (byte)1);
        return tensor.Finish();
    }

    private CudnnDescriptor New(CudnnKind kind)
    {
        var made = new CudnnDescriptor(api, kind);
        owned.Add(made);
        return made;
    }

    private static CudnnData Of(DType type) => type switch
    {
        DType.Float32 => CudnnData.Float,
        DType.BFloat16 => CudnnData.BFloat16,
        _ => throw new ArgumentException($"cuDNN: a convolution of {type}, expected Float32 or BFloat16"),
    };
}
