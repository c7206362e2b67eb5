"""What arrays seem to be: by name, by shape, and not at all where more than one would do."""

from __future__ import annotations

import pytest

from workbench.data.array_guess import ArrayGuess, guess_arrays, guess_layout
from workbench.domain.data_reports import ArrayReport, ArraysReport


def report(itself: str | None = None, **arrays: tuple[str, tuple[int, ...]]) -> ArraysReport:
    return ArraysReport(
        arrays=tuple(ArrayReport(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in arrays.items()),
        itself=itself,
    )


IMAGES, LABELS, SCORES = ("uint8", (60, 32, 32, 3)), ("int64", (60,)), ("float32", (60, 10))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("x", "y"), ("x", "y")),
        (("images", "labels"), ("images", "labels")),
        (("Data", "Targets"), ("Data", "Targets")),
        (("x_test", "y_test"), ("x_test", "y_test")),
        (("test_images", "test_labels"), ("test_images", "test_labels")),
        (("input", "label"), ("input", "label")),
        (("frames", "digits"), ("frames", "digits")),
    ],
)
def test_names_then_shapes(names, expected):
    guess = guess_arrays(report(**{names[0]: IMAGES, names[1]: LABELS}))
    assert (guess.inputs, guess.targets) == expected


def test_the_split_decides_between_arrays_of_both():
    both = report(
        x_train=("uint8", (500, 28, 28)),
        y_train=("uint8", (500,)),
        x_test=("uint8", (60, 28, 28)),
        y_test=("uint8", (60,)),
    )
    assert guess_arrays(both, split="test") == ArrayGuess("x_test", "y_test")
    assert guess_arrays(both, split="train") == ArrayGuess("x_train", "y_train")


def test_labels_have_an_entry_a_sample():
    assert guess_arrays(report(x=IMAGES, y=("int64", (10,)))) == ArrayGuess("x", None)
    assert guess_arrays(report(a=IMAGES, short=("int64", (10,)), b=LABELS)) == ArrayGuess("a", "b")


def test_what_leaves_a_choice_is_left_to_the_user():
    assert guess_arrays(report(a=IMAGES, b=IMAGES, c=LABELS)) == ArrayGuess()
    assert guess_arrays(report(a=IMAGES, b=LABELS, c=LABELS)) == ArrayGuess("a", None)
    assert guess_arrays(report(a=SCORES, b=LABELS)) == ArrayGuess()
    assert guess_arrays(report(a=("object", (60, 2, 2)), b=LABELS)) == ArrayGuess()
    assert guess_arrays(report()) == ArrayGuess()


def test_the_model_and_the_task_help():
    table = report(a=SCORES, b=LABELS)
    assert guess_arrays(table, model_shape=("batch", 10)) == ArrayGuess("a", "b")
    assert guess_arrays(table, model_shape=("batch", 11)) == ArrayGuess()
    assert guess_arrays(report(x=IMAGES, y=LABELS), task="outputs") == ArrayGuess("x", None)
    assert guess_arrays(report(x=IMAGES, y=LABELS), model_shape=("N", 3, 32, 32)) == ArrayGuess("x", "y", "NHWC->NCHW")
    assert guess_arrays(report(x=IMAGES, mask=("uint8", (60,))), task="segmentation") == ArrayGuess("x", None)


def test_a_npy_file_is_its_own_input_and_labels_lie_beside_it():
    beside = report("photos_test", photos_test=IMAGES, labels_test=LABELS, labels_train=LABELS)
    assert guess_arrays(beside) == ArrayGuess("photos_test", "labels_test")


@pytest.mark.parametrize(
    ("sample", "wanted", "layout"),
    [
        ((32, 32, 3), (3, 32, 32), "NHWC->NCHW"),
        ((3, 32, 32), (3, 32, 32), None),
        ((3, 32, 32), (32, 32, 3), "NCHW->NHWC"),
        ((28, 28), (1, 28, 28), "HW->NCHW"),
        ((28, 28), (3, 28, 28), None),
        ((20, 30, 3), (3, "height", "width"), "NHWC->NCHW"),
        ((20, 30, 3), ("?", "?", "?"), None),
        ((20, 30, 3), (3, 224, 224), "NHWC->NCHW"),
        ((3, 20, 30), (224, 224, 3), "NCHW->NHWC"),
        ((20, 30, 4), (3, 224, 224), None),
        ((3, 3, 3), (3, 3, 3), None),
        ((128,), (3, 32, 32), None),
    ],
)
def test_layout_follows_the_model(sample, wanted, layout):
    assert guess_layout(sample, wanted) == layout
