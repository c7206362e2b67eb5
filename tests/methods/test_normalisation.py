"""Normalisation is measured on calibration samples and given back where it lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import Crop
from workbench.domain.errors import CancelledError, DataError
from workbench.engines.training_torch import TorchEngine
from workbench.methods.method import Tools
from workbench.methods.normalisation import ChannelMoments, give_back_normalisation, with_new_statistics
from workbench.methods.preparation import RecipeData


@pytest.fixture
def tools(small_cnn, labelled, engine):
    data = RecipeData(labelled, small_cnn.inputs, engine, small_cnn)
    return Tools(
        reference=small_cnn,
        data=data,
        inference=engine,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=0,
    )


def test_it_is_given_back_and_the_function_stays(small_cnn, tools, outputs):
    restored, added = give_back_normalisation(small_cnn, tools, samples=100)
    assert added
    assert sum(node.op == "BatchNormalization" for node in restored.nodes) == 2
    np.testing.assert_allclose(outputs(restored), outputs(small_cnn), atol=1e-4)
    again, added = give_back_normalisation(restored, tools)
    assert again is restored
    assert not added


def test_statistics_are_those_of_samples_as_they_are_trained_with(small_cnn, tools, labelled, engine):
    restored, _ = give_back_normalisation(small_cnn, tools, samples=100)
    (variance, *_) = [node.inputs[4] for node in restored.nodes if node.op == "BatchNormalization"]
    found = {}
    # Moved by as much as the pictures are wide, most of what a picture shows is its border.
    for augment in ([], [{"crop": 8}]):
        description = labelled.model_copy(update={"augment": tuple(Crop(**entry) for entry in augment)})
        here = replace(tools, data=RecipeData(description, small_cnn.inputs, engine, small_cnn))
        found[len(augment)] = with_new_statistics(restored, here, 100, []).constant(variance).mean()
    assert found[1] < 0.7 * found[0]


def test_without_data_the_graph_stays(small_cnn, tools):
    assert give_back_normalisation(small_cnn, replace(tools, data=None)) == (small_cnn, False)


def test_it_can_be_cancelled(small_cnn, tools):
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        give_back_normalisation(small_cnn, replace(tools, cancel=token))


def test_moments_do_not_depend_on_the_batches():
    values = np.random.default_rng(0).normal(1000, 0.1, (30, 4, 5, 5)).astype(np.float32)
    observer = ChannelMoments()
    for part in np.split(values, [1, 7, 20]):
        observer.update(part)
    mean, variance = observer.result()
    wide = values.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(variance, wide.var((0, 2, 3)), rtol=1e-6)
    with pytest.raises(DataError, match="without samples"):
        ChannelMoments().result()
