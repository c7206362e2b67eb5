"""Splits come out preprocessed, augmented and mapped to the model's inputs, and bad data is named before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.data.dataset import Dataset, open_split
from workbench.data.fit import check_fit
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError
from workbench.graph.model import ValueInfo

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 6, 5, 3), np.uint8)
Y = np.arange(20) % 4
IMAGE = ValueInfo("image", "float32", (None, 3, 6, 5))
LOGITS = ValueInfo("logits", "float32", (None, 4))


def description(folder: Path, arrays: dict[str, np.ndarray] | None = None, **changes: Any) -> DataDescription:
    np.savez(folder / "d.npz", **({"x": X, "y": Y} if arrays is None else arrays))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    content: dict[str, Any] = {"train": split, "test": split, "folder": str(folder), **changes}
    return DataDescription.model_validate(content)


def opened(folder: Path, arrays: dict[str, np.ndarray] | None = None, **changes: Any) -> Dataset:
    model_inputs = changes.pop("model_inputs", (IMAGE,))
    return open_split(description(folder, arrays, **changes), "test", model_inputs)


def all_inputs(dataset: Dataset, batch_size: int = 7) -> np.ndarray:
    return np.concatenate([batch.inputs["image"] for batch in dataset.batches(batch_size)])


def test_preprocessing_follows_the_formula_in_the_files_layout(tmp_path: Path) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    dataset = opened(tmp_path, preprocess={"scale": 255, "mean": mean, "std": std, "layout": "NHWC->NCHW"})
    expected = ((X / 255.0 - mean) / std).transpose(0, 3, 1, 2)
    found = all_inputs(dataset)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layout", "raw", "wanted"),
    [
        ("NHWC->NCHW", (2, 6, 5, 3), (2, 3, 6, 5)),
        ("NCHW->NHWC", (2, 3, 6, 5), (2, 6, 5, 3)),
        ("HW->NCHW", (2, 6, 5), (2, 1, 6, 5)),
        ("none", (2, 3, 6, 5), (2, 3, 6, 5)),
    ],
)
def test_layouts(tmp_path: Path, layout: str, raw: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    arrays = {"x": RNG.random(raw, np.float32), "y": np.zeros(2, int)}
    assert all_inputs(opened(tmp_path, arrays, preprocess={"layout": layout, "mean": [0.5]})).shape == wanted


def test_resize_keeps_flat_pictures_flat(tmp_path: Path) -> None:
    arrays = {"x": np.full((2, 4, 4, 3), 77, np.uint8), "y": np.zeros(2, int)}
    found = all_inputs(opened(tmp_path, arrays, preprocess={"resize": [6, 5], "layout": "NHWC->NCHW"}))
    assert found.shape == (2, 3, 6, 5)
    assert (found == 77).all()


def test_a_wrong_count_of_means_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"preprocess\.mean has 2 numbers.*3 channels"):
        all_inputs(opened(tmp_path, preprocess={"mean": [0.1, 0.2], "layout": "NHWC->NCHW"}))


def test_ranges_indices_and_subsets_agree(tmp_path: Path) -> None:
    dataset = opened(tmp_path, preprocess={"layout": "NHWC->NCHW"})
    whole = all_inputs(dataset)
    ranged = np.concatenate([batch.inputs["image"] for batch in dataset.batches(4, start=3, stop=12)])
    np.testing.assert_array_equal(ranged, whole[3:12])
    picked = np.array([5, 1, 19])
    batch = next(dataset.batches(8, indices=picked))
    np.testing.assert_array_equal(batch.inputs["image"], whole[picked])
    np.testing.assert_array_equal(batch.targets, Y[picked])
    part = dataset.subset(picked).subset(np.array([2, 0]))
    np.testing.assert_array_equal(all_inputs(part), whole[[19, 5]])
    np.testing.assert_array_equal(part.targets, Y[[19, 5]])
    np.testing.assert_array_equal(part.raw(0), X[19])
    assert part.fingerprint != dataset.fingerprint


def test_shuffling_is_seeded_and_complete(tmp_path: Path) -> None:
    dataset = opened(tmp_path, {"x": X[:, 0, 0, :1].astype(np.float32), "y": Y}, model_inputs=(), augment=[])
    dataset.mapping = {"image": "x"}

    def epoch(seed: int) -> np.ndarray:
        return np.concatenate([batch.inputs["image"] for batch in dataset.shuffled(7, seed)])

    np.testing.assert_array_equal(epoch(1), epoch(1))
    assert not np.array_equal(epoch(1), epoch(2))
    np.testing.assert_array_equal(np.sort(epoch(1), axis=0), np.sort(all_inputs(dataset), axis=0))


def test_augmentation_only_moves_pixels_within_the_padded_picture(tmp_path: Path) -> None:
    ones = {"x": np.full((200, 6, 5, 3), 9, np.uint8), "y": np.zeros(200, int)}
    dataset = opened(tmp_path, ones, augment=["flip", {"crop": 2}], preprocess={"layout": "NHWC->NCHW"})
    found = np.concatenate([batch.inputs["image"] for batch in dataset.shuffled(50, 0)])
    assert set(np.unique(found)) == {0.0, 9.0}
    areas = {int((picture[0] == 9).sum()) for picture in found}
    assert areas <= {height * width for height in (4, 5, 6) for width in (3, 4, 5)}
    assert len(areas) > 3
    assert (all_inputs(dataset) == 9).all()


def test_flips_happen_to_about_half(tmp_path: Path) -> None:
    dataset = opened(
        tmp_path,
        {"x": np.repeat(X[:1], 400, 0), "y": np.zeros(400, int)},
        augment=["flip"],
        preprocess={"layout": "none"},
    )
    found = np.concatenate([batch.inputs["image"] for batch in dataset.shuffled(50, 0)])
    flipped = (found == X[0, :, ::-1]).all(axis=(1, 2, 3))
    straight = (found == X[0]).all(axis=(1, 2, 3))
    assert (flipped ^ straight).all()
    assert 150 < flipped.sum() < 250


def test_label_maps_are_augmented_with_their_pictures(tmp_path: Path) -> None:
    maps = X[..., 0].astype(np.int64)
    dataset = opened(
        tmp_path,
        {"x": X, "y": maps},
        task="segmentation",
        augment=["flip", {"crop": 1}],
        preprocess={"layout": "NHWC->NCHW"},
        options={"ignore_label": 0},
    )
    for batch in dataset.shuffled(6, 3):
        np.testing.assert_array_equal(batch.inputs["image"][:, 0], batch.targets)


def test_an_augmented_epoch_has_every_sample_once(tmp_path: Path) -> None:
    arrays = {"x": RNG.integers(0, 256, (20000, 32, 32, 3), np.uint8), "y": np.zeros(20000, int)}
    dataset = opened(
        tmp_path,
        arrays,
        augment=["flip", {"crop": 4}],
        preprocess={"scale": 255, "mean": [0.5] * 3, "std": [0.2] * 3, "layout": "NHWC->NCHW"},
    )
    assert sum(len(batch) for batch in dataset.shuffled(128, 0)) == 20000


def test_inputs_map_by_name_to_several_model_inputs(tmp_path: Path) -> None:
    ids = ValueInfo("ids", "int64", (None, 4))
    mask = ValueInfo("mask", "int64", (None, 4))
    arrays = {"a": np.ones((3, 4), np.int32), "b": np.zeros((3, 4), np.int64), "y": np.zeros(3, int)}
    split = {"reader": "npz", "path": "d.npz", "targets": "y"}
    mapped = {**split, "inputs": {"ids": "a", "mask": "b"}}
    dataset = opened(tmp_path, arrays, test=mapped, model_inputs=(ids, mask))
    batch = next(dataset.batches(2))
    assert batch.inputs["ids"].dtype == np.int64
    assert (batch.inputs["ids"] == 1).all()
    assert (batch.inputs["mask"] == 0).all()
    with pytest.raises(DataError, match=r"model has 2 inputs.*\{ids: …, mask: …\}"):
        opened(tmp_path, arrays, test={**split, "inputs": "a"}, model_inputs=(ids, mask))
    with pytest.raises(DataError, match="no input 'idx'"):
        opened(tmp_path, arrays, test={**split, "inputs": {"idx": "a"}}, model_inputs=(ids, mask))
    with pytest.raises(DataError, match="nothing is given for the model's input 'mask'"):
        opened(tmp_path, arrays, test={**split, "inputs": {"ids": "a"}}, model_inputs=(ids, mask))


def test_bad_labels_and_samples_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels are missing.*task: outputs"):
        opened(tmp_path, test={"reader": "npz", "path": "d.npz", "inputs": "x"})
    for labels, words in (
        (np.where(Y == 2, np.nan, Y.astype(float)), "label of sample 2 is NaN"),
        (Y - 1, "label of sample 0 is -1"),
        (Y + 0.5, r"label of sample 0 is 0\.5"),
        (np.zeros((20, 2)), "class labels have shape"),
    ):
        with pytest.raises(DataError, match=words):
            _ = opened(tmp_path, {"x": X, "y": labels}).targets
    noisy = X.astype(np.float32)
    noisy[13, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="sample 13 of 'x' holds NaN"):
        all_inputs(opened(tmp_path, {"x": noisy, "y": Y}))
    with pytest.raises(DataError, match="no train split"):
        open_split(description(tmp_path, train=None), "train")


def test_one_hot_labels_become_indices(tmp_path: Path) -> None:
    np.testing.assert_array_equal(opened(tmp_path, {"x": X, "y": np.eye(4)[Y]}).targets, Y)
    np.testing.assert_array_equal(opened(tmp_path, {"x": X, "y": Y[:, None]}).targets, Y)


class TestFit:
    """Data is compared with the model before a run, with the line that would help."""

    def test_fitting_data_passes(self, tmp_path: Path) -> None:
        check_fit(opened(tmp_path, preprocess={"layout": "NHWC->NCHW"}), (IMAGE,), (LOGITS,))

    @pytest.mark.parametrize(
        ("shape", "preprocess", "advice"),
        [
            ((None, 3, 6, 5), {}, "preprocess.layout: NHWC->NCHW"),
            ((1, 3, 8, 8), {"layout": "NHWC->NCHW"}, r"preprocess.resize: \[8, 8\]"),
            ((1, 3, 8, 8), {}, r"NHWC->NCHW and preprocess.resize: \[8, 8\]"),
            ((None, 100), {}, "Choose data of the model's shape"),
        ],
    )
    def test_shape(self, tmp_path: Path, shape: tuple[Any, ...], preprocess: dict[str, Any], advice: str) -> None:
        image = ValueInfo("image", "float32", shape)
        with pytest.raises(DataError, match=advice):
            check_fit(opened(tmp_path, preprocess=preprocess, model_inputs=(image,)), (image,))

    def test_grey_pictures_without_channel(self, tmp_path: Path) -> None:
        image = ValueInfo("image", "float32", (None, 1, 6, 5))
        with pytest.raises(DataError, match="HW->NCHW"):
            check_fit(opened(tmp_path, {"x": X[..., 0], "y": Y}, model_inputs=(image,)), (image,))

    def test_element_type(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"'image' gets float16.*Expected float32"):
            check_fit(opened(tmp_path, preprocess={"dtype": "float16", "layout": "NHWC->NCHW"}), (IMAGE,))
        whole = ValueInfo("image", "int64", (None, 6, 5, 3))
        with pytest.raises(DataError, match="samples are float32, the model takes int64"):
            check_fit(opened(tmp_path, preprocess={"scale": 2}, model_inputs=(whole,)), (whole,))

    def test_class_count(self, tmp_path: Path) -> None:
        dataset = opened(tmp_path, preprocess={"layout": "NHWC->NCHW"})
        with pytest.raises(DataError, match="labels go up to 3, but the model has 2 classes"):
            check_fit(dataset, (IMAGE,), (ValueInfo("logits", "float32", (None, 2)),))

    def test_chosen_output(self, tmp_path: Path) -> None:
        dataset = opened(tmp_path, preprocess={"layout": "NHWC->NCHW"}, options={"output": "scores"})
        with pytest.raises(DataError, match=r"no output 'scores'.*logits"):
            check_fit(dataset, (IMAGE,), (LOGITS,))


def test_models_of_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test: the model's input 'words' takes text"):
        opened(tmp_path, model_inputs=(ValueInfo("words", "string", (None,)),))


def test_a_layout_that_spoils_what_fitted_is_the_one_to_remove(tmp_path: Path) -> None:
    for layout, raw, wanted in (("NHWC->NCHW", (3, 6, 5), (3, 6, 5)), ("NCHW->NHWC", (6, 5, 3), (6, 5, 3))):
        arrays = {"x": np.zeros((20, *raw), np.float32), "y": Y}
        image = ValueInfo("image", "float32", (None, *wanted))
        dataset = opened(tmp_path, arrays, preprocess={"layout": layout}, model_inputs=(image,))
        with pytest.raises(DataError, match=rf"Remove preprocess\.layout \({layout}\)"):
            check_fit(dataset, (image,))
