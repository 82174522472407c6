#!/usr/bin/env python3
"""Single operations in PyTorch on a GPU (cuBLAS, cuDNN, flash attention) at sizes given as `mdm profile --kernel` takes them.

    gpu_kernels.py "MatMul 32768x512x512 NT" "Conv3x3Forward 32x64x64 256->256" "AttentionForward 32x8x64 1024x1024" ...

bfloat16; one line of JSON per operation: seconds and TFLOP/s or GB/s as the program counts them.
"""
import json
import re
import sys
import time

import torch
import torch.nn.functional as F

ROUNDS = 20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def rand(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16)


def image(b, h, w, c):
    return rand(b, c, h, w).to(memory_format=torch.channels_last)


def matmul(n, text):
    m, k, cols = n[0], n[2], n[1]
    a = rand(k, m).t() if "TN" in text else rand(m, k)
    b = rand(cols, k).t() if "NT" in text else rand(k, cols)
    return (lambda: a @ b), 2 * m * k * cols, 0


def weight_gradient(n):
    """A linear layer's: dW = dYᵀX [OUT, IN] and db, over ROWS rows."""
    dy, x = rand(n[2], n[0]), rand(n[2], n[1])
    return (lambda: (dy.t() @ x, dy.sum(0))), 2 * n[0] * n[1] * n[2], 0


def convolution(n, text, which):
    b, h, w, i, o = n[:5]
    stride = 2 if text.endswith("/2") else 1
    x, weight = image(b, h, w, i), rand(o, i, 3, 3).to(memory_format=torch.channels_last)
    if text.endswith("x2"):
        h, w = 2 * h, 2 * w
        x = F.interpolate(x, scale_factor=2, mode="nearest")  # not timed: ours reads the small picture
    dy = image(b, (h - 1) // stride + 1, (w - 1) // stride + 1, o)
    work = 2 * dy.numel() * 9 * i

    def backward(mask):
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, weight, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], 1, mask)
    acts = {"Forward": lambda: F.conv2d(x, weight, stride=stride, padding=1),
            "BackwardData": backward([True, False, False]), "BackwardWeight": backward([False, True, False])}
    return acts[which], work, 0


def attention(n, backward):
    b, heads, width, queries, keys = n[:5]
    q, k, v = (rand(b, length, heads, width).transpose(1, 2) for length in (queries, keys, keys))
    work = 4 * b * heads * queries * keys * width
    if not backward:
        return (lambda: F.scaled_dot_product_attention(q, k, v)), work, 0
    for x in (q, k, v):
        x.requires_grad_()
    out = F.scaled_dot_product_attention(q, k, v)
    grad = torch.randn_like(out)
    return (lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)), work * 5 // 2, 0


def group_norm(n, backward):
    b, positions, c, groups = n[:4]
    x = rand(b, c, positions, 1).to(memory_format=torch.channels_last)
    gamma, beta, s, t = (rand(*shape) for shape in ((c,), (c,), (b, c, 1, 1), (b, c, 1, 1)))
    act = torch.compile(lambda x: F.silu(F.group_norm(x, groups, gamma, beta) * (1 + s) + t))
    if not backward:
        return (lambda: act(x)), 0, 4 * x.numel()
    leaves = [leaf.requires_grad_() for leaf in (x, gamma, beta, s, t)]
    out = act(x)
    grad = torch.randn_like(out)
    return (lambda: torch.autograd.grad(out, leaves, grad, retain_graph=True)), 0, 6 * x.numel()


def layer_norm(n, backward):
    x, gamma, beta = rand(*n[:2]), rand(n[1]), rand(n[1])
    if not backward:
        return (lambda: F.layer_norm(x, (n[1],), gamma, beta)), 0, 4 * x.numel()
    leaves = [leaf.requires_grad_() for leaf in (x, gamma, beta)]
    out = F.layer_norm(x, (n[1],), gamma, beta)
    grad = torch.randn_like(out)
    return (lambda: torch.autograd.grad(out, leaves, grad, retain_graph=True)), 0, 6 * x.numel()


def adam(n):
    """AdamW and the moving average; weights, gradients and state are float32."""
    weights = torch.zeros(n[0], device=DEVICE)
    weights.grad = torch.full_like(weights, 0.5)
    average = torch.zeros_like(weights)
    optimizer = torch.optim.AdamW([weights], weight_decay=0, **({"fused": True} if DEVICE == "cuda" else {}))

    def step():
        optimizer.step()
        average.lerp_(weights, 1e-4)
    return step, 0, 36 * n[0]


def build(text):
    name, shape = text.split(" ", 1)
    n = [int(d) for d in re.findall(r"\d+", shape)]
    if name == "MatMul":
        return matmul(n, shape)
    if name == "MatMulBackwardWeight":
        return weight_gradient(n)
    if name.startswith("Conv3x3"):
        return convolution(n, shape, name[len("Conv3x3"):])
    if name.startswith("Attention"):
        return attention(n, "Backward" in name)
    if name.startswith("GroupNorm"):
        return group_norm(n, "Backward" in name)
    if name.startswith("LayerNorm"):
        return layer_norm(n, "Backward" in name)
    if name == "AdamStep":
        return adam(n)
    raise ValueError(f"no peer for {name}")


def seconds(act):
    for _ in range(3):
        act()
    if DEVICE == "cpu":
        start = time.perf_counter()
        for _ in range(ROUNDS):
            act()
        return (time.perf_counter() - start) / ROUNDS
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    for _ in range(ROUNDS):
        act()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e-3 / ROUNDS


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    for text in sys.argv[1:]:
        try:
            act, operations, moved = build(text)
            taken = seconds(act)
            print(json.dumps({"Name": text, "Seconds": taken, "TFLOPS": operations / taken / 1e12,
                              "GBs": moved / taken / 1e9}), flush=True)
        except Exception as error:  # one operation that fails must not cost the others
            print(json.dumps({"Name": text, "Error": str(error).splitlines()[0]}), flush=True)
