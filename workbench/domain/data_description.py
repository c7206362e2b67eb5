"""DATA.yaml as a value: task, metric, where samples lie and how they are preprocessed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Split(BaseModel):
    """Where the samples of one split lie.

    Attributes:
        reader: Name of a reader ("npz", "npy", "idx", "image_folder", "csv", "text", "random" or a plugin's).
        path: File or folder; relative paths are relative to the DATA.yaml.
        inputs: Array key (or column) of the input, or a mapping from model input name to key.
        targets: Array key, file or column of the labels, or None.

    Further keys are the reader's own (checked by the reader).
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    reader: str
    path: str | None = None
    inputs: str | dict[str, str] | None = None
    targets: str | None = None


class Preprocess(BaseModel):
    """Applied to every sample in this order: resize, scale (divide), mean and std (per channel), layout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float | None = Field(default=None, gt=0)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Literal["NHWC->NCHW", "NCHW->NHWC", "HW->NCHW", "none"] | None = None
    resize: tuple[int, int] | None = None
    dtype: Literal["float32", "float16", "int64", "uint8"] | None = None


class Crop(BaseModel):
    """Random crop after zero padding of `crop` pixels on each side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: int = Field(ge=1)


class DataDescription(BaseModel):
    """The content of DATA.yaml; `folder` is where its relative paths start (in a file: relative to that file)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["classification", "regression", "segmentation", "language", "outputs"] = "classification"
    metric: str = "top1"
    train: Split | None = None
    test: Split | None = None
    preprocess: Preprocess = Preprocess()
    augment: tuple[Literal["flip"] | Crop, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)
    folder: str = "."

    @model_validator(mode="before")
    @classmethod
    def _metric_of_task(cls, content: Any) -> Any:
        """Fill in the task's usual metric where none is named."""
        if isinstance(content, dict) and "metric" not in content:
            usual = {"regression": "mse", "segmentation": "miou", "language": "perplexity", "outputs": "sqnr"}
            metric = usual.get(str(content.get("task")))
            return content if metric is None else {**content, "metric": metric}
        return content
