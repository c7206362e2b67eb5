"""Channel groups of what torch's exporters, old and new, write out for the blocks that people deploy."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.fakes.removal import random_removal, removed_against_masked
from tests.fakes.torch_blocks import (
    Attention,
    Block,
    ConvNext,
    Dense,
    Einsums,
    Encoder,
    Gated,
    GatedMLP,
    Language,
    QuickGELU,
    Recurrent,
    RMSNorm,
    Shuffle,
    SqueezeExcite,
    SuperResolution,
    VisionTransformer,
    mlp,
)
from workbench.graph.channels import channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

TOLERANCE = 1e-4
IMAGES, SERIES, TOKENS = (2, 3, 8, 8), (2, 7, 6), (2, 7)
Units = list[tuple[int, int]]


def block(attention: nn.Module | None = None, norm: type[nn.Module] = nn.LayerNorm, inner: nn.Module | None = None):
    return Block(attention or Attention(), norm, inner or mlp())


# (what is built, input shape, units and channels a unit of every prunable group in graph order)
CASES = {
    "vision transformer": (lambda: VisionTransformer([block()]), IMAGES, [(16, 1), (4, 4), (24, 1)]),
    "fused projections, (3, heads, depth)": (
        lambda: VisionTransformer([block(Attention(fused="first"), inner=mlp(act=QuickGELU()))]),
        IMAGES,
        [(16, 1), (4, 12), (24, 1)],
    ),
    "fused projections, (heads, 3 depth)": (
        lambda: VisionTransformer([block(Attention(fused="last"))]),
        IMAGES,
        [(16, 1), (4, 12), (24, 1)],
    ),
    "fused projections, split": (
        lambda: VisionTransformer([block(Attention(fused="split"), inner=mlp(act=nn.SiLU()))]),
        IMAGES,
        [(16, 1), (4, 12), (24, 1)],
    ),
    "shared keys, rotary, RMS norm, gated MLP": (
        lambda: Language([block(Attention(shared=2, rotary=True), RMSNorm, GatedMLP(16, 24))]),
        TOKENS,
        [(16, 1), (2, 8), (24, 1)],
    ),
    "GPT": (
        lambda: Language([block(Attention(fused="split"), inner=mlp(act=nn.GELU(approximate="tanh")))]),
        TOKENS,
        [(16, 1), (4, 12), (24, 1)],
    ),
    "torch's encoder layer": (Encoder, SERIES, [(16, 1), (4, 12), (24, 1)]),
    "torch's encoder layer, time first": (lambda: Encoder(batch_first=False), SERIES, [(16, 1), (4, 12), (24, 1)]),
    "ShuffleNet": (Shuffle, IMAGES, [(16, 1), (12, 1)]),
    "squeeze and excite": (SqueezeExcite, IMAGES, [(8, 1), (24, 1), (6, 1)]),
    "DenseNet": (Dense, IMAGES, [(8, 1), (4, 1), (4, 1), (4, 1), (4, 1), (12, 1)]),
    "pixel shuffle": (SuperResolution, IMAGES, [(8, 1), (6, 4), (8, 1), (4, 2), (4, 1)]),
    "ConvNeXt, group norm": (ConvNext, IMAGES, [(4, 4), (24, 1), (12, 1)]),
    "ConvNeXt, instance norm": (lambda: ConvNext(16), IMAGES, [(16, 1), (24, 1), (12, 1)]),
    "ConvNeXt, one group": (lambda: ConvNext(1), IMAGES, [(16, 1), (24, 1), (12, 1)]),
    "LSTM": (lambda: Recurrent(nn.LSTM), SERIES, [(8, 1), (10, 4)]),
    "GRU": (lambda: Recurrent(nn.GRU), SERIES, [(8, 1), (10, 3)]),
    "gated, grouped, selective": (Gated, SERIES, [(3, 8), (4, 8)]),
    "Einsum": (Einsums, SERIES, [(16, 1), (4, 1), (4, 1), (4, 1)]),
}
# The same dimension of every head, where that is another choice than whole heads.
DIMENSIONS = {
    "vision transformer": [(16, 1), (4, 4), (4, 4), (24, 1)],
    "fused projections, split": [(16, 1), (8, 8), (24, 1)],
    "shared keys, rotary, RMS norm, gated MLP": [(16, 1), (2, 8), (4, 2), (24, 1)],
}


def exported(case: str, folder: Path, *, new: bool) -> ModelGraph:
    build, shape, _ = CASES[case]
    torch.manual_seed(0)
    module = build().eval()
    sample: Tensor = torch.randint(0, 11, shape) if shape == TOKENS else torch.randn(shape)
    path = folder / "model.onnx"
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if new:
                free = dict.fromkeys(range(2 if len(shape) < 4 else 1), torch.export.Dim.DYNAMIC)
                torch.onnx.export(
                    module, (sample,), path, dynamo=True, dynamic_shapes=(free,), external_data=False, verbose=False
                )
            else:
                names = {0: "batch", 1: "time"} if shape == TOKENS else {0: "batch"}
                torch.onnx.export(
                    module, (sample,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": names},
                    opset_version=17,
                )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return open_model(path)


def found(graph: ModelGraph, unit: str = "head") -> Units:
    return [(group.units, group.unit) for group in channel_groups(graph, unit) if group.prunable]


@pytest.mark.parametrize(
    ("case", "new"),
    [
        *(pytest.param(case, False, id=case) for case in CASES),
        *(pytest.param(case, True, id=f"{case}, new exporter", marks=pytest.mark.slow) for case in CASES),
    ],
)
def test_blocks_as_torch_exports_them(case: str, new: bool, tmp_path: Path) -> None:
    graph = exported(case, tmp_path, new=new)
    assert found(graph) == CASES[case][2]
    for seed in range(3):
        assert removed_against_masked(graph, random_removal(channel_groups(graph), seed), seed) < TOLERANCE


@pytest.mark.parametrize("case", DIMENSIONS)
def test_the_same_dimension_of_every_head(case: str, tmp_path: Path) -> None:
    graph = exported(case, tmp_path, new=False)
    groups = channel_groups(graph, "dimension")
    assert found(graph, "dimension") == DIMENSIONS[case]
    for seed in range(3):
        assert removed_against_masked(graph, random_removal(groups, seed), seed, "dimension") < TOLERANCE
