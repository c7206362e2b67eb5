"""Reads a folder with one subfolder per class, the most common way to keep labelled pictures."""

from __future__ import annotations

import numpy as np

from workbench.data.readers._base import Reader, ReaderOptions, Request
from workbench.data.readers._images import SUFFIXES, ImageFiles, ImageMode
from workbench.domain.errors import DataError


class ImageFolderOptions(ReaderOptions):
    """`mode`: "RGB" or "L" (grey). `classes`: folder names in label order; alphabetical without it."""

    mode: ImageMode = "RGB"
    classes: tuple[str, ...] = ()


class ImageFolderReader(Reader):
    """`{reader: image_folder, path: folder}`: labels are the subfolders in alphabetical order."""

    name = "image_folder"
    title = "Folder of images"
    Options = ImageFolderOptions

    def open(self, request: Request) -> ImageFiles:
        """List the images; a folder without subfolders gives samples without labels."""
        options: ImageFolderOptions = self.options(request)
        root = request.path()
        where = f"{request.where} ({root.name})"
        if not root.is_dir():
            raise DataError(f"{root} is not a folder", where=where, expected="a folder with one subfolder per class")
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        names = options.classes or tuple(path.name for path in folders)
        missing = [name for name in names if not (root / name).is_dir()]
        if missing:
            raise DataError(
                f"no folder {missing[0]!r} in {root.name}",
                where=f"{request.where}.classes",
                expected="one of " + ", ".join(path.name for path in folders),
            )
        labelled = [
            (path, label)
            for label, name in enumerate(names)
            for path in sorted((root / name).rglob("*"))
            if path.suffix.lower() in SUFFIXES
        ]
        if not names:
            labelled = [(path, 0) for path in sorted(root.iterdir()) if path.suffix.lower() in SUFFIXES]
        if not labelled:
            raise DataError(
                "holds no image files", where=where, expected=f"files ending in {', '.join(SUFFIXES[:3])} …"
            )
        return ImageFiles(
            key=request.keys[0] if request.keys else "image",
            images=tuple(path for path, _ in labelled),
            labels=np.array([label for _, label in labelled], np.int64) if names else None,
            names=names,
            mode=options.mode,
            resize=request.resize,
            where=where,
        )
