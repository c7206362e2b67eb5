"""Makes random samples of the model's input shapes, for when there is a model but no data yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from workbench.data.readers._base import Indices, Reader, ReaderOptions, Request, Source
from workbench.domain.errors import DataError


class RandomOptions(ReaderOptions):
    """The reader's keys.

    Attributes:
        samples: How many there are.
        shape: Of one sample, without the batch; the model's own where it is fixed. By input name for several inputs.
        seed: Of the samples.
        high: Integer inputs are drawn from 0 to high - 1; float ones are standard normal.
    """

    samples: int = Field(default=256, ge=1)
    shape: tuple[int, ...] | dict[str, tuple[int, ...]] | None = None
    seed: int = Field(default=0, ge=0)
    high: int = Field(default=2, ge=1)


@dataclass(frozen=True)
class RandomSamples(Source):
    """Every sample comes from its own seed, so that any order and batch size gives the same samples."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    options: RandomOptions

    def __len__(self) -> int:
        return self.options.samples

    @property
    def keys(self) -> tuple[str, ...]:
        """The model's inputs."""
        return tuple(self.shapes)

    def read(self, indices: Indices) -> dict[str, np.ndarray]:
        """Draw the samples at `indices`."""
        found: dict[str, list[np.ndarray]] = {key: [] for key in self.shapes}
        for index in indices:
            rng = np.random.default_rng([self.options.seed, int(index)])
            for key, shape in self.shapes.items():
                if self.dtypes[key].startswith(("int", "uint")):
                    found[key].append(rng.integers(0, self.options.high, shape).astype(self.dtypes[key]))
                elif self.dtypes[key] == "bool":
                    found[key].append(rng.integers(0, 2, shape).astype(bool))
                else:
                    found[key].append(rng.standard_normal(shape, dtype=np.float32))
        return {key: np.stack(values) for key, values in found.items()}

    @property
    def targets(self) -> None:
        """There are no labels."""
        return

    @property
    def files(self) -> tuple[Path, ...]:
        """It reads no files."""
        return ()

    def fingerprint(self) -> str:
        """Return a hash of shapes and options."""
        content = [self.shapes, self.dtypes, self.options.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class RandomReader(Reader):
    """`{reader: random, samples: 64, shape: [3, 32, 32]}`, for `task: outputs`."""

    name = "random"
    title = "Random samples (no data)"
    Options = RandomOptions

    def open(self, request: Request) -> RandomSamples:
        """Take shapes from the options, or from the model.

        Raises:
            DataError: neither says the shape.
        """
        options: RandomOptions = self.options(request)
        inputs = {info.name: info for info in request.model_inputs}
        keys = tuple(request.keys) or tuple(inputs) or ("x",)
        shapes: dict[str, tuple[int, ...]] = {}
        for key in keys:
            given = options.shape.get(key) if isinstance(options.shape, dict) else options.shape
            shape = inputs[key].shape if given is None and key in inputs else None
            rest = given if given is not None else None if shape is None else shape[1:]
            if rest is None or not all(isinstance(size, int) and size > 0 for size in rest):
                raise DataError(
                    f"the shape of input {key!r} is not known",
                    where=f"{request.where}.shape",
                    expected="a list of sizes without the batch, such as [3, 224, 224]",
                    found="nothing" if rest is None else str(list(rest)),
                )
            shapes[key] = tuple(int(size) for size in rest if isinstance(size, int))
        dtypes = {key: (inputs[key].dtype if key in inputs else None) or "float32" for key in keys}
        return RandomSamples(shapes, dtypes, options)
