"""How com.microsoft's MatMulNBits lays codes of 2, 4 or 8 bits out in bytes: writing them and reading them back.

Layout: codes (out, in) are padded to whole blocks, (out, blocks, block · bits / 8) bytes; the first code of a byte lies
in its lowest bits. Zero points (out, blocks) are packed along the blocks, each row from a new byte on.
"""

from __future__ import annotations

import numpy as np

from workbench.graph.model import ModelGraph, Node
from workbench.graph.quantization import block_values

NBITS_DOMAIN = "com.microsoft"
NBITS_OPERATOR = "MatMulNBits"


def is_nbits(node: Node) -> bool:
    """Whether a node multiplies with a weight that is stored as packed codes."""
    return node.op == NBITS_OPERATOR and node.domain == NBITS_DOMAIN


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Return codes (…, n) as bytes (…, ceil(n · bits / 8)), uint8; missing ones at the end are zero."""
    each = 8 // bits
    spare = -codes.shape[-1] % each
    padded = np.pad(codes.astype(np.uint8), [(0, 0)] * (codes.ndim - 1) + [(0, spare)])
    result: np.ndarray = np.zeros((*codes.shape[:-1], padded.shape[-1] // each), np.uint8)
    for place in range(each):
        result |= padded[..., place::each] << np.uint8(bits * place)
    return result


def unpacked(packed_codes: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Return the first `count` codes (…, count), uint8, of bytes as `packed` makes them."""
    each = 8 // bits
    mask = np.uint8(2**bits - 1)
    codes = np.stack([(packed_codes >> np.uint8(bits * place)) & mask for place in range(each)], axis=-1)
    return np.asarray(codes.reshape(*packed_codes.shape[:-1], -1)[..., :count])


def nbits_shape(node: Node) -> tuple[int, int]:
    """Return the shape (in, out) of the weight of a MatMulNBits node, as a MatMul would store it."""
    return int(node.attribute("K")), int(node.attribute("N"))


def nbits_weight(graph: ModelGraph, node: Node) -> np.ndarray:
    """Return the weight (in, out) of a MatMulNBits node as float32."""
    bits, block = int(node.attribute("bits", 4)), int(node.attribute("block_size"))
    inputs, outputs = nbits_shape(node)
    blocks = -(-inputs // block)
    stored = [np.asarray(graph.constant(name)) if name else None for name in (*node.inputs[1:4], "")]
    codes, scales, zeros = stored[0], stored[1], stored[2] if len(node.inputs) > 3 else None
    assert codes is not None, node.name
    assert scales is not None, node.name
    levels = unpacked(codes.reshape(outputs, blocks, -1), bits, block).reshape(outputs, -1)[:, :inputs]
    if zeros is None:
        points: np.ndarray = np.full((outputs, blocks), 2 ** (bits - 1), np.float32)
    elif zeros.dtype == np.uint8:
        points = unpacked(zeros.reshape(outputs, -1), bits, blocks)
    else:
        points = zeros.reshape(outputs, blocks)
    return np.ascontiguousarray(block_values(levels, scales.reshape(outputs, blocks), points, block).T)
