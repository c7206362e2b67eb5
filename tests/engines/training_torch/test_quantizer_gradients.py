"""Slopes of scales and zero points: those of LSQ and LSQ+, only where the trainer asks for them, written back whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.domain.errors import DataError
from workbench.engines.contracts import Batch, TrainingSettings
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.from_graph import GraphModule
from workbench.engines.training_torch.operators.binary import OddLevel
from workbench.engines.training_torch.operators.fake_quantization import fake_quantize

SCALE, ZERO, LOW, HIGH = 0.1, 3, 0, 15


@pytest.fixture
def quantizer(graph_from):
    """A value clipped to 4 bits: QuantizeLinear, Clip on integers, DequantizeLinear."""
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,64] x) => (float[n,64] y) {
            q = QuantizeLinear (x, s, z)
            c = Clip (q, low, high)
            y = DequantizeLinear (c, s, z)
        }""",
        {
            "s": np.float32(SCALE),
            "z": np.uint8(ZERO),
            "low": np.uint8(LOW),
            "high": np.uint8(HIGH),
        },
    )


def formula(x: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the slopes of x, scale and zero point as the papers state them."""
    level = np.rint(x / SCALE) + ZERO
    inside = (level >= LOW) & (level <= HIGH)
    of_scale = np.where(inside, level - ZERO - x / SCALE, np.clip(level, LOW, HIGH) - ZERO)
    return gradient * inside, float((gradient * of_scale).sum()), float((gradient * ~inside * -SCALE).sum())


def test_slopes_are_those_of_lsq(quantizer):
    rng = np.random.default_rng(0)
    x, gradient = (rng.normal(size=(3, 64)).astype(np.float32) for _ in range(2))
    module = GraphModule(quantizer, also=("s", "z"))
    fed = torch.from_numpy(x).requires_grad_()
    (module({"x": fed})["y"] * torch.from_numpy(gradient)).sum().backward()
    of_x, of_scale, of_zero = formula(x, gradient)
    np.testing.assert_allclose(fed.grad, of_x, rtol=1e-5)
    assert float(module.weights["s"].grad) == pytest.approx(of_scale, rel=1e-4)
    assert float(module.weights["z"].grad) == pytest.approx(of_zero, rel=1e-4)


def test_scales_of_channels_have_their_own_slopes(graph_from):
    rng = np.random.default_rng(0)
    weight, gradient = (rng.normal(size=(4, 5)).astype(np.float32) for _ in range(2))
    scales = np.float32([0.02, 0.1, 0.5, 1.0])
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,5] x) => (float[n,4] y) {
            q = QuantizeLinear <axis = 0> (w, s, z)
            d = DequantizeLinear <axis = 0> (q, s, z)
            y = Gemm <transB = 1> (x, d)
        }""",
        {"w": weight, "s": scales, "z": np.zeros(4, np.int8)},
    )
    module = GraphModule(graph, also=("s",))
    assert set(module.weights) == {"w", "s"}
    (module({"x": torch.eye(5)})["y"] * torch.from_numpy(gradient).T).sum().backward()
    level = np.clip(np.rint(weight / scales[:, None]), -128, 127)
    expected = (gradient * (level - weight / scales[:, None])).sum(1)
    np.testing.assert_allclose(module.weights["s"].grad, expected, rtol=1e-3, atol=1e-4)


def test_settings_stay_settings_unless_told(quantizer):
    assert not GraphModule(quantizer).weights


def test_what_is_trained_besides_must_exist(quantizer):
    with pytest.raises(DataError, match="'step' can't be trained"):
        GraphModule(quantizer, also=("step",))


class Halves:
    """One batch of values whose quantizer clips half of them."""

    def __len__(self) -> int:
        return 8

    def shuffled(self, batch_size: int, seed: int):
        yield Batch({"x": np.full((8, 64), 3.0, np.float32)}, np.full((8, 64), 3.0, np.float32))


def test_training_moves_scales_at_their_own_rate_and_keeps_zero_points_whole(quantizer):
    def trained(**settings):
        rules = TrainingSettings(
            task="regression", epochs=3, learning_rate=0.01, warmup_epochs=0, threads=1, **settings
        )
        return TorchEngine(1).fit(quantizer, Halves(), rules).graph

    still = trained(also=("s", "z"), also_rate=0.0)
    moved = trained(also=("s", "z"), also_rate=1.0)
    assert float(still.constant("s")) == pytest.approx(SCALE)
    assert float(moved.constant("s")) > SCALE
    assert moved.constant("z").dtype == np.uint8


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_one_pass_gives_the_same_values_and_slopes(quantizer, bits):
    rng = np.random.default_rng(bits)
    graph = quantizer.with_initializers({"high": np.uint8(2**bits - 1)})
    x, gradient = (torch.from_numpy(rng.normal(size=(3, 64)).astype(np.float32)) for _ in range(2))
    found = []
    for fused in (False, True):
        module = GraphModule(graph, also=("s", "z"), fused=fused)
        fed = x.clone().requires_grad_()
        y = module({"x": fed})["y"]
        (y * gradient).sum().backward()
        # Between the outermost level and half a step beyond it the papers clip, where operator by operator rounds.
        edge = (x > SCALE * (2**bits - 1 - ZERO)) & (x < SCALE * (2**bits - 0.4 - ZERO)) | (x < -SCALE * ZERO)
        found.append((y.detach(), fed.grad * ~edge, module.weights["s"].grad, module.weights["z"].grad))
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-6)


