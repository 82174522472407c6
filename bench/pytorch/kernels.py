#!/usr/bin/env python3
"""The kernels that Mdm.Bench measures, in PyTorch, at the same shapes and under the same names: JSON lines.

A convolution counts in the better of PyTorch's two layouts.
"""
import argparse

import torch
import torch.nn.functional as F

from measure import emit, seconds, set_up
from networks import attend
from training_step import update

MATMULS = [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (8192, 128, 128), (8192, 64, 64), (8, 1024, 1024)]
CONVOLUTIONS = [  # batch, height, width, inputs, outputs, stride, upsample
    (8, 64, 64, 64, 64, 1, False), (8, 32, 32, 64, 64, 1, False), (8, 32, 32, 128, 128, 1, False),
    (8, 16, 16, 256, 256, 1, False), (8, 32, 32, 32, 32, 1, False), (8, 32, 32, 96, 96, 1, False),
    (8, 32, 32, 3, 64, 1, False), (8, 32, 32, 64, 3, 1, False), (8, 32, 32, 128, 128, 2, False),
    (8, 16, 16, 128, 128, 1, True)]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def matmul():
    for m, n, k in MATMULS:
        for ta, tb in ((False, False), (False, True), (True, False)):
            a = torch.randn((k, m) if ta else (m, k))
            b = torch.randn((n, k) if tb else (k, n))
            c = torch.empty(m, n)
            a, b = a.t() if ta else a, b.t() if tb else b
            name = f"{m}x{n}x{k} {'T' if ta else 'N'}{'T' if tb else 'N'}"
            emit("matmul", name, 2 * m * n * k / seconds(lambda: torch.mm(a, b, out=c)) / 1e9, "GFLOP/s")


def convolution():
    for batch, height, width, inputs, outputs, stride, upsample in CONVOLUTIONS:
        times = {"forward": [], "data": [], "weight": []}
        for layout in LAYOUTS:
            stored = torch.randn(batch, inputs, height, width).contiguous(memory_format=layout)
            w = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=layout)

            def enlarged(x):
                return F.interpolate(x, scale_factor=2, mode="nearest") if upsample else x

            def forward():
                return F.conv2d(enlarged(stored), w, stride=stride, padding=1)

            y = forward()

            def backward(data, weight):
                x = enlarged(stored) if weight else big
                dx, dw, _ = torch.ops.aten.convolution_backward(
                    y, x, w, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], 1, [data, weight, False])
                return F.avg_pool2d(dx, 2, divisor_override=1) if data and upsample else dx

            with torch.no_grad():
                big = enlarged(stored)
                times["forward"].append(seconds(forward))
                times["data"].append(seconds(lambda: backward(True, False)))
                times["weight"].append(seconds(lambda: backward(False, True)))
        kind = (" /2" if stride == 2 else "") + (" x2" if upsample else "")
        flops = 2 * y.numel() * 9 * inputs
        for direction, both in times.items():
            name = f"{batch}x{height}x{width} {inputs}->{outputs}{kind} {direction}"
            emit("conv", name, flops / min(both) / 1e9, "GFLOP/s")


def both_ways(name, inputs, f, work, unit="GB/s"):
    """Times f(*inputs) and, apart from it, its backward pass; work: of the one and the other."""
    inputs = [x.requires_grad_() for x in inputs]
    y = f(*inputs)
    dy = torch.randn_like(y)
    ahead = seconds(lambda: f(*inputs), rounds=5)
    back = seconds(lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True), rounds=5)
    head, tail = name.split(" ", 1)
    return [("memory", name, work[0] / ahead / 1e9, unit),
            ("memory", f"{head} backward {tail}", work[1] / back / 1e9, unit)]


def group_norm(batch, positions, channels, groups):
    def f(x, gamma, beta, s, t):
        return F.silu(F.group_norm(x, groups, gamma, beta) * (1 + s) + t)

    n, side = batch * positions * channels, int(positions ** 0.5)
    results = []
    for layout in LAYOUTS:
        x = torch.randn(batch, channels, side, side).contiguous(memory_format=layout)
        scale, shift = torch.randn(2, batch, channels, 1, 1)
        results.append(both_ways(f"GroupNorm+SiLU {batch}x{positions}x{channels}/{groups}",
                                 [x, torch.randn(channels), torch.randn(channels), scale, shift], f, (8 * n, 12 * n)))
    for one, other in zip(*results):
        emit(*max(one, other, key=lambda line: line[2]))


def adam(n, pieces=64):  # in pieces, as a network's parameters are
    parameters = [torch.randn(n // pieces) for _ in range(pieces)]
    average = [p.clone() for p in parameters]
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, foreach=True)
    taken = seconds(lambda: update(optimizer, parameters, average, 1, 0.999))
    emit("memory", f"clip + Adam + EMA {n}", 40 * n / taken / 1e9, "GB/s")


def attention(batch, heads, width, queries, keys):
    product = 2 * batch * queries * keys * heads * width
    for line in both_ways(f"attention {batch}x{heads}x{width} {queries}x{keys}",
                          [torch.randn(batch, n, heads * width) for n in (queries, keys, keys)], attend,
                          (2 * product, 5 * product), "GFLOP/s"):
        emit(*line)


def memory():
    for shape in ((64, 1024, 128, 32), (64, 4096, 32, 32), (16, 256, 256, 32), (1, 16384, 64, 32)):
        group_norm(*shape)
    rows, cols, n = 16384, 512, 8 << 20
    for line in both_ways(f"LayerNorm {rows}x{cols}", [torch.randn(rows, cols), torch.randn(cols), torch.randn(cols)],
                          lambda x, gamma, beta: F.layer_norm(x, (cols,), gamma, beta), (8 * n, 12 * n)):
        emit(*line)
    x = torch.randn(n)
    emit("memory", f"SiLU {n}", 8 * n / seconds(lambda: F.silu(x)) / 1e9, "GB/s")
    emit("memory", f"GELU {n}", 8 * n / seconds(lambda: F.gelu(x)) / 1e9, "GB/s")
    emit("memory", f"Normal {n}", 4 * n / seconds(lambda: x.normal_()) / 1e9, "GB/s")
    adam(n)
    for shape in ((32, 8, 12, 64, 64), (8, 8, 8, 256, 256), (4, 8, 32, 256, 256), (2, 8, 48, 1024, 1024), (2, 8, 96, 256, 256),
                  (8, 8, 32, 256, 32)):
        attention(*shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="matmul,conv,memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="one thread, processor time")
    options = parser.parse_args()
    set_up(options.threads, options.cpu_time)
    for group, run in (("matmul", matmul), ("conv", convolution), ("memory", memory)):
        if group in options.only.split(","):
            run()
