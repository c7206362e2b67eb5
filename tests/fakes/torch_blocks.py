"""Small torch networks for exporters to write out, one for every way channels are tied together in deployed ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention over (batch, tokens, width): separate or fused projections, shared keys, rotary embedding."""

    def __init__(self, width: int = 16, heads: int = 4, shared: int = 1, fused: str = "", rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.depth, self.shared, self.fused, self.rotary = heads, width // heads, shared, fused, rotary
        pairs = heads // shared
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q = nn.Linear(width, width)
            self.k = nn.Linear(width, pairs * self.depth, bias=False)
            self.v = nn.Linear(width, pairs * self.depth)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        if self.fused == "first":
            q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, self.depth).permute(2, 0, 3, 1, 4).unbind(0)
        elif self.fused == "last":
            q, k, v = self.qkv(x).view(n, t, self.heads, 3 * self.depth).transpose(1, 2).chunk(3, dim=-1)
        elif self.fused == "split":
            q, k, v = (part.view(n, t, self.heads, self.depth).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        else:
            q, k, v = (layer(x).view(n, t, -1, self.depth).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.rotary:
            angle = torch.arange(t)[:, None] / (10 ** torch.arange(0, self.depth // 2))
            angle = torch.cat([angle, angle], dim=-1)
            q, k = (part * angle.cos() + _turned(part) * angle.sin() for part in (q, k))
        if self.shared > 1:
            k, v = (
                part[:, :, None].expand(n, part.shape[1], self.shared, t, self.depth).reshape(n, -1, t, self.depth)
                for part in (k, v)
            )
        scores = torch.softmax(q @ k.transpose(-2, -1) / self.depth**0.5, dim=-1)
        return self.out((scores @ v).transpose(1, 2).reshape(n, t, -1))


def _turned(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([-x[..., half:], x[..., :half]], dim=-1)


class RMSNorm(nn.Module):
    """Normalisation by the root mean square, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.scale


class GatedMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, attention: nn.Module, norm: type[nn.Module], mlp: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.first, self.second, self.attention, self.mlp = norm(width), norm(width), attention, mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


def mlp(width: int = 16, hidden: int = 24, act: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), act or nn.GELU(), nn.Linear(hidden, width))


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class VisionTransformer(nn.Module):
    """Patches, class token, positions, blocks, head."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.places = nn.Parameter(torch.randn(1, 5, 16))
        self.blocks, self.norm, self.head = nn.Sequential(*blocks), nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class Language(nn.Module):
    """Token and position embeddings, blocks, vocabulary."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 16), nn.Embedding(64, 16)
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(16, 11)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.tokens(x) + self.places(torch.arange(x.shape[1]))))


class Encoder(nn.Module):
    """torch's own encoder layer between two projections."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(6, 16), nn.Linear(16, 4)
        self.layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.layer(self.before(x)))


class Shuffle(nn.Module):
    """ShuffleNet v2 unit."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        half = channels // 2
        self.stem, self.head = nn.Conv2d(3, channels, 3, padding=1), nn.Linear(channels, 5)
        self.branch = nn.Sequential(
            nn.Conv2d(half, 12, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12),
            nn.Conv2d(12, half, 1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        first, second = x.chunk(2, dim=1)
        x = torch.cat([first, self.branch(second)], dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


class SqueezeExcite(nn.Module):
    """Expansion, depthwise, gate by average and maximum, projection, residual (MobileNet v3)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.expand = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 24, 1)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.down, self.up = nn.Linear(24, 6), nn.Linear(6, 24)
        self.project, self.head = nn.Conv2d(24, 8, 1), nn.Conv2d(8, 4, 1)
        self.norm = nn.BatchNorm2d(24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = functional.hardswish(self.norm(self.depthwise(functional.hardswish(self.expand(x)))))
        gate = self.up(
            functional.relu(self.down(functional.adaptive_avg_pool2d(inner, 1).flatten(1) + inner.amax((2, 3))))
        )
        inner = inner * functional.hardsigmoid(gate)[:, :, None, None]
        spatial = torch.cat([inner.mean(1, keepdim=True), inner.amax(1, keepdim=True)], dim=1)
        inner = inner * torch.sigmoid(spatial.sum(1, keepdim=True))
        return self.head(x + self.project(inner))


class Dense(nn.Module):
    """DenseNet block with transition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 4 * at), nn.ReLU(), nn.Conv2d(8 + 4 * at, 4, 3, padding=1))
            for at in range(4)
        )
        self.transition, self.head = nn.Sequential(nn.Conv2d(24, 12, 1), nn.AvgPool2d(2)), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, dim=1)))
        return self.head(self.transition(torch.cat(parts, dim=1)).mean((2, 3)))


class SuperResolution(nn.Module):
    """PixelShuffle up, PixelUnshuffle down, sub-pixel output."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 24, 3, padding=1), nn.Conv2d(6, 8, 1)
        self.d, self.e = nn.Conv2d(32, 8, 1), nn.ConvTranspose2d(8, 8, 2, 2, groups=2)
        self.f = nn.Conv2d(8, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(functional.pixel_shuffle(functional.relu(self.b(functional.relu(self.a(x)))), 2))
        return functional.pixel_shuffle(self.f(functional.silu(self.e(self.d(functional.pixel_unshuffle(x, 2))))), 2)


class ConvNext(nn.Module):
    """Depthwise, channels-last LayerNorm, pointwise as Linear, layer scale, residual; GroupNorm in between."""

    def __init__(self, groups: int = 4) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 24), nn.Linear(24, 16)
        self.scale = nn.Parameter(torch.rand(16))
        self.between, self.mid, self.head = nn.GroupNorm(groups, 16), nn.Conv2d(16, 12, 3, padding=1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.scale * self.down(functional.gelu(self.up(inner)))
        x = self.between(x + inner.permute(0, 3, 1, 2))
        return self.head(functional.adaptive_avg_pool2d(functional.silu(self.mid(x)), 1).flatten(1))


class Recurrent(nn.Module):
    """A recurrent layer of any kind behind a projection, in front of another."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 2, bidirectional: bool = True) -> None:
        super().__init__()
        self.before = nn.Linear(6, 8)
        self.cell = kind(8, 10, layers, batch_first=True, bidirectional=bidirectional)
        self.after = nn.Linear(20 if bidirectional else 10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.relu(self.cell(torch.relu(self.before(x)))[0]))


class Gated(nn.Module):
    """GLU convolutions over time (Conformer), grouped convolution, softmax over branches (selective kernels)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(6, 24, 1), nn.Conv1d(12, 12, 3, padding=1, groups=12)
        self.c, self.d = nn.Conv1d(12, 16, 3, padding=1, groups=4), nn.Conv1d(12, 16, 1)
        self.choose, self.head = nn.Linear(16, 32), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.b(functional.glu(self.a(x.transpose(1, 2)), dim=1)))
        first, second = self.c(x), self.d(x)
        weights = self.choose((first + second).mean(-1)).view(-1, 2, 16).softmax(1)
        x = first * weights[:, 0, :, None] + second * weights[:, 1, :, None]
        return self.head(x.transpose(1, 2))


class Einsums(nn.Module):
    """Attention and projections as Einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(16, 4, 4) / 4) for _ in range(3))
        self.o, self.before, self.head = nn.Parameter(torch.randn(4, 4, 16) / 4), nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.before(x))
        q, k, v = (torch.einsum("btw,whd->bhtd", x, weight) for weight in (self.q, self.k, self.v))
        scores = torch.einsum("bhtd,bhsd->bhts", q, k).softmax(-1)
        return self.head(x + torch.einsum("bhtd,hdw->btw", torch.einsum("bhts,bhsd->bhtd", scores, v), self.o))