def test_slopes_of_one_pass_are_those_of_the_papers(quantizer):
    rng = np.random.default_rng(0)
    x, gradient = (rng.normal(size=(3, 64)).astype(np.float32) for _ in range(2))
    module = GraphModule(quantizer, also=("s", "z"), fused=True)
    fed = torch.from_numpy(x).requires_grad_()
    (module({"x": fed})["y"] * torch.from_numpy(gradient)).sum().backward()
    inside = (x / SCALE > LOW - ZERO) & (x / SCALE < HIGH - ZERO)
    level = np.clip(np.rint(x / SCALE), LOW - ZERO, HIGH - ZERO)
    np.testing.assert_allclose(fed.grad, gradient * inside, rtol=1e-6)
    of_scale = (gradient * np.where(inside, level - x / SCALE, level)).sum()
    assert float(module.weights["s"].grad) == pytest.approx(float(of_scale), rel=1e-4)
    assert float(module.weights["z"].grad) == pytest.approx(float((gradient * ~inside * -SCALE).sum()), rel=1e-4)


def test_integers_that_others_read_stay(quantizer):
    module = GraphModule(quantizer, also=("s",), fused=True)
    results = module({"x": torch.linspace(-1, 2, 64)[None]}, ("y", "c"))
    np.testing.assert_allclose(results["y"].detach(), (results["c"].detach() - ZERO) * SCALE, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_values_are_rounded_whole_and_their_slopes_estimated(layout):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 16, 24, 24, generator=generator).to(memory_format=layout).requires_grad_()
    slope = torch.randn(64, 16, 24, 24, generator=generator) + 0.5 * x.detach()
    scale = torch.tensor(SCALE, requires_grad=True)
    y = fake_quantize(x, scale, torch.tensor(float(ZERO)), LOW, HIGH)
    (y * slope).sum().backward()
    level = torch.round(x.detach() / SCALE)
    inside = (x.detach() / SCALE > LOW - ZERO) & (x.detach() / SCALE < HIGH - ZERO)
    torch.testing.assert_close(y.detach(), level.clamp(LOW - ZERO, HIGH - ZERO) * SCALE)
    torch.testing.assert_close(x.grad, slope * inside)
    exact = (slope * torch.where(inside, level - x.detach() / SCALE, level.clamp(LOW - ZERO, HIGH - ZERO))).sum()
    assert float(scale.grad) == pytest.approx(float(exact), rel=0.1)


def test_rounding_is_exact_in_bfloat16_too():
    x = torch.linspace(-2, 2, 4096).bfloat16().requires_grad_()
    y = fake_quantize(x, torch.tensor(0.3), torch.tensor(0.0), -8, 7)
    assert y.dtype == torch.bfloat16
    exact = torch.round(x.detach().float() / 0.3).clamp(-8, 7)
    torch.testing.assert_close((y.detach().float() / 0.3).round(), exact)


@pytest.mark.parametrize("elements", [1000, 100_000])
def test_the_polynomial_slope_is_steepest_between_two_levels(elements):
    x = torch.linspace(-1, 3, elements).requires_grad_()
    fake_quantize(x, torch.tensor(2.0), torch.tensor(0.0), 0, 1, slope="polynomial").sum().backward()
    assert x.grad is not None
    u = x.detach().numpy() - 1
    np.testing.assert_allclose(x.grad, np.where(np.abs(u) < 1, 2 - 2 * np.abs(u), 0), atol=1e-6)


@pytest.mark.parametrize(("sharpness", "expected"), [(0.0, 1.0), (0.1, 1.0), (10.0, 10.0)])
def test_the_slope_of_a_sign_sharpens(sharpness, expected):
    v = torch.tensor([[-2.0, -0.05, 0.0, 0.05, 2.0]], requires_grad=True)
    signs = OddLevel.apply(v, torch.tensor([sharpness]), 1)
    signs.sum().backward()
    assert signs.tolist() == [[-1, -1, 1, 1, 1]]
    slope = v.grad.numpy()[0]
    assert slope[2] == pytest.approx(expected)
    np.testing.assert_allclose(slope, expected * (1 - np.tanh(sharpness * v.detach().numpy()[0]) ** 2), rtol=1e-4)
