"""A file of what was measured on one device: found again by processor, runtime and threads, and never half written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from workbench.domain.measurements import DeviceDescription


class DeviceFile:
    """One kind of measurements of one device.

    Args:
        folder: Where the file lies, or None to remember nothing.
        device: Whose measurements they are.
        version: Of what the file holds; those of other versions are not found.
        kind: What its name ends with, before ".json".
    """

    def __init__(self, folder: Path | None, device: DeviceDescription, version: int, kind: str = "") -> None:
        name = hashlib.sha256(f"{version} {device.model_dump_json()}".encode()).hexdigest()[:16]
        self._path = None if folder is None else folder / f"{name}{kind}.json"

    def read(self) -> str | None:
        """Return the file's text; None where there is none, or one that can't be read: it can be made again."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, text: str) -> None:
        """Replace the file's text.

        Raises:
            OSError: it can't be written.
        """
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, self._path)
