"""What every pruning criterion promises; each has a test class that inherits this and adds what is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from workbench.api import (
    CancelledError,
    CancelToken,
    DataError,
    LayerSettings,
    Method,
    ModelGraph,
    Progress,
    RecipeError,
    Tools,
    channel_groups,
    remove_channels,
)
from workbench.engines.inference_ort.engine import OrtEngine

# (width of the hidden layer); the last channels of `planted` are worthless by any criterion.
WIDTH, WORTHLESS = 12, (3, 7, 8)


class CriterionSuite:
    """Inherited by the tests of every criterion.

    Attributes:
        id: The method.
        needs_data: Whether it looks at samples.
        finds_worthless: Whether it must rank channels that never act below all others.
    """

    id: ClassVar[str]
    needs_data: ClassVar[bool] = True
    finds_worthless: ClassVar[bool] = True

    @pytest.fixture
    def criterion(self, methods: dict[str, type[Method]]) -> Callable[..., Method]:
        method = methods[self.id]
        known = method.Parameters.model_fields

        def make(**parameters: object) -> Method:
            few = {"samples": 64, "statistics_samples": 64}
            return method(method.Parameters(**{key: few[key] for key in few if key in known} | parameters))

        return make

    def test_it_introduces_itself(self, methods: dict[str, type[Method]]) -> None:
        method = methods[self.id]
        assert method.title
        assert method.summary.endswith(".")
        assert any(char.isdigit() for char in method.source), "names the paper's year"
        for name, schema in method.Parameters.model_json_schema()["properties"].items():
            assert schema.get("description", "").endswith("."), name

    def test_worthless_channels_go_first(
        self,
        criterion: Callable[..., Method],
        planted: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
    ) -> None:
        result = criterion().apply(planted, plan_of(planted, 0.25), tools_for(planted))
        assert result.details["groups"]["Conv_0"]["removed_units"] == 3
        if self.finds_worthless:
            images = np.random.default_rng(9).normal(size=(8, 3, 8, 8)).astype(np.float32)
            outputs = [OrtEngine(threads=1).open(graph).run({"x": images})["y"] for graph in self._cut(planted, result)]
            np.testing.assert_allclose(outputs[0], outputs[1], rtol=2e-2, atol=2e-2)

    def _cut(self, planted: ModelGraph, result: object) -> tuple[ModelGraph, ModelGraph]:
        """Return the original and the original without the channels that went, found by what is left of the weights."""
        weight = result.graph.constant(result.graph.node("Conv_0").inputs[1])  # type: ignore[attr-defined]
        original = planted.constant("w1")
        unit = weight / np.linalg.norm(weight.reshape(len(weight), -1), axis=1)[:, None, None, None]
        base = original / np.linalg.norm(original.reshape(len(original), -1), axis=1)[:, None, None, None]
        likeness = np.einsum("oikl,pikl->op", base, unit)
        kept = set(likeness.argmax(axis=0).tolist())
        gone = tuple(index for index in range(WIDTH) if index not in kept)
        assert gone == WORTHLESS
        group = next(group for group in channel_groups(planted) if group.prunable)
        return planted, remove_channels(planted, {group.id: gone})

    def test_the_same_seed_gives_the_same_bytes_and_the_input_stays(
        self,
        criterion: Callable[..., Method],
        planted: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
    ) -> None:
        before = planted.to_bytes()
        first, second = (
            criterion().apply(planted, plan_of(planted, 0.5), tools_for(planted, seed=3)).graph.to_bytes() for _ in "ab"
        )
        assert first == second
        assert planted.to_bytes() == before

    @pytest.mark.parametrize("reduction", ["sum", "mean", "max"])
    @pytest.mark.parametrize("normalisation", ["none", "mean", "max", "standard"])
    def test_reductions_and_normalisations_rank_coupled_layers(
        self,
        criterion: Callable[..., Method],
        small_cnn: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
        reduction: str,
        normalisation: str,
    ) -> None:
        method = criterion(reduction=reduction, normalisation=normalisation, statistics_samples=0)
        result = method.apply(small_cnn, plan_of(small_cnn, 0.5), tools_for(small_cnn))
        (group,) = result.details["groups"].values()
        assert group["removed_units"] == 4
        histogram = group["importance"]
        assert sum(histogram["kept"]) == sum(histogram["removed"]) == 4
        assert np.isfinite(histogram["edges"]).all()

    def test_a_target_is_met_by_one_ranking(
        self,
        criterion: Callable[..., Method],
        planted: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
    ) -> None:
        method = criterion(scope="global", target="params", target_ratio=0.7, statistics_samples=0)
        result = method.apply(planted, plan_of(planted), tools_for(planted))
        assert 0 < result.details["groups"]["Conv_0"]["removed_units"] < WIDTH
        assert set(result.details["plan"]["layers"]) == set(result.details["groups"])

    def test_missing_data_is_named(
        self,
        criterion: Callable[..., Method],
        planted: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
    ) -> None:
        method = criterion()
        if self.needs_data:
            assert "data" in method.requirements(planted)
            with pytest.raises((DataError, RecipeError)):
                method.apply(planted, plan_of(planted, 0.5), tools_for(planted, data=None))
        else:
            assert not method.requirements(planted)
            method.apply(planted, plan_of(planted, 0.5), tools_for(planted, data=None))

    def test_progress_moves_and_cancel_stops(
        self,
        criterion: Callable[..., Method],
        planted: ModelGraph,
        plan_of: Callable[..., LayerSettings],
        tools_for: Callable[..., Tools],
    ) -> None:
        seen: list[float] = []
        token = CancelToken()

        def report(share: float, text: str) -> None:
            seen.append(share)
            if share >= 0.2:
                token.cancel()

        tools = replace(tools_for(planted), progress=Progress(report), cancel=token)
        with pytest.raises(CancelledError):
            criterion().apply(planted, plan_of(planted, 0.5), tools)
        assert seen == sorted(seen)
        assert seen[-1] < 0.65
