"""One split as the model sees it: preprocessed batches in file order or shuffled, and the raw samples behind them.

Notation: N samples; a batch holds n of them; indices always count within this data set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.data.array_guess import guess_arrays
from workbench.data.augment import apply, draw
from workbench.data.preprocess import height_axis, is_image, prepare
from workbench.data.readers._base import Request, Source
from workbench.data.readers.array_headers import list_arrays
from workbench.data.readers.registry import naming_reader, reader_named
from workbench.data.targets import checked_targets
from workbench.domain.data_description import Crop, DataDescription
from workbench.domain.errors import DataError
from workbench.graph.model import ValueInfo

SplitName = Literal["train", "test"]


@dataclass(frozen=True)
class Samples:
    """Preprocessed samples by model input name, and their labels where there are any."""

    inputs: Mapping[str, np.ndarray]
    targets: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class Dataset:
    """Samples of one split, read as they are needed.

    Args:
        description: DATA.yaml.
        split: "train" or "test".
        source: The raw samples.
        mapping: Key of the source for every model input.
        model_inputs: Inputs of the model; () while there is none.
        indices: The part of the source that this data set stands for, or None for all of it.
    """

    def __init__(
        self,
        description: DataDescription,
        split: SplitName,
        source: Source,
        mapping: Mapping[str, str],
        model_inputs: Sequence[ValueInfo] = (),
        indices: np.ndarray | None = None,
    ) -> None:
        self.description = description
        self.split = split
        self.source = source
        self.mapping = dict(mapping)
        self.model_inputs = tuple(model_inputs)
        self._indices = indices
        self._dtypes = {info.name: info.dtype for info in model_inputs}

    def __len__(self) -> int:
        return len(self.source) if self._indices is None else len(self._indices)

    @property
    def positions(self) -> np.ndarray:
        """Of these samples in the split (N,), in order."""
        return self._positions(np.arange(len(self)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label, from the source or from `options.classes`; () if nobody names them."""
        named = self.description.options.get("classes", ())
        return self.source.classes or tuple(str(name) for name in named)

    @property
    def output(self) -> str | None:
        """Model output that the metric looks at (`options.output`); None for the first one."""
        name = self.description.options.get("output")
        return None if name is None else str(name)

    @cached_property
    def _all_targets(self) -> np.ndarray | None:
        return checked_targets(self.source.targets, self.description.task, self.split)

    @property
    def targets(self) -> np.ndarray | None:
        """Labels (N, …) in order, or None."""
        if self._all_targets is None or self._indices is None:
            return self._all_targets
        return np.asarray(self._all_targets[self._indices])

    @property
    def _reader(self) -> str:
        entry = getattr(self.description, self.split)
        return "" if entry is None else str(entry.reader)

    def subset(self, indices: np.ndarray) -> Dataset:
        """Return the data set of these samples only, in this order."""
        inner = np.asarray(indices, np.int64)
        chosen = inner if self._indices is None else self._indices[inner]
        part = Dataset(self.description, self.split, self.source, self.mapping, self.model_inputs, chosen)
        if "_all_targets" in self.__dict__:
            part.__dict__["_all_targets"] = self._all_targets
        return part

    def raw(self, index: int, name: str | None = None) -> np.ndarray:
        """Return one sample of an input (the first one without `name`) as the files hold it."""
        key = next(iter(self.mapping.values())) if name is None else self.mapping[name]
        with naming_reader(self._reader, self.split):
            return np.asarray(self.source.read(self._positions(np.array([index])))[key][0])

    def batches(
        self, batch_size: int, start: int = 0, stop: int | None = None, indices: np.ndarray | None = None
    ) -> Iterator[Samples]:
        """Yield preprocessed batches without augmentation.

        Args:
            batch_size: n of every batch but the last.
            start: First sample.
            stop: End, exclusive; None for N.
            indices: These samples instead of a range.

        Raises:
            DataError: a sample can't be read, or is not finite.
        """
        order = np.arange(start, min(len(self), len(self) if stop is None else stop)) if indices is None else indices
        for begin in range(0, len(order), batch_size):
            yield self._samples(order[begin : begin + batch_size], None)

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Samples]:
        """Yield one augmented epoch in an order that depends on `seed` only; the last batch may be smaller."""
        rng = np.random.default_rng([0x5EED, seed])
        order = rng.permutation(len(self))
        for begin in range(0, len(order), batch_size):
            yield self._samples(order[begin : begin + batch_size], rng)

    def _positions(self, order: np.ndarray) -> np.ndarray:
        return order if self._indices is None else self._indices[order]

    def _samples(self, order: np.ndarray, rng: np.random.Generator | None) -> Samples:
        positions = self._positions(order)
        with naming_reader(self._reader, self.split):
            raw = self.source.read(positions)
        targets = None if self._all_targets is None else np.asarray(self._all_targets[positions])
        for key, array in raw.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                bad = int(positions[np.argmin(np.isfinite(array.reshape(len(array), -1)).all(axis=1))])
                files = [str(path) for path in self.source.files[:1]]
                raise DataError(
                    f"sample {bad} of {key!r} holds NaN or infinity",
                    where=" ".join([self.split, *(f"({path})" for path in files)]),
                    expected="finite numbers",
                    action="Take the sample out (the first is number 0), or write it again.",
                )
        if rng is not None and self.description.augment:
            raw, targets = self._augmented(raw, targets, rng)
        inputs = {
            name: prepare(
                raw[key],
                self.description.preprocess,
                self._dtypes.get(name),
                image=len(self.mapping) == 1 or is_image(raw[key].shape),
                where=f"{self.split}, input {name!r}",
            )
            for name, key in self.mapping.items()
        }
        return Samples(inputs, targets)

    def _augmented(
        self, raw: dict[str, np.ndarray], targets: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Flip and crop all pictures of a sample alike, target maps included."""
        draws = draw(self.description.augment, len(next(iter(raw.values()))), rng)
        changed, sizes = dict(raw), set()
        for key, array in raw.items():
            if is_image(array.shape):
                rows = height_axis(array.shape, self.description.preprocess)
                sizes.add(array.shape[rows : rows + 2])
                changed[key] = apply(array, draws, rows)
        if not sizes:
            raise DataError("augment is for pictures", where="augment", expected="samples (H, W) or (H, W, C)")
        if targets is not None and targets.ndim >= 3:
            rows = height_axis(targets.shape, self.description.preprocess)
            if targets.shape[rows : rows + 2] not in sizes and any(
                isinstance(a, Crop) for a in self.description.augment
            ):
                raise DataError(
                    "crop needs targets of the picture's size", where="augment", found=str(targets.shape[1:])
                )
            segmentation = self.description.task == "segmentation"
            fill = int(self.description.options.get("ignore_label", 255)) if segmentation else 0
            targets = apply(targets, draws, rows, fill=fill)
        return changed, targets

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides the samples: description, files and the chosen part."""
        content = self.description.model_dump(mode="json", exclude={"train", "test", "folder"})
        entry = getattr(self.description, self.split)
        content["split"] = None if entry is None else entry.model_dump(mode="json", exclude={"path"})
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        digest.update(self.source.fingerprint().encode())
        if self._indices is not None:
            digest.update(self._indices.tobytes())
        return digest.hexdigest()


def open_split(description: DataDescription, split: SplitName, model_inputs: Sequence[ValueInfo] = ()) -> Dataset:
    """Open a split of DATA.yaml for a model with these inputs (none while no model is chosen).

    Raises:
        DataError: the split is missing or can't be read, its inputs don't map to the model's, or labels that the
            test split's task needs are missing.
    """
    entry = description.train if split == "train" else description.test
    if entry is None:
        raise DataError(
            f"the data has no {split} split",
            where=split,
            action=f"Add `{split}: {{reader: …, path: …, inputs: …, targets: …}}` to the DATA.yaml.",
        )
    for info in model_inputs:
        if info.dtype == "string":
            raise DataError(
                f"the model's input {info.name!r} takes text",
                where=split,
                expected="a tensor of numbers",
                action="Export the model without its text processing.",
            )
    wanted = _wanted(entry.inputs, model_inputs, split)
    request = Request(
        split=entry,
        where=split,
        folder=Path(description.folder),
        task=description.task,
        model_inputs=tuple(model_inputs),
        resize=description.preprocess.resize,
        keys=tuple(dict.fromkeys(wanted.values())),
    )
    reader = reader_named(entry.reader, split)
    with naming_reader(entry.reader, split):
        source = reader.open(request)
    if split == "test" and description.task != "outputs" and source.targets is None:
        raise DataError(
            f"labels are missing for task {description.task!r}",
            where=f"{split}.targets",
            expected="the array, column or file of the labels",
            action=f"Add {split}.targets{_likely_targets(request)}, or set `task: outputs` to compare with the "
            "original model's outputs.",
        )
    if not wanted:
        names = tuple(info.name for info in model_inputs)
        if not names or set(names) <= set(source.keys):
            wanted = {name: name for name in names or source.keys}
        elif len(names) == 1 and len(source.keys) == 1:
            wanted = {names[0]: source.keys[0]}
        else:
            raise _several(names, split)
    return Dataset(description, split, source, wanted, model_inputs)


def _likely_targets(request: Request) -> str:
    """Return which array the labels may be, as it follows "targets" in a DATA.yaml; "" where nothing stands out."""
    if request.split.reader not in ("npz", "npy"):
        return ""
    split: SplitName = "train" if request.where == "train" else "test"
    found = guess_arrays(list_arrays(request.path()), split=split, task=request.task).targets
    return "" if found is None else f": {found}"


def _wanted(inputs: str | dict[str, str] | None, model_inputs: Sequence[ValueInfo], split: str) -> dict[str, str]:
    """Return the key of every model input, {} where DATA.yaml leaves it to the reader."""
    names = tuple(info.name for info in model_inputs)
    if inputs is None:
        return {}
    if isinstance(inputs, str):
        if len(names) > 1:
            raise _several(names, split)
        return {names[0] if names else inputs: inputs}
    for name in inputs:
        if names and name not in names:
            raise DataError(
                f"the model has no input {name!r}", where=f"{split}.inputs", expected="one of " + ", ".join(names)
            )
    missing = [name for name in names if name not in inputs]
    if missing:
        raise DataError(f"nothing is given for the model's input {missing[0]!r}", where=f"{split}.inputs")
    return dict(inputs)


def _several(names: Sequence[str], split: str) -> DataError:
    return DataError(
        f"the model has {len(names)} inputs",
        where=f"{split}.inputs",
        expected="a mapping such as {" + ", ".join(f"{name}: …" for name in names) + "}",
    )
