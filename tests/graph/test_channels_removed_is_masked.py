"""The strongest test of a pruning: the graph without channels gives what the graph with those channels zeroed gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.networks import networks
from tests.fakes.removal import random_removal, removed_against_masked
from tests.fakes.token_networks import token_networks
from workbench.graph.channels import Unit, channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

TOLERANCE = 1e-4

RESNETS = (
    "resnet20_cifar10_folded.onnx",
    "resnet20_cifar10_bnclean.onnx",
    "resnet20_cifar10_bn.onnx",
    "resnet56_cifar10_folded.onnx",
)
QUICK = (
    "basic_pitch_nmp.onnx",
    "byte_sb_bidi_lstm.onnx",
    "deeplab_v3_mnv2.onnx",
    "fastestdet.onnx",
    "gtcrn_stream_simple.onnx",
    "litemono_tiny_decoder.onnx",
    "magika_standard_v3_3.onnx",
    "mnist_burn.onnx",
    "mnist_cntk_op8.onnx",
    "mnist_quantized.onnx",
    "oww_embedding.onnx",
    "reversi_ai.onnx",
    "squeezenet_fp16.onnx",
    "stock_lstm.onnx",
    "super_resolution_op10.onnx",
    "ultraface_slim320_nopost.onnx",
    "winml_image_classifier.onnx",
    "yunet_n_dynamic.onnx",
)
LONG = (
    "bert_toy_optimized.onnx",
    "gpt2_past.onnx",
    "gtcrn_stream.onnx",
    "ppocr_v1_det.onnx",
    "road_seg_adas0001.onnx",
    "style_candy_op7.onnx",
    "tbefn_lowlight.onnx",
    "tf_bert_qa_excerpt.onnx",
    "ultraface_rfb320.onnx",
    "yolox_nano.onnx",
)
# gpt2_past has eight positions.
OPEN_SIZES = {"gpt2_past.onnx": 4}
UNITS: tuple[Unit, ...] = ("head", "dimension")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=networks(), seed=st.integers(0, 2**16))
def test_on_drawn_networks(graph: ModelGraph, seed: int) -> None:
    removal = random_removal(channel_groups(graph), seed)
    assert removed_against_masked(graph, removal, seed) < TOLERANCE


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=token_networks(), seed=st.integers(0, 2**16), unit=st.sampled_from(("head", "dimension")))
def test_on_drawn_token_networks(graph: ModelGraph, seed: int, unit: Unit) -> None:
    removal = random_removal(channel_groups(graph, unit), seed)
    assert removed_against_masked(graph, removal, seed, unit) < TOLERANCE


@pytest.mark.parametrize("name", RESNETS)
def test_on_shared_resnets(shared: Path, name: str) -> None:
    _check(shared / "data" / "models" / name)


@pytest.mark.parametrize("name", QUICK)
def test_on_zoo_models(shared: Path, name: str) -> None:
    _check(shared / "data" / "zoo" / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_on_larger_zoo_models(shared: Path, name: str) -> None:
    _check(shared / "data" / "zoo" / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, *LONG])
@pytest.mark.timeout(3600)
def test_on_zoo_models_with_a_hundred_choices(shared: Path, name: str) -> None:
    _check(shared / "data" / "zoo" / name, choices=100)


def _check(path: Path, choices: int = 3) -> None:
    graph = open_model(path)
    for unit in UNITS:
        groups = channel_groups(graph, unit)
        assert any(group.prunable for group in groups)
        if unit == "dimension" and groups == channel_groups(graph):
            return
        for seed in range(choices):
            removal = random_removal(groups, seed)
            assert removed_against_masked(graph, removal, seed, unit, OPEN_SIZES.get(path.name, 64)) < TOLERANCE
