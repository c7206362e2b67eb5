"""Fused operators of the com.microsoft domain that optimised transformer files contain."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, operator

_DOMAIN = "com.microsoft"


@operator("Gelu", domain=_DOMAIN)
def _gelu(context: Context) -> Function:
    return lambda x: F.gelu(x)


@operator("FastGelu", domain=_DOMAIN)
def _fast_gelu(context: Context) -> Function:
    return lambda x, bias=None: F.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("BiasGelu", domain=_DOMAIN)
def _bias_gelu(context: Context) -> Function:
    return lambda x, bias: F.gelu(x + bias)


@operator("QuickGelu", domain=_DOMAIN)
def _quick_gelu(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


@operator("FusedMatMul", domain=_DOMAIN)
def _fused_matmul(context: Context) -> Function:
    alpha = context.attribute("alpha", 1.0)
    left, right = context.attribute("transA", 0), context.attribute("transB", 0)
    if context.attribute("transBatchA", 0) or context.attribute("transBatchB", 0):
        raise context.refuse("the batch axis is transposed")
    return lambda a, b: alpha * torch.matmul(a.mT if left else a, b.mT if right else b)


@operator("MatMulNBits", domain=_DOMAIN, fixed=(2, 3))
def _matmul_nbits(context: Context) -> Function:
    """Product with a weight of packed codes; computed in float also where the runtime may round the data to 8 bits."""
    inputs, outputs = int(context.attribute("K")), int(context.attribute("N"))
    bits, block = int(context.attribute("bits", 4)), int(context.attribute("block_size"))
    blocks = -(-inputs // block)
    if context.has(4):
        raise context.refuse("groups of inputs are given in another order")

    def unpacked(codes: Tensor, count: int) -> Tensor:
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=codes.device)
        levels: Tensor = (codes.unsqueeze(-1) >> shifts) & (2**bits - 1)
        return levels.flatten(-2)[..., :count]

    def run(
        x: Tensor,
        codes: Tensor,
        scales: Tensor,
        zeros: Tensor | None = None,
        _: None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        levels = unpacked(codes.reshape(outputs, blocks, -1), block).to(scales.dtype)
        if zeros is None:
            origin = torch.full((), 2.0 ** (bits - 1), dtype=scales.dtype, device=scales.device)
        elif zeros.dtype == torch.uint8:
            origin = unpacked(zeros.reshape(outputs, -1), blocks).to(scales.dtype).unsqueeze(-1)
        else:
            origin = zeros.reshape(outputs, blocks, 1)
        weight = ((levels - origin) * scales.reshape(outputs, blocks, 1)).reshape(outputs, -1)[:, :inputs]
        return F.linear(x, weight, bias)

    return run


@operator("SkipLayerNormalization", domain=_DOMAIN)
def _skip_layer_norm(context: Context) -> Function:
    epsilon = context.attribute("epsilon", 1e-12)
    if any(context.node.outputs[1:3]):
        raise context.refuse("mean or variance is asked for")

    def run(
        x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        total = x + skip if bias is None else x + skip + bias
        return F.layer_norm(total, gamma.shape, gamma, beta, epsilon), None, None, total

    return run


@operator("EmbedLayerNormalization", domain=_DOMAIN)
def _embed_layer_norm(context: Context) -> Function:
    epsilon = context.attribute("epsilon", 1e-12)

    def run(
        ids: Tensor,
        segments: Tensor | None,
        words: Tensor,
        positions: Tensor,
        segment_table: Tensor | None,
        gamma: Tensor,
        beta: Tensor,
        mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        places = torch.arange(ids.shape[1], device=ids.device) if position_ids is None else position_ids.long()
        total = F.embedding(ids.long(), words) + F.embedding(places, positions)
        if segments is not None and segment_table is not None:
            total = total + F.embedding(segments.long(), segment_table)
        # The mask index that the Attention operator reads: the number of tokens before the padding.
        lengths = ids.new_zeros(ids.shape[0]) if mask is None else mask.sum(1)
        return F.layer_norm(total, gamma.shape, gamma, beta, epsilon), lengths.to(torch.int32), total

    return run


@operator("Attention", domain=_DOMAIN)
def _attention(context: Context) -> Function:
    """Multi-head self-attention (Vaswani et al., 2017), x (batch, tokens, in) with one matrix for Q, K and V."""
    heads, causal = context.attribute("num_heads"), bool(context.attribute("unidirectional", 0))
    scale = context.attribute("scale")
    negative = context.attribute("mask_filter_value", -10000.0)
    for name in ("qkv_hidden_sizes", "do_rotary", "past_present_share_buffer"):
        if context.attribute(name):
            raise context.refuse(f"{name} is set")

    def run(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        mask: Tensor | None = None,
        past: Tensor | None = None,
        addend: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        batch, tokens = x.shape[:2]
        projected = torch.matmul(x, weight) if bias is None else torch.matmul(x, weight) + bias
        q, k, v = (part.reshape(batch, tokens, heads, -1).transpose(1, 2) for part in projected.chunk(3, -1))
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        scores = torch.matmul(q, k.mT) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
        total = k.shape[2]
        if mask is not None:
            scores = scores + _mask_bias(mask, total, negative).to(scores)
        if addend is not None:
            scores = scores + addend
        if causal:
            seen = torch.ones(tokens, total, dtype=torch.bool, device=x.device).tril(total - tokens)
            scores = torch.where(seen, scores, torch.full_like(scores, negative))
        result = torch.matmul(scores.softmax(-1), v).transpose(1, 2).reshape(batch, tokens, -1)
        return result, torch.stack([k, v])

    return run


def _mask_bias(mask: Tensor, total: int, negative: float) -> Tensor:
    """Return what is added to scores (batch, heads, tokens, total) for a mask of rank 1 (lengths), 2 or 3."""
    if mask.dim() == 1:
        allowed = torch.arange(total, device=mask.device) < mask.reshape(-1, 1)
        return (~allowed).to(torch.float32).reshape(-1, 1, 1, total) * negative
    blocked = (1 - mask.to(torch.float32)) * negative
    return blocked.reshape(mask.shape[0], 1, 1, -1) if mask.dim() == 2 else blocked.unsqueeze(1)
