"""The networks of MdmNative in PyTorch: the peer that benchmarks compare with.

Written from the same description as the C# networks, with PyTorch's own fused operations. Parameter names are those of
checkpoints, so that both load the same weights. Works with PyTorch 1.13 and later.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

HEADS = 8


def attend(q, k, v, mask=None):
    """q, k, v [B, L, C] -> [B, L, C]; mask [B, N], 0 = left out."""
    b, length, c = q.shape
    q, k, v = (t.reshape(b, -1, HEADS, c // HEADS).transpose(1, 2) for t in (q, k, v))
    bias = None if mask is None else torch.zeros_like(mask).masked_fill(mask == 0, -math.inf)[:, None, None, :]
    if hasattr(F, "scaled_dot_product_attention"):
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(q.dtype))
    else:
        scores = q @ k.transpose(-1, -2) * (c // HEADS) ** -0.5
        out = torch.softmax(scores if bias is None else scores + bias, -1) @ v
    return out.transpose(1, 2).reshape(b, length, c)


class ResNet(nn.Module):
    def __init__(self, inputs, outputs, temporal_dim, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_layer = nn.Linear(temporal_dim, 2 * outputs)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)
        self.conv3 = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x, temb):
        a = self.conv1(F.silu(self.norm1(x)))
        s, t = self.time_layer(temb)[:, :, None, None].chunk(2, 1)
        h = F.silu(self.norm2(a) * (1 + s) + t)
        return self.conv2(h) + (x if self.conv3 is None else self.conv3(x))


class Attention(nn.Module):
    def __init__(self, channels, conditioning, ffn):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        if conditioning > 0:
            self.norm_cond = nn.LayerNorm(conditioning)
            self.kv_cond = nn.Linear(conditioning, 2 * channels)
        self.conditioning = conditioning
        self.proj_out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        self.ffn = None
        if ffn:
            self.ffn = nn.Sequential(nn.GroupNorm(32, channels), nn.Conv2d(channels, 4 * channels, 1), nn.GELU(),
                                     nn.Conv2d(4 * channels, channels, 1))
            nn.init.zeros_(self.ffn[3].weight)
            nn.init.zeros_(self.ffn[3].bias)

    def forward(self, x, tokens, mask):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        out = attend(q, k, v)
        if self.conditioning > 0 and tokens is not None:
            k, v = self.kv_cond(self.norm_cond(tokens)).chunk(2, -1)
            out = out + attend(q, k, v, mask)
        x = x + self.proj_out(out.transpose(1, 2).reshape(b, c, h, w))
        return x if self.ffn is None else x + self.ffn(x)


class Attention1d(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj_out = nn.Linear(width, width)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x, mask):
        return x + self.proj_out(attend(*self.qkv(self.norm(x)).chunk(3, -1), mask))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.main = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        nn.init.zeros_(self.main[3].weight)
        nn.init.zeros_(self.main[3].bias)

    def forward(self, x):
        return x + self.main(x)


class TextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attn = Attention1d(width)
        self.mlp = Mlp(width)

    def forward(self, x, mask):
        return self.mlp(self.attn(x, mask))


class Level(nn.Module):
    def __init__(self, direction, inputs, channels, layers, temporal_dim, conditioning, groups, ffn, resample):
        super().__init__()
        self.direction, self.layers = direction, layers
        self.resnets = nn.ModuleList(ResNet(i, channels, temporal_dim, groups) for i in inputs)
        self.attn = nn.ModuleList(Attention(channels, conditioning, ffn) for _ in range(layers * len(inputs)))
        self.resample = nn.Conv2d(channels, channels, 3, stride=2 if direction == "down" else 1, padding=1) if resample else None

    def forward(self, x, temb, tokens, mask, skips):
        for i, resnet in enumerate(self.resnets):
            if self.direction == "up":
                x = torch.cat([x, skips.pop()], 1)
            x = resnet(x, temb)
            for attention in self.attn[i * self.layers:(i + 1) * self.layers]:
                x = attention(x, tokens, mask)
            if self.direction == "down":
                skips.append(x)
        if self.resample is not None:
            if self.direction == "up":
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.resample(x)
            if self.direction == "down":
                skips.append(x)
        return x


def per_level(values, level):
    values = values if isinstance(values, list) else [values]
    return values[0] if len(values) == 1 else values[level]


def sinusoid(t, width):
    half = width // 2
    angles = t[:, None] * torch.exp(torch.arange(half, device=t.device) * (-math.log(10000) / half))
    return torch.cat([angles.sin(), angles.cos()], -1)


class UNet(nn.Module):
    """A U-Net; with `inner_config` in its configuration, one nested around another."""

    def __init__(self, config, text_width):
        super().__init__()
        self.config = config
        channels = config["resolution_channels"]
        resnet = config.get("resnet_config") or {}
        groups, ffn = resnet.get("num_groups_norm", 32), resnet.get("use_attention_ffn", False)
        self.temporal_dim = temporal = config.get("temporal_dim") or 4 * channels[0]
        innermost = config
        while innermost.get("inner_config"):
            innermost = innermost["inner_config"]
        projection = innermost.get("conditioning_feature_proj_dim", -1)
        width = 0 if text_width <= 0 else projection if projection > 0 else text_width
        self.masked = innermost.get("masked_cross_attention", 1)
        self.inner_unet = None
        self.temb_layer1 = nn.Linear(temporal // 4, temporal)
        self.temb_layer2 = nn.Linear(temporal, temporal)
        inner = config.get("inner_config")
        self.has_text = inner is None and width > 0
        if self.has_text and not config.get("skip_cond_emb", False):
            self.cond_emb = nn.Linear(width, temporal, bias=False)
        self.micros = dict((n.strip(), float(v)) for n, v in
                           (m.split(":") for m in (config.get("micro_conditioning") or "").split(",") if m))
        self.cond_layers = nn.ModuleDict({n: nn.ModuleList([nn.Linear(temporal // 4, temporal), nn.Linear(temporal, temporal)])
                                          for n in self.micros})
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.norm_out = nn.GroupNorm(groups, channels[0])
        self.conv_out = nn.Conv2d(channels[0], 3, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

        def level(direction, inputs, i, resample, layers=None):
            if layers is None:
                layers = per_level(config.get("num_attention_layers", [1]), i) if i in config.get("attention_levels", []) else 0
            return Level(direction, inputs, channels[i], layers, temporal, width, groups, ffn, resample)

        x, skips, last = channels[0], [channels[0]], len(channels) - 1
        resnets = [per_level(config.get("num_resnets_per_resolution", [2]), i) for i in range(len(channels))]
        self.down_blocks, self.mid_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, c in enumerate(channels):
            inputs = [x] + [c] * (resnets[i] - 1)
            skips += [c] * (resnets[i] + (i < last))
            self.down_blocks.append(level("down", inputs, i, i < last))
            x = c
        if not config.get("skip_mid_blocks", inner is not None):
            self.mid_blocks.append(level("mid", [x], last, False, 1))
            self.mid_blocks.append(level("mid", [x], last, False, 0))
        deepest = x
        for i in reversed(range(len(channels))):
            inputs = []
            for _ in range(resnets[i] + 1):
                inputs.append(x + skips.pop())
                x = channels[i]
            self.up_blocks.append(level("up", inputs, i, i > 0))
        if inner is not None:
            self.inner_unet = UNet(inner, text_width)
            first = inner["resolution_channels"][0]
            self.in_adapter = nn.Conv2d(deepest, first, 3, padding=1)
            self.out_adapter = nn.Conv2d(first, deepest, 3, padding=1)
            for adapter in (self.in_adapter, self.out_adapter):
                nn.init.zeros_(adapter.weight)
                nn.init.zeros_(adapter.bias)
        elif self.has_text:
            self.lm_proj = nn.Linear(text_width, width) if projection > 0 else None
            self.lm_head = nn.ModuleList(TextBlock(width) for _ in range(config.get("num_lm_head_layers", 0)))

    def encode_text(self, tokens, mask):
        if self.inner_unet is not None:
            return self.inner_unet.encode_text(tokens, mask)
        if not self.has_text or tokens is None:
            return None, None, None
        if self.lm_proj is not None:
            tokens = self.lm_proj(tokens)
        seen = mask if self.masked else None
        for block in self.lm_head:
            tokens = block(tokens, seen)
        pool = seen if len(self.lm_head) else mask
        mean = tokens.mean(1) if pool is None else (tokens * pool[..., None]).sum(1) / pool.sum(1, keepdim=True)
        return tokens, seen, self.cond_emb(mean) if hasattr(self, "cond_emb") else None

    def embed(self, t, layers):
        return layers[1](F.silu(layers[0](sinusoid(t, self.temporal_dim // 4).to(layers[0].weight.dtype))))

    def forward(self, images, times, tokens=None, mask=None, micros=None):
        """Noisy images, highest resolution first (or one of them) -> predictions likewise."""
        single = torch.is_tensor(images)
        result, _ = self.level([images] if single else images, times, self.encode_text(tokens, mask), micros or {}, None)
        return result[0] if single else result

    def level(self, images, times, text, micros, features):
        b = images[0].shape[0]
        tokens, mask, embedding = (None if t is None else t[:b] for t in text)
        temb = self.embed(times[:b], [self.temb_layer1, self.temb_layer2])
        for name, default in self.micros.items():
            value = micros[name][:b] if name in micros else torch.full_like(times[:b], default)
            temb = temb + self.embed(value.clamp(max=default) if name == "scale" else value * 1000, self.cond_layers[name])
        if embedding is not None:
            temb = temb + embedding
        temb = F.silu(temb)
        x = images[0]
        if self.inner_unet is not None and not self.config.get("skip_normalization", False):
            x = x / x.std((1, 2, 3), keepdim=True)
        x = self.conv_in(x)
        if features is not None:
            x = x + features
        skips = [x]
        for block in [*self.down_blocks, *self.mid_blocks]:
            x = block(x, temb, tokens, mask, skips)
        below = []
        if self.inner_unet is not None:
            handed = self.in_adapter(x)
            missing = images[1].shape[0] - b
            if missing:
                handed = torch.cat([handed, handed.new_zeros(missing, *handed.shape[1:])])
            below, inner = self.inner_unet.level(images[1:], times, text, micros, handed)
            x = x + self.out_adapter(inner[:b])
        for block in self.up_blocks:
            x = block(x, temb, tokens, mask, skips)
        return [self.conv_out(F.silu(self.norm_out(x))), *below], x
