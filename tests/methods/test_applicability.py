"""Which knob can be turned where is decided once, from operators, channel groups and the methods themselves."""

from __future__ import annotations

from tests.fakes.methods import FineKnob, registry
from workbench.domain.knobs import PRUNE_RATIO, WEIGHT_BITS
from workbench.domain.reports import LayerReport
from workbench.graph.layers import find_layers
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import coupled_layers, described_layers, faults, layer_knobs, obstacles
from workbench.methods.registry import MethodRegistry


def test_layers_carry_their_knobs_groups_and_reasons(small_cnn: ModelGraph) -> None:
    conv, inner, last = described_layers(small_cnn, registry())
    assert set(conv.knobs) == {"prune_ratio", "weight_bits", "activation_bits", "fineness"}
    assert conv.group is not None
    assert conv.group == inner.group
    assert last.blocked is not None
    assert "prune_ratio" not in last.knobs
    assert layer_knobs(small_cnn, registry())["Gemm_7"] == last.knobs
    assert obstacles(small_cnn, PRUNE_RATIO, registry()) == {"Gemm_7": last.blocked}


def test_a_method_may_say_no(small_cnn: ModelGraph) -> None:
    class OnlyConvolutions(FineKnob):
        @classmethod
        def blocked(cls, knob: object, layer: LayerReport) -> str | None:
            return None if layer.op == "Conv" else "it is no convolution"

    known = MethodRegistry()
    known.register(OnlyConvolutions, "fakes")
    assert obstacles(small_cnn, FineKnob.knobs[0], known) == {"Gemm_7": "it is no convolution"}


def test_only_channels_couple(small_cnn: ModelGraph) -> None:
    assert coupled_layers(small_cnn, PRUNE_RATIO)["Conv_2"] == ("Conv_0", "Conv_2")
    assert coupled_layers(small_cnn, WEIGHT_BITS)["Conv_2"] == ("Conv_2",)


def test_a_method_that_fails_when_asked_is_named_and_passed_over(small_cnn: ModelGraph) -> None:
    class Raises(FineKnob):
        id = "test.raises"

        @classmethod
        def blocked(cls, knob: object, layer: LayerReport) -> str | None:
            raise KeyError("stride")

    class Mumbles(FineKnob):
        id = "test.mumbles"

        @classmethod
        def blocked(cls, knob: object, layer: LayerReport) -> str | None:
            return layer.op == "Conv"  # type: ignore[return-value]

    known = MethodRegistry()
    known.register(Raises, "bad")
    known.register(Mumbles, "vague")
    assert {layer.knobs for layer in described_layers(small_cnn, known)} == {()}
    assert "'test.raises' raised KeyError" in obstacles(small_cnn, FineKnob.knobs[0], known)["Conv_0"]
    first, second = faults(find_layers(small_cnn), known)
    assert str(first).startswith("plugin 'bad', layer 'Conv_0': method 'test.raises' raised KeyError when asked about")
    assert "plugin 'vague'" in str(second)
    assert "Expected text or None from `blocked`. Found True." in str(second)

    known.register(FineKnob, "good")
    assert {layer.knobs for layer in described_layers(small_cnn, known)} == {("fineness",)}
