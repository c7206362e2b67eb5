"""The strongest test of a pruning: the graph without channels gives what the graph with those channels zeroed gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.networks import networks
from tests.fakes.removal import prunable_groups, random_removal, removed_against_masked
from workbench.graph.channels import channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

TOLERANCE = 1e-4

RESNETS = (
    "resnet20_cifar10_folded.onnx",
    "resnet20_cifar10_bnclean.onnx",
    "resnet20_cifar10_bn.onnx",
    "resnet56_cifar10_folded.onnx",
)
ZOO = (
    "basic_pitch_nmp.onnx",
    "bert_toy_optimized.onnx",
    "byte_sb_bidi_lstm.onnx",
    "deeplab_v3_mnv2.onnx",
    "fastestdet.onnx",
    "gtcrn_stream.onnx",
    "gtcrn_stream_simple.onnx",
    "litemono_tiny_decoder.onnx",
    "magika_standard_v3_3.onnx",
    "mnist_burn.onnx",
    "mnist_cntk_op8.onnx",
    "oww_embedding.onnx",
    "ppocr_v1_det.onnx",
    "reversi_ai.onnx",
    "road_seg_adas0001.onnx",
    "squeezenet_fp16.onnx",
    "style_candy_op7.onnx",
    "super_resolution_op10.onnx",
    "tbefn_lowlight.onnx",
    "tf_bert_qa_excerpt.onnx",
    "ultraface_rfb320.onnx",
    "ultraface_slim320_nopost.onnx",
    "winml_image_classifier.onnx",
    "yolox_nano.onnx",
    "yunet_n_dynamic.onnx",
)
LARGE = frozenset(
    {
        "ppocr_v1_det.onnx",
        "road_seg_adas0001.onnx",
        "style_candy_op7.onnx",
        "tbefn_lowlight.onnx",
        "tf_bert_qa_excerpt.onnx",
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=networks(), seed=st.integers(0, 2**16))
def test_on_drawn_networks(graph: ModelGraph, seed: int) -> None:
    removal = random_removal(channel_groups(graph), seed)
    assert removed_against_masked(graph, removal, seed) < TOLERANCE


@pytest.mark.parametrize("name", RESNETS)
def test_on_shared_resnets(shared: Path, name: str) -> None:
    _check(shared / "data" / "models" / name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in ZOO]
)
def test_on_zoo_models(shared: Path, name: str) -> None:
    _check(shared / "data" / "zoo" / name)


def _check(path: Path, choices: int = 5) -> None:
    graph = open_model(path)
    groups = prunable_groups(graph)
    assert groups
    for seed in range(choices):
        assert removed_against_masked(graph, random_removal(groups, seed), seed) < TOLERANCE
