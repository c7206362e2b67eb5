"""Reads a CSV manifest (file,label): for pictures that lie anywhere, and labels that are numbers or names."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from workbench.data.readers._base import Reader, ReaderOptions, Request
from workbench.data.readers._images import ImageFiles, ImageMode
from workbench.domain.errors import DataError


class CsvOptions(ReaderOptions):
    """`mode`: "RGB" or "L". `classes`: label names in label order, where labels are words; alphabetical without it."""

    mode: ImageMode = "RGB"
    classes: tuple[str, ...] = ()


class CsvReader(Reader):
    """`{reader: csv, path: manifest.csv, inputs: file, targets: label}`; paths are relative to the manifest."""

    name = "csv"
    title = "CSV list of images"
    suffixes = (".csv",)
    Options = CsvOptions

    def open(self, request: Request) -> ImageFiles:
        """Read the manifest; a column "label" is taken as targets unless DATA.yaml names another."""
        options: CsvOptions = self.options(request)
        path = request.path()
        where = f"{request.where} ({path.name})"
        header, rows = _rows(path, where)
        column = request.keys[0] if request.keys else header[0]
        target = request.split.targets or ("label" if "label" in header else None)
        for place, name in (("inputs", column), ("targets", target)):
            if name is not None and name not in header:
                raise DataError(
                    f"no column {name!r} in {path.name}",
                    where=f"{request.where}.{place}",
                    expected="one of " + ", ".join(header),
                )
        images = tuple(path.parent / row[header.index(column)] for row in rows)
        for line, image in enumerate(images, start=2):
            if not image.is_file():
                raise DataError(f"{image} does not exist", where=f"{where} line {line}")
        labels, names = None, options.classes
        if target is not None:
            texts = [row[header.index(target)].strip() for row in rows]
            labels, names = _labels(texts, options.classes, request.task, f"{where} column {target!r}")
        return ImageFiles(column, images, labels, names, options.mode, request.resize, where, (path,))


def _rows(path: Path, where: str) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is not a readable CSV file", where=where, found=str(error)) from error
    if len(lines) < 2:
        raise DataError("lists no samples", where=where, expected="a header line such as file,label and one line each")
    header = [name.strip() for name in lines[0]]
    for number, row in enumerate(lines[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"line {number} has {len(row)} fields", where=where, expected=f"{len(header)} as in the header"
            )
    return header, lines[1:]


def _labels(texts: list[str], classes: tuple[str, ...], task: str, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels as integers (classes), or as floats (regression), and the class names."""
    if task == "regression":
        try:
            return np.array([float(text) for text in texts], np.float32), ()
        except ValueError as error:
            raise DataError("not a number", where=where, found=str(error)) from error
    if not classes and all(text.lstrip("-").isdigit() for text in texts):
        return np.array([int(text) for text in texts], np.int64), ()
    names = classes or tuple(sorted(set(texts)))
    positions = {name: label for label, name in enumerate(names)}
    unknown = next((text for text in texts if text not in positions), None)
    if unknown is not None:
        raise DataError(f"label {unknown!r} is not among the classes", where=where, expected=", ".join(names))
    return np.array([positions[text] for text in texts], np.int64), names
