"""Reads text as windows of token ids with the next token as target, for language models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from workbench.data.readers._base import Indices, Reader, ReaderOptions, Request, Source
from workbench.data.readers.npy import mapped_array
from workbench.domain.errors import DataError


class TextOptions(ReaderOptions):
    """The reader's keys.

    Attributes:
        length: Tokens of one sample; the model's own length where that is fixed and this is not given.
        stride: Distance between the starts of two samples; `length` without it.
        vocabulary: JSON file {token: id} or text file with one token a line (id = line); tokens are single characters
            and "<unk>" stands for all others. Without it a token is a byte.
    """

    length: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    vocabulary: str | None = None


@dataclass(frozen=True)
class TokenWindows(Source):
    """Windows over one long run of tokens: inputs (N, L) and, one token further, targets (N, L), both int64."""

    key: str
    tokens: np.ndarray
    length: int
    stride: int
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return (len(self.tokens) - self.length - 1) // self.stride + 1

    @property
    def keys(self) -> tuple[str, ...]:
        """The one input."""
        return (self.key,)

    def _windows(self, offset: int) -> np.ndarray:
        """Return the overlapping view (N, L) that starts `offset` tokens in; it copies nothing."""
        view = np.lib.stride_tricks.sliding_window_view(self.tokens[offset:], self.length)
        return view[:: self.stride][: len(self)]

    def read(self, indices: Indices) -> dict[str, np.ndarray]:
        """Copy the windows at `indices`."""
        return {self.key: self._windows(0)[indices].astype(np.int64)}

    @property
    def targets(self) -> np.ndarray:
        """The next token at every position."""
        return self._windows(1)

    @property
    def files(self) -> tuple[Path, ...]:
        """Text and vocabulary."""
        return self.paths


class TextReader(Reader):
    """`{reader: text, path: corpus.txt, length: 128}`; a .npy file of token ids is taken as it is."""

    name = "text"
    title = "Text"
    suffixes = (".txt",)
    Options = TextOptions

    def open(self, request: Request) -> TokenWindows:
        """Turn the text into tokens."""
        options: TextOptions = self.options(request)
        path = request.path()
        where = f"{request.where} ({path.name})"
        paths = [path]
        if path.suffix == ".npy":
            tokens = mapped_array(path, where)
            if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
                raise DataError(
                    "does not hold token ids",
                    where=where,
                    expected="integers (T,)",
                    found=f"{tokens.dtype} {tokens.shape}",
                )
        elif options.vocabulary is not None:
            vocabulary = request.resolve(options.vocabulary, f"{request.where}.vocabulary")
            paths.append(vocabulary)
            tokens = _encode(path, _vocabulary(vocabulary), where)
        else:
            tokens = np.frombuffer(path.read_bytes(), np.uint8)
        length = options.length or _model_length(request) or 128
        if len(tokens) < length + 1:
            raise DataError(
                "is too short for one sample", where=where, expected=f"{length + 1} tokens", found=str(len(tokens))
            )
        key = request.keys[0] if request.keys else "tokens"
        return TokenWindows(key, tokens, length, options.stride or length, tuple(paths))


def _model_length(request: Request) -> int | None:
    shape = request.model_inputs[0].shape if len(request.model_inputs) == 1 else None
    size = shape[1] if shape is not None and len(shape) == 2 else None
    return size if isinstance(size, int) else None


def _vocabulary(path: Path) -> dict[str, int]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            found = {str(token): int(number) for token, number in json.loads(text).items()}
        else:
            found = {token: number for number, token in enumerate(text.split("\n")) if token}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path.name} is not a vocabulary", expected="JSON {token: id} or a token a line", found=str(error)
        ) from error
    return found


def _encode(path: Path, vocabulary: dict[str, int], where: str) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", where=where, found=str(error)) from error
    unknown = vocabulary.get("<unk>")
    missing = next((char for char in text if char not in vocabulary), None)
    if missing is not None and unknown is None:
        raise DataError(
            f"character {missing!r} is not in the vocabulary", where=where, action='Add it, or add a token "<unk>".'
        )
    return np.fromiter((vocabulary.get(char, unknown or 0) for char in text), np.int32, len(text))
