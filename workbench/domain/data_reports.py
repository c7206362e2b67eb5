"""What jobs report about data: a first look at samples, the arrays of files, and what DATA.yaml can name."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.measurements import MetricMeasurement


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplePreview(_Report):
    """One sample as the data wizard shows it.

    Attributes:
        image_png_base64: The sample before preprocessing as PNG, or None where it is not an image.
        label: Its label as text.
        prediction: What the original model predicts for it, as text, or None.
        correct: Whether prediction and label agree.
    """

    index: int
    image_png_base64: str | None = None
    label: str | None = None
    prediction: str | None = None
    correct: bool | None = None


class DataPreview(_Report):
    """First look at a data set with the model: sizes, samples, and the original's metric on a part of it."""

    train_samples: int | None = None
    test_samples: int | None = None
    input_shape: tuple[int, ...] = ()
    classes: int | None = None
    samples: tuple[SamplePreview, ...] = ()
    metric: MetricMeasurement | None = None
    notes: tuple[str, ...] = ()


class OfferedMetric(_Report):
    """A metric that DATA.yaml can name; `plugin` is "" for the program's own."""

    name: str
    title: str
    plugin: str = ""
    against: Literal["targets", "reference"] = "targets"


class OfferedReader(_Report):
    """A reader that DATA.yaml can name.

    Attributes:
        plugin: Id of the plugin that brought it, "" for the program's own.
        suffixes: Endings of the files it is for; () for folders.
        json_schema: Of its own keys in a split.
    """

    name: str
    title: str
    plugin: str = ""
    suffixes: tuple[str, ...] = ()
    json_schema: dict[str, Any] = Field(default_factory=dict)


class ArrayReport(_Report):
    """An array of a NumPy file, as its header says; `dtype` is NumPy's name, e.g. "uint8"."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class ArraysReport(_Report):
    """The arrays of an .npz archive, of an .npy file and those beside it, or of a folder of them.

    Attributes:
        itself: Name of the array that the .npy file is; None for archives and folders.
    """

    arrays: tuple[ArrayReport, ...]
    itself: str | None = None
