#!/usr/bin/env python3
"""Training and sampling steps of a published configuration in PyTorch on a GPU: the peer of `mdm` there.

What helps PyTorch is used: channels_last, bfloat16 autocast with float32 weights, scaled_dot_product_attention, fused AdamW,
foreach moving average, cuDNN's search, no read-back within the timed steps. One line of JSON per measurement.

    gpu.py CONFIG --mode eager|compile|graphs --train 8,32 --sample 1,16 [--steps N] [--tokens N]
    gpu.py CONFIG --check FILE     holds outputs, loss and gradients of FILE (Mdm.Bench --only export) against PyTorch's

mode: eager; compile = torch.compile; graphs = torch.compile with CUDA graphs. Each in a process of its own, so that one that
fails costs only itself and times from the start of the process mean something.
"""
import argparse
import contextlib
import gc
import json
import os
import sys
import time
import traceback


def since_start():
    """Seconds since this process was started, the interpreter's own start included."""
    with open("/proc/self/stat", encoding="ascii") as stat, open("/proc/uptime", encoding="ascii") as uptime:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
        return float(uptime.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


import torch
import yaml

from networks import UNet
from training_step import check, levels_of, loss_of, pyramid, text_width

WARM_UP = 5


def report(name, seconds, batch, extra):
    print(json.dumps({"Name": name, "Seconds": seconds, "ImagesPerSecond": batch / seconds, **extra}), flush=True)


class Timer:
    """Seconds of a step on the GPU's clock (of the processor where there is no GPU): the median."""

    def __init__(self, device):
        self.cuda = device.type == "cuda"

    def measure(self, step, steps):
        times = []
        for _ in range(steps):
            if self.cuda:
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                step()
                end.record()
                torch.cuda.synchronize()
                times.append(start.elapsed_time(end) * 1e-3)
            else:
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
        return sorted(times)[steps // 2]


def compiled(function, mode):
    if mode == "eager":
        return function
    if not hasattr(torch, "compile"):
        sys.exit(f"PyTorch {torch.__version__} has no torch.compile, expected 2.0 or later")
    torch._dynamo.reset()  # what was compiled for another batch must not lead to code for any batch, which is slower
    return torch.compile(function, mode="reduce-overhead" if mode == "graphs" else None, dynamic=False)


def autocast(device, dtype):
    return torch.autocast(device.type, dtype) if dtype != torch.float32 else contextlib.nullcontext()


def captions(batch, tokens, width, device, dtype):
    """Of 8 to 16 tokens, the rest is padding: those of `mdm`'s measurements."""
    lengths = 8 + torch.arange(batch, device=device) % 9
    return (torch.randn(batch, tokens, width, device=device, dtype=dtype),
            (torch.arange(tokens, device=device) < lengths[:, None]).to(dtype))


def train(config, device, dtype, mode, batch, steps, tokens, first):
    width = text_width(config)
    network = UNet(config["unet_config"], width).to(device).to(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    fused = {"fused": True} if device.type == "cuda" else {"foreach": True}
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0, **fused)
    size = config["reader_config"]["image_size"]
    images = torch.rand(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    text = captions(batch, tokens, width, device, torch.float32)
    levels = pyramid(images, levels_of(config))
    decay, clip = config.get("ema_decay", 0.9999), config.get("gradient_clip_norm", 2)

    def forward(times, epsilons, gammas):
        with autocast(device, dtype):
            return loss_of(network, config, levels, times, text, epsilons, gammas)[0]

    forward = compiled(forward, mode)

    def step():
        optimizer.zero_grad(set_to_none=True)
        times = torch.randint(0, 1000, (batch,), device=device).float()
        gammas = [1 - (times + 1) / 1001] * len(levels)
        if mode == "graphs":
            torch.compiler.cudagraph_mark_step_begin()
        forward(times, [torch.randn_like(x) for x in levels], gammas).backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(average, decay)
            torch._foreach_add_(average, parameters, alpha=1 - decay)

    measure("train", step, device, mode, batch, steps, first)


def sample(config, device, dtype, mode, batch, steps, tokens, first):
    width = text_width(config)
    network = UNet(config["unet_config"], width).to(device).to(memory_format=torch.channels_last).eval()
    network = network.to(dtype)  # sampling needs no float32 weights, and without them no autocast
    size, w = config["reader_config"]["image_size"], 5.0
    x = torch.randn(batch, 3, size, size, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    levels = pyramid(x, levels_of(config))
    with torch.no_grad():  # once per picture, as in `mdm`
        text = network.encode_text(*captions(2 * batch, tokens, width, device, dtype))

    # One step with guidance: the network on a doubled batch, the guided prediction, clamping, DDIM's update.
    def denoise(noisy, times):
        result = []
        for y, output in zip(noisy, network.level([torch.cat([y, y]) for y in noisy], times, text, {}, None)[0]):
            without, with_text = output.chunk(2)
            v = without + w * (with_text - without)
            clean = (0.8 * y - 0.6 * v).clamp(-1, 1)
            result.append(0.81 * clean + 0.586 * (y - 0.8 * clean) / 0.6)
        return result

    denoise = compiled(denoise, mode)
    times = torch.full((2 * batch,), 500.0, device=device)
    state = {"x": levels}

    def step():
        with torch.no_grad():
            if mode == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            state["x"] = [y.clone() for y in denoise(state["x"], times)]

    measure("sample", step, device, mode, batch, steps, first)


def measure(what, step, device, mode, batch, steps, first):
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    extra = {"Mode": mode, "Batch": batch}
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    if first:
        extra["FirstStepAfterSeconds"] = since_start()
    for _ in range(WARM_UP):
        step()
    seconds = Timer(device).measure(step, steps)
    if device.type == "cuda":
        extra["PeakMemoryMiB"] = torch.cuda.max_memory_allocated() / 2**20
        extra["HeldMemoryMiB"] = torch.cuda.max_memory_reserved() / 2**20
    report(f"{what} batch {batch} {mode}", seconds, batch, extra)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--mode", choices=["eager", "compile", "graphs"], default="eager")
    parser.add_argument("--train", default="", help="batch sizes")
    parser.add_argument("--sample", default="", help="batch sizes")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--check", metavar="FILE")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # On a processor, where this only rehearses, not every operation has bfloat16.
    dtype = torch.float32 if options.float32 or device.type == "cpu" else torch.bfloat16
    with open(options.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    if options.check:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        sys.exit(0 if check(config, options.check, device) else f"{options.check}: the two sides do not agree within 1e-4")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    print(json.dumps({"Device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                      "PyTorch": torch.__version__, "Config": os.path.basename(options.config)}), flush=True)
    first, failures = True, 0
    for act, batches in ((train, options.train), (sample, options.sample)):
        for batch in [int(b) for b in batches.split(",") if b]:
            try:
                act(config, device, dtype, options.mode, batch, options.steps, options.tokens, first)
            except Exception as error:  # one that fails, for want of memory say, must not cost the others
                failures += 1
                print(json.dumps({"Name": f"{act.__name__} batch {batch} {options.mode}",
                                  "Error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}), flush=True)
                traceback.print_exc()
            first = False
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
