"""Feature maps of a smaller model are joined with the original's by name, whatever was pruned from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.engines.contracts import Batch, TrainingSettings
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.features import Feature, FeatureLoss, joined_features
from workbench.graph.channels import channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels

SETTINGS = TrainingSettings(
    epochs=8, batch_size=32, learning_rate=0.05, threads=1, precision="float32", distillation_weight=0.0
)


@pytest.fixture
def residual(graph_from) -> ModelGraph:
    rng = np.random.default_rng(0)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,4] y) {
            c = Conv <pads = [1,1,1,1]> (x, w1)
            r = Relu (c)
            d = Conv <pads = [1,1,1,1]> (r, w2)
            e = Relu (d)
            f = Conv <pads = [1,1,1,1]> (e, w3)
            s = Add (f, r)
            t = Relu (s)
            g = GlobalAveragePool (t)
            h = Flatten (g)
            y = Gemm <transB = 1> (h, w4)
        }""",
        {
            "w1": rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32),
            "w2": rng.normal(0, 0.2, (6, 8, 3, 3)).astype(np.float32),
            "w3": rng.normal(0, 0.2, (8, 6, 3, 3)).astype(np.float32),
            "w4": rng.normal(0, 0.4, (4, 8)).astype(np.float32),
        },
    )


class Noise:
    """Random inputs without labels that mean anything; implements TrainingData."""

    def __len__(self) -> int:
        return 128

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        rng = np.random.default_rng(seed)
        for _ in range(128 // batch_size):
            x = rng.normal(size=(batch_size, 3, 8, 8)).astype(np.float32)
            yield Batch({"x": x}, np.zeros(batch_size, np.int64))


def group_of(graph: ModelGraph, layer: str):
    return next(group for group in channel_groups(graph) if layer in {member.layer for member in group.out_members})


def test_the_ends_of_blocks_are_compared(residual):
    assert joined_features(residual, residual) == (Feature("t"),)
    smaller = remove_channels(residual, {group_of(residual, "Conv_2").id: [1, 4]})
    assert joined_features(smaller, residual) == (Feature("t"),)


def test_pruned_channels_are_left_out(residual):
    smaller = remove_channels(residual, {group_of(residual, "Conv_0").id: [1, 4]})
    smaller = remove_channels(smaller, {group_of(smaller, "Conv_0").id: [0]})
    (feature,) = joined_features(smaller, residual)
    assert feature == Feature("t", 1, (2, 3, 5, 6, 7))
    wanted = torch.arange(2 * 8 * 4, dtype=torch.float32).reshape(2, 8, 2, 2)
    loss = FeatureLoss([feature], torch.device("cpu"))
    assert loss({"t": wanted[:, [2, 3, 5, 6, 7]]}, {"t": wanted}) == 0
    assert loss({"t": wanted[:, :5]}, {"t": wanted}) > 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_loss_and_gradient_are_those_of_the_formula(dtype, tolerance):
    torch.manual_seed(0)
    wanted = (torch.randn(4, 8, 5, 5) + 0.7).to(dtype)
    student = torch.randn(4, 6, 5, 5).to(dtype)
    positions = (0, 2, 3, 4, 6, 7)
    plain = student.double().requires_grad_()
    kept = wanted.double()[:, positions, :, :]
    formula = (plain - kept).square().mean() / kept.var(correction=0)
    formula.backward()
    ours = student.clone().requires_grad_()
    loss = FeatureLoss([Feature("t", 1, positions)], torch.device("cpu"))({"t": ours}, {"t": wanted})
    loss.backward()
    assert loss.dtype == torch.float32
    assert ours.grad.dtype == dtype
    assert loss.item() == pytest.approx(formula.item(), rel=tolerance)
    assert (ours.grad.double() - plain.grad).norm() < tolerance * plain.grad.norm()


def test_networks_without_blocks_are_compared_after_every_layer(graph_from):
    rng = np.random.default_rng(0)
    plain = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,5] x) => (float[n,2] y) {
            a = MatMul (x, v)
            b = Relu (a)
            y = MatMul (b, w)
        }""",
        {"v": rng.normal(size=(5, 4)).astype(np.float32), "w": rng.normal(size=(4, 2)).astype(np.float32)},
    )
    assert joined_features(plain, plain) == (Feature("b"),)


def test_training_brings_feature_maps_closer(residual):
    smaller = remove_channels(residual, {group_of(residual, "Conv_2").id: [1, 4]})
    engine = TorchEngine(threads=1)
    x = {"x": np.random.default_rng(9).normal(size=(64, 3, 8, 8)).astype(np.float32)}
    wanted = engine.run(residual, x, ["t"])["t"]

    def distance(graph: ModelGraph) -> float:
        return float(np.square(engine.run(graph, x, ["t"])["t"] - wanted).mean() / wanted.var())

    imitating = engine.fit(smaller, Noise(), replace(SETTINGS, feature_weight=5.0), teacher=residual)
    labels_alone = engine.fit(smaller, Noise(), SETTINGS, teacher=residual)
    assert distance(imitating.graph) < 0.7 * distance(smaller)
    assert distance(labels_alone.graph) > distance(smaller)
    assert any("imitated 1 feature" in note for note in imitating.notes)
