"""The wizard's first look: sizes, pictures as they are, labels as words."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.data.dataset import Dataset, open_split
from workbench.data.preview import data_preview, png_base64, sample_preview
from workbench.domain.data_description import DataDescription

X = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), np.uint8)


def opened(folder: Path) -> Dataset:
    np.savez(folder / "d.npz", x=X, y=np.arange(30) % 3)
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    content = {"test": split, "folder": str(folder), "preprocess": {"layout": "NHWC->NCHW"}}
    content["options"] = {"classes": ["cat", "dog", "emu"]}
    return open_split(DataDescription.model_validate(content), "test")


def pixels(encoded: str | None) -> np.ndarray:
    assert encoded is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_samples_are_shown_as_the_files_hold_them(tmp_path: Path) -> None:
    preview = data_preview(opened(tmp_path), None, 10)
    assert (preview.test_samples, preview.train_samples, preview.classes) == (30, None, 3)
    assert preview.input_shape == (3, 6, 5)
    assert [sample.index for sample in preview.samples] == list(range(0, 30, 3))
    np.testing.assert_array_equal(pixels(preview.samples[1].image_png_base64), X[3])
    assert preview.samples[1].label == "cat"
    assert "no train split" in preview.notes[0]


def test_predictions_are_words_and_judged(tmp_path: Path) -> None:
    sample = sample_preview(opened(tmp_path), 4, np.array([0.1, 0.2, 0.9]))
    assert (sample.label, sample.prediction, sample.correct) == ("dog", "emu", False)


@pytest.mark.parametrize(
    ("raw", "rows", "shape"),
    [
        (np.zeros((4, 5), np.uint8), 0, (4, 5)),
        (np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5), 0, (4, 5)),
        (np.random.default_rng(0).normal(size=(3, 4, 5)), 1, (4, 5, 3)),
        (np.zeros((4, 5, 1), np.float32), 0, (4, 5)),
    ],
)
def test_pictures_of_every_kind(raw: np.ndarray, rows: int, shape: tuple[int, ...]) -> None:
    assert pixels(png_base64(raw, rows)).shape == shape


def test_what_is_no_picture_is_not_drawn() -> None:
    assert png_base64(np.zeros(7)) is None
    assert png_base64(np.zeros((4, 5, 7), np.uint8)) is None


def test_nothing_to_show_says_so() -> None:
    assert "neither a train nor a test split" in data_preview(None, None).notes[0]
