"""Decodes image files one batch at a time, the shared half of the readers whose samples are single files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.data.readers._base import Indices, Source
from workbench.domain.errors import DataError

ImageMode = Literal["RGB", "L"]
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageFiles(Source):
    """Image files as uint8 samples (N, H, W, C); grey ones (mode "L") as (N, H, W, 1)."""

    key: str
    images: tuple[Path, ...]
    labels: np.ndarray | None
    names: tuple[str, ...]
    mode: ImageMode
    resize: tuple[int, int] | None
    where: str
    extra_files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def keys(self) -> tuple[str, ...]:
        """The one input."""
        return (self.key,)

    def read(self, indices: Indices) -> dict[str, np.ndarray]:
        """Decode the samples, resized where the description asks for it (bilinear).

        Raises:
            DataError: a file is no image, is cut off, or differs in size from the others; names the file.
        """
        decoded = [self._decode(self.images[index]) for index in indices]
        for index, image in zip(indices, decoded, strict=True):
            if image.shape != decoded[0].shape:
                raise DataError(
                    f"{self.images[index].name} is {image.shape[0]}×{image.shape[1]} pixels",
                    where=self.where,
                    expected=f"{decoded[0].shape[0]}×{decoded[0].shape[1]} like the images before it",
                    action="Add preprocess.resize: [height, width].",
                )
        return {self.key: np.stack(decoded)}

    def _decode(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                converted = image.convert(self.mode)
                if self.resize is not None and converted.size != self.resize[::-1]:
                    converted = converted.resize(self.resize[::-1], Image.Resampling.BILINEAR)
                pixels = np.asarray(converted)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path} can't be decoded", where=self.where, found=str(error)) from error
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    @property
    def targets(self) -> np.ndarray | None:
        """The labels."""
        return self.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label."""
        return self.names

    @property
    def files(self) -> tuple[Path, ...]:
        """Every image and the files that list them."""
        return (*self.extra_files, *self.images)
