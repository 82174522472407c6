using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Libraries;

namespace Mdm.Kernels.Cuda;

/// <summary>Convolutions by cuDNN.</summary>
internal sealed partial class CudaKernels
{
    /// <summary>A convolution by cuDNN; false: it is not there, or has no engine for it. Doubled images are nothing that it can
    /// express without storing them.</summary>
    private bool LibraryConvolve(in ConvCall call, int number)
    {
        ProductOutput output = call.Output;
        const nint beyond = CudnnConvolution.Alignment - 1;
        if (call.Shape.Upsample || ((call.Image.Address | call.Other.Address | output.C | output.Residual) & beyond) != 0)
            return false;
        DType type = call.Image.Type, result = output.IsFloat != 0 ? DType.Float32 : type;
        var what = new CudnnConvolution(call.Pass, call.Shape, type, result, type == DType.Float32 && device.AllowTf32);
        return call.Pass == ConvPass.Forward
            ? LibraryForward(call, what, number)
            : LibraryGradient(call, what, number)
                || (call.Pass == ConvPass.Weight && result != type
                    && LibraryNarrowGradient(call, what with { Result = type }, number));
    }

    /// <summary>With bias and residual in cuDNN's call, or, where it has no engine for that, added by an own pass.</summary>
    private bool LibraryForward(in ConvCall call, CudnnConvolution what, int number)
    {
        ProductOutput output = call.Output;
        if (output.Bias == 0 && output.Residual == 0)
            return LibraryQueue(call, what, number, output.C);
        CudnnConvolution whole = what with
        {
            BiasAlignment = output.Bias == 0 ? 0 : (output.Bias & (CudnnConvolution.Alignment - 1)) == 0
                ? CudnnConvolution.Alignment : sizeof(float),
            Residual = output.Residual != 0,
        };
        if (LibraryQueue(call, whole, number, output.C))
            return true;
        if (!LibraryQueue(call, what, number, output.C))
            return false;
        output.Accumulate = 1;
        int pixels = checked(call.Shape.Batch * call.Shape.OutHeight * call.Shape.OutWidth);
        SumParts(what.Type, output, default, pixels, call.Shape.OutChannels, 0);
        return true;
    }

    private bool LibraryGradient(in ConvCall call, in CudnnConvolution what, int number)
    {
        if (call.Output.Accumulate == 0)
            return LibraryQueue(call, what, number, call.Output.C);
        if (LibraryPlan(what, number) == null)
            return false;
        using Scratch gradient = device.Borrow(call.Count * what.Result.Size());
        if (!LibraryQueue(call, what, number, gradient.As(what.Result).Address))
            return false;
        AddGradient(call, gradient.As(what.Result));
        return true;
    }

    /// <summary>A float32 gradient of weights where cuDNN writes bfloat16 ones only: its float32 sums are rounded once.</summary>
    private bool LibraryNarrowGradient(in ConvCall call, in CudnnConvolution what, int number)
    {
        if (LibraryPlan(what, number) == null)
            return false;
        using Scratch narrow = device.Borrow(call.Count * what.Result.Size());
        if (!LibraryQueue(call, what, number, narrow.As(what.Result).Address))
            return false;
        if (call.Output.Accumulate == 0)
        {
            Cast(call.Count, narrow.As(what.Result), new Ptr(call.Output.C, DType.Float32));
            return true;
        }

        using Scratch gradient = device.Borrow(call.Count * sizeof(float));
        Cast(call.Count, narrow.As(what.Result), gradient.As(DType.Float32));
        AddGradient(call, gradient.As(DType.Float32));
        return true;
    }

    private void AddGradient(in ConvCall call, Ptr gradient) =>
        LinearCombination(call.Count, 1, gradient, 0, default, new Target(new Ptr(call.Output.C, gradient.Type), true));

    private CudnnPlan? LibraryPlan(in CudnnConvolution what, int number)
    {
        using (device.EnterStream(out _))
            return device.Libraries.Cudnn?.Plan(what, number);
    }

    /// <summary>Queues what cuDNN does, with the result at an address of its own; false: it cannot.</summary>
    private bool LibraryQueue(in ConvCall call, in CudnnConvolution what, int number, nint result)
    {
        if (LibraryPlan(what, number) is not { } plan)
            return false;
        CudnnOperands operands = call.Pass switch
        {
            ConvPass.Forward => new(call.Image.Address, call.Other.Address, result,
                what.BiasAlignment > 0 ? call.Output.Bias : 0, what.Residual ? call.Output.Residual : 0),
            ConvPass.Data => new(result, call.Other.Address, call.Image.Address),
            _ => new(call.Image.Address, result, call.Other.Address),
        };
        using Scratch workspace = plan.WorkspaceBytes > 0 ? device.Borrow(plan.WorkspaceBytes) : default;
        using (device.EnterStream(out nint stream))
        {
            if (!device.Libraries.Cudnn!.Execute(what, number, operands, workspace.As(DType.UInt8).Address, stream))
                return false;
            device.Queued("cudnnBackendExecute");
            return true;
        }
    }
}
