using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The GPU as the engine sees it: transfers, captured work, limits, memory.</summary>
public sealed class DeviceTests
{
    private static CudaDevice Device => (CudaDevice)Devices.Open("cuda");

    [TestCase(1)]
    [TestCase(4095)]
    [TestCase(20_000_003)] // more than the staging memory holds
    public void WhatGoesUpComesDown(int bytes)
    {
        byte[] sent = new byte[bytes], received = new byte[bytes];
        new Random(bytes).NextBytes(sent);
        nint memory = Device.Allocate(bytes);
        Device.Upload(sent, memory);
        Device.Download(memory, received);
        Device.Free(memory, bytes);
        Assert.That(received, Is.EqualTo(sent));
    }

    [Test]
    public void AnUploadReadsItsSourceBeforeItReturns()
    {
        nint memory = Device.Allocate(sizeof(float));
        float[] value = [1];
        Device.Upload(MemoryMarshal.AsBytes<float>(value), memory);
        value[0] = 2;
        Assert.That(Read(memory), Is.EqualTo(1));
        Device.Free(memory, sizeof(float));
    }

    [Test]
    public void SeveralThreadsUseADeviceAtOnce() => Parallel.For(0, 8, i =>
    {
        for (int round = 0; round < 50; round++)
            WhatGoesUpComesDown(1000 * i + round + 1);
    });

    [Test]
    public void CapturedWorkIsDoneAtEachReplay()
    {
        nint x = Upload(3);
        using (ICapturedWork work = Device.Capture(() => Double(x)))
        {
            Assert.That(Read(x), Is.EqualTo(3));
            work.Replay();
            work.Replay();
            Assert.That(Read(x), Is.EqualTo(12));
        }

        Device.Free(x, sizeof(float));
    }

    [Test]
    public void TemporariesOfCapturedWorkLiveAsLongAsItDoes()
    {
        long before = Device.Memory.InUse;
        nint x = Upload(1), y = 0;
        ICapturedWork work = Device.Capture(() =>
        {
            y = Device.Allocate(sizeof(float));
            nint temporary = Device.Allocate(sizeof(float));
            Device.Copy(x, temporary, sizeof(float));
            Double(temporary);
            Device.Copy(temporary, y, sizeof(float));
            Device.Free(temporary, sizeof(float));
        });
        for (int i = 1; i <= 3; i++)
        {
            Write(x, i);
            work.Replay();
            Assert.That(Read(y), Is.EqualTo(2 * i));
        }

        Device.Free(y, sizeof(float));
        work.Replay(); // still its memory
        Device.Synchronize();
        work.Dispose();
        Assert.That(work.Replay, Throws.TypeOf<ObjectDisposedException>());
        Device.Free(x, sizeof(float));
        Assert.That(Device.Memory.InUse, Is.EqualTo(before));
    }

    [Test]
    public void TransfersAndWaitsInsideACaptureAreMistakesThatAreTold()
    {
        nint x = Upload(5);
        Action[] mistakes =
        [
            () => Write(x, 1), () => Read(x), () => Device.Synchronize(), () => Device.Mark(),
            () => Device.Capture(() => { }),
        ];
        foreach (Action mistake in mistakes)
        {
            Assert.That(() => Device.Capture(mistake), Throws.InvalidOperationException.With.Message.Contains("being captured"));
            Assert.That(Read(x), Is.EqualTo(5));
        }

        Device.Free(x, sizeof(float));
    }

    [Test]
    public void ALaunchOverALimitNamesKernelAndLimit()
    {
        var kernel = new KernelId(KernelModule.Of("layernorm.cu", DType.Float32), "layernorm_warp_single");
        Assert.That(() => Device.Launch(kernel, new Dim3(1, 70000), 32, 0),
            Throws.ArgumentException.With.Message.Contains("layernorm_warp_single of layernorm.cu (MDM_T=float) with grid 1x70000x1")
                .And.Message.Contains("65535"));
        Assert.That(() => Device.Launch(kernel, 1, 2048, 0), Throws.ArgumentException.With.Message.Contains("block 2048x1x1"));
        Assert.That(() => Device.Launch(kernel, 1, 32, 1 << 20), Throws.ArgumentException.With.Message.Contains("1048576 bytes"));
        Assert.That(() => Device.Launch(kernel with { Name = "nosuch" }, 1, 32, 0), Throws.Exception.With.Message.Contains("nosuch"));
    }

    [Test]
    public void TooMuchMemoryIsRefusedWithTheNumbers() =>
        Assert.That(() => Device.Allocate(1L << 40), Throws.TypeOf<OutOfDeviceMemoryException>().With.Message.Match(
            @"cuda:0: asked for 1048576 MB with .* MB in use, .* MB held and .* MB of [0-9.]+ MB free on the GPU; lower the batch size"));

    private static nint Upload(float value)
    {
        nint memory = Device.Allocate(sizeof(float));
        Write(memory, value);
        return memory;
    }

    private static void Write(nint memory, float value) => Device.Upload(MemoryMarshal.AsBytes<float>((float[])[value]), memory);

    private static float Read(nint memory)
    {
        float[] value = new float[1];
        Device.Download(memory, MemoryMarshal.AsBytes(value.AsSpan()));
        return value[0];
    }

    private static void Double(nint memory)
    {
        var x = new Ptr(memory, DType.Float32);
        Device.Kernels.LinearCombination(1, 2, x, 0, x, new Target(x, false));
    }
}
