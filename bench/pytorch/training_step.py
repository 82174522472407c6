#!/usr/bin/env python3
"""Whole training steps of a configured network in PyTorch: noise, forward, loss, backward, clipping, AdamW, moving average.

--check FILE holds outputs, loss and gradients against what `Mdm.Bench --only export` wrote.
"""
import argparse
import os
import sys

import torch
import torch.nn.functional as F
import yaml

from measure import emit, now, read_safetensors, set_up
from networks import UNet

TOKENS = 16
WARM_UP = 3


def update(optimizer, parameters, average, clip, decay):
    """Clips to a global norm, steps, and moves the average, each over all parameters at once."""
    gradients = [p.grad for p in parameters]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    torch._foreach_mul_(gradients, float(min(1.0, clip / (norm + 1e-6))))
    optimizer.step()
    with torch.no_grad():
        torch._foreach_mul_(average, decay)
        torch._foreach_add_(average, parameters, alpha=1 - decay)


def levels_of(config):
    """How many resolutions, and the factor from each one to the next."""
    factors, level = [], config["unet_config"]
    while level.get("inner_config"):
        factors.append(2 ** (len(level["resolution_channels"]) - 1))
        level = level["inner_config"]
    return factors


def shares_of(config):
    """The part of a batch that each resolution sees: mixed_ratio 2:1 means that the highest of two sees the first 2/3."""
    ratio = config["diffusion_config"].get("mixed_ratio")
    if not ratio:
        return [1.0] * (1 + len(levels_of(config)))
    parts = [float(part) for part in str(ratio).split(":")]
    return [sum(parts[:k + 1]) / sum(parts) for k in range(len(parts))]


def pyramid(images, factors):
    result = [images]
    for factor in factors:
        result.append(F.avg_pool2d(result[-1], factor))
    return result


def loss_of(network, config, images, times, text, epsilons, gammas):
    """The mean over the samples of each resolution of its mean squared error, added up: the loss of MdmNative for
    configurations without further weights. The network predicts v; the error is that of the noise or of v."""
    batch = len(times)
    counts = [int(share * batch + 1e-9) for share in shares_of(config)]
    images, epsilons, gammas = ([x[:n] for x, n in zip(all_levels, counts)] for all_levels in (images, epsilons, gammas))
    sampler = config["diffusion_config"]["sampler_config"]
    of_noise = sampler.get("loss_target_type", sampler["prediction_type"]) in ("DDPM", "DDIM")
    signals = [g.sqrt()[:, None, None, None] for g in gammas]
    noises = [(1 - g).sqrt()[:, None, None, None] for g in gammas]
    noisy = [s * x + n * e for s, n, x, e in zip(signals, noises, images, epsilons)]
    outputs = network(noisy if len(noisy) > 1 else noisy[0], times, *text)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    loss = 0
    for v, x_t, x, e, s, n, share in zip(outputs, noisy, images, epsilons, signals, noises, shares_of(config)):
        error = s * v + n * x_t - e if of_noise else v - (s * e - n * x)
        loss = loss + error.square().mean((1, 2, 3)).sum() / (share * batch)
    return loss, outputs


T5_WIDTHS = {"small": 512, "base": 768, "large": 1024, "xl": 2048, "xxl": 4096}


def text_width(config):
    """Width of the text features: of the word table, or of the T5 encoder that is named."""
    name = config.get("text_model") or ""
    return config["text_dim"] if name == "words" else T5_WIDTHS.get(name.rsplit("-", 1)[-1], 0)


def build(config):
    return UNet(config["unet_config"], text_width(config)), text_width(config)


def measure(path, config, steps, layout):
    network, width = build(config)
    for p in network.parameters():
        if not p.any():
            torch.nn.init.uniform_(p, -0.05, 0.05)
    network = network.to(memory_format=layout)
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0, foreach=True)
    batch, size, factors = config["batch_size"], config["reader_config"]["image_size"], levels_of(config)
    images = torch.rand(batch, 3, size, size).contiguous(memory_format=layout)
    lengths = 8 + torch.arange(batch) % 9
    text = (torch.randn(batch, TOKENS, width), (torch.arange(TOKENS) < lengths[:, None]).float()) if width else ()

    def step():
        optimizer.zero_grad(set_to_none=True)
        times = torch.randint(0, 1000, (batch,)).float()
        levels = pyramid(images, factors)
        gammas = [1 - (times + 1) / 1001] * len(levels)
        loss, _ = loss_of(network, config, levels, times, text, [torch.randn_like(x) for x in levels], gammas)
        loss.backward()
        update(optimizer, parameters, average, config.get("gradient_clip_norm", 2), config.get("ema_decay", 0.9999))
        return loss.item()

    for _ in range(WARM_UP):
        step()
    taken = []
    for _ in range(steps):
        start = now()
        step()
        taken.append(now() - start)
    return batch / sorted(taken)[steps // 2]


def check(config, path, device="cpu"):
    """Prints the largest relative differences (by norm) and returns whether all are at most 1e-4."""
    data = {name: tensor.to(device) for name, tensor in read_safetensors(path).items()}
    network = build(config)[0].to(device)
    network.load_state_dict({k[len("weight."):]: v for k, v in data.items() if k.startswith("weight.")})
    count = 1 + len(levels_of(config))

    def image(name):
        return data[name].permute(0, 3, 1, 2).contiguous()

    images = pyramid(image("images"), levels_of(config))
    text = (data["tokens"], data["mask"]) if "tokens" in data else ()
    loss, outputs = loss_of(network, config, images, data["times"], text, [image(f"epsilon.{k}") for k in range(count)],
                            [data[f"gamma.{k}"] for k in range(count)])
    loss.backward()
    gradients = {"gradient." + name: p.grad for name, p in network.named_parameters()}
    # A gradient that is zero but for rounding has no direction to compare: it is held against the whole gradient too.
    floor = 1e-6 * torch.stack([g.norm() for g in gradients.values()]).norm()
    findings = [(((y - image(f"output.{k}")).norm() / y.norm()).item(), f"output.{k}") for k, y in enumerate(outputs)]
    findings.append(((loss - data["loss"][0]).abs().item() / loss.item(), "loss"))
    findings += [((g - data[name]).norm().item() / (g.norm() + floor).item(), name) for name, g in gradients.items()]
    for name in ("output", "loss", "gradient"):
        error, which = max(f for f in findings if f[1].startswith(name))
        print(f"agreement: {name} differs by at most {error:.1e} relative ({which}, of "
              f"{sum(f[1].startswith(name) for f in findings)})")
    return max(findings)[0] <= 1e-4


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="one thread, processor time")
    parser.add_argument("--check", metavar="FILE")
    options = parser.parse_args()
    set_up(options.threads, options.cpu_time)
    for path in options.configs:
        with open(path) as file:
            config = yaml.safe_load(file)
        if options.check:
            sys.exit(0 if check(config, options.check) else f"{path}: the two sides do not agree within 1e-4")
        best = max(measure(path, config, options.steps, layout) for layout in (torch.contiguous_format, torch.channels_last))
        emit("step", os.path.splitext(os.path.basename(path))[0], best, "images/s")
