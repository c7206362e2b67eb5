"""Pictures pasted into each other: the same for the same seed, made of nothing else, labelled by the teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.engines.contracts import Batch, TrainingSettings
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.mixing import Mixing

SETTINGS = TrainingSettings(
    epochs=2, batch_size=32, learning_rate=0.01, threads=1, precision="float32", mixing=0.5, distillation_weight=0.9
)
PICTURES = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 3, 12, 10)).astype(np.float32))


class Data:
    """Random pictures with random labels; implements TrainingData."""

    def __len__(self):
        return 128

    def shuffled(self, batch_size, seed):
        rng = np.random.default_rng(seed)
        for _ in range(128 // batch_size):
            yield Batch(
                {"x": rng.normal(size=(batch_size, 3, 8, 8)).astype(np.float32)}, rng.integers(0, 5, batch_size)
            )


@pytest.mark.parametrize("last", [False, True])
def test_every_pixel_comes_from_the_picture_or_from_another(last):
    pictures = PICTURES.permute(0, 2, 3, 1).contiguous() if last else PICTURES
    mixed = Mixing(1.0, seed=1).mixed(pictures)
    assert mixed is not None
    colours = 3 if last else 1
    own, other = ((mixed == source).all(colours) for source in (pictures, pictures.roll(1, 0)))
    assert (own | other).all()
    pasted = ~own
    assert 0.1 < pasted.float().mean() < 0.5
    for picture in pasted:
        rows, columns = picture.any(1), picture.any(0)
        assert torch.equal(picture, rows[:, None] & columns)


def test_the_share_of_batches_is_mixed():
    mixing = Mixing(0.25, seed=0)
    mixing.begin(0)
    assert 0.15 < np.mean([mixing.mixed(PICTURES) is not None for _ in range(400)]) < 0.35


def test_an_epoch_is_the_same_after_a_restart():
    first, second = Mixing(1.0, seed=3), Mixing(1.0, seed=3)
    first.begin(0)
    first.mixed(PICTURES)
    for mixing in (first, second):
        mixing.begin(1)
    assert torch.equal(first.mixed(PICTURES), second.mixed(PICTURES))


def test_one_picture_has_no_other():
    assert Mixing(1.0, seed=0).mixed(PICTURES[:1]) is None


def test_a_training_mixes_and_says_so(small_cnn):
    engine = TorchEngine(threads=1)
    student = small_cnn.with_initializers({"w2": small_cnn.constant("w2") * 0.5})
    results = [engine.fit(student, Data(), SETTINGS, teacher=small_cnn) for _ in range(2)]
    assert results[0].graph.to_bytes() == results[1].graph.to_bytes()
    assert "pasted pictures into each other in 50 % of the batches" in results[0].notes
    plain = engine.fit(student, Data(), replace(SETTINGS, mixing=0.0), teacher=small_cnn)
    assert plain.graph.to_bytes() != results[0].graph.to_bytes()
    assert not any("pasted" in note for note in plain.notes)


def test_what_can_t_be_mixed_is_said(small_cnn, graph_from):
    engine = TorchEngine(threads=1)
    alone = engine.fit(small_cnn, Data(), replace(SETTINGS, epochs=1))
    assert any("only the original's outputs could label them" in note for note in alone.notes)
    rows = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,6] x) => (float[batch,3] y) { y = MatMul (x, w) }""",
        {"w": np.ones((6, 3), np.float32)},
    )
    mixing, note = Mixing.of(SETTINGS, rows, taught=True)
    assert mixing is None
    assert "does not take one picture" in note
