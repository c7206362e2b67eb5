"""Matrix products in all their notations."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.registry import Context, Function, operator, simple

simple("MatMul", torch.matmul)


@operator("Gemm")
def _gemm(context: Context) -> Function:
    alpha, beta = context.attribute("alpha", 1.0), context.attribute("beta", 1.0)
    left, right = context.attribute("transA", 0), context.attribute("transB", 0)
    if alpha == 1.0 and beta == 1.0 and not left:

        def run_linear(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
            weight = b if right else b.t()
            if c is None or c.dim() == 1:
                return F.linear(a, weight, c if c is None or c.shape[0] == weight.shape[0] else c.expand(len(weight)))
            return F.linear(a, weight) + c

        return run_linear

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = torch.matmul(a.t() if left else a, b.t() if right else b)
        product = product if alpha == 1.0 else (product * alpha).to(product.dtype)
        return product if c is None else product + (c if beta == 1.0 else (c * beta).to(c.dtype))

    return run


@operator("Einsum")
def _einsum(context: Context) -> Function:
    equation = context.attribute("equation").replace(" ", "")
    return lambda *operands: torch.einsum(equation, *operands)


@operator("MatMulInteger", since=10)
def _matmul_integer(context: Context) -> Function:
    def run(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
        a, b = a.to(torch.float64), b.to(torch.float64)
        if a_zero is not None:
            zero = a_zero.to(torch.float64)
            a = a - (zero.unsqueeze(-1) if zero.dim() == 1 and zero.numel() > 1 else zero)
        if b_zero is not None:
            b = b - b_zero.to(torch.float64)
        return torch.matmul(a, b).to(torch.int32)

    return run
