"""Keeps a study's results as they come, one JSON line each, so that a kill loses the trials in flight only.

In the study's folder: `journal.jsonl`, `candidates/<sha256>.onnx` with the recipe beside it, `sensitivities/`, `steps/`
(step results by content hash, with the epochs of an unfinished training), and `front.json`, the report so far.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workbench.domain.errors import BadInputError, StorageError
from workbench.domain.knobs import Setting
from workbench.domain.measurements import Ratio
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport
from workbench.domain.search_reports import FailedTrial, Foretold
from workbench.graph.storage import model_sha256
from workbench.methods.recipe_file import write_recipe
from workbench.methods.search.space import key_of

_NAME: Final = "journal.jsonl"
_VERSION: Final = 1
# A trial that took the program down so often is not tried again.
_MOST_BEGINNINGS: Final = 2


@dataclass(frozen=True)
class Finished:
    """A candidate that is in the folder, with what was foretold of it."""

    settings: dict[str, dict[str, Setting]]
    report: CandidateReport
    recipe_path: str
    bitops: float | None = None
    foretold: Foretold | None = None


class Journal:
    """A study's folder.

    Args:
        folder: Made if it does not exist.
        identity: Of the study (`Study.identity`).
        model_sha256: Of the original.

    Raises:
        BadInputError: the folder holds another study, one of another model, or something else.
        StorageError: it can't be written.
    """

    def __init__(self, folder: Path, identity: str, model_sha256: str) -> None:
        self.folder = folder
        self._path = folder / _NAME
        self.timed: dict[str, Ratio] = {}
        self.finished: list[Finished] = []
        self.failed: list[FailedTrial] = []
        self.seconds = 0.0
        self._begun: Counter[str] = Counter()
        header = {"type": "study", "version": _VERSION, "study": identity, "model": model_sha256}
        try:
            if folder.exists() and not folder.is_dir():
                raise BadInputError("this is a file", where=str(folder), expected="a folder for the study")
            for name in ("candidates", "sensitivities"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the folder {folder} can't be made", found=error.strerror or str(error)) from error
        lines = self._lines()
        if not lines:
            self._add(header)
        elif {key: lines[0].get(key) for key in header} != header:
            what = "model" if lines[0].get("study") == identity else "study"
            raise BadInputError(
                f"the folder holds the results of another {what}",
                where=str(folder),
                expected="an empty folder, or the one that this study began in",
                action="Choose another --out. Budgets, objectives, knobs in play, strategy and stop may change within "
                "one folder; model, data, seed, plan, steps, device, threads and batch may not.",
            )
        for line in lines[1:]:
            self._take(line)

    @property
    def crashed(self) -> list[str]:
        """Keys of trials that ended the program as often as is let pass."""
        return [key for key, count in self._begun.items() if count >= _MOST_BEGINNINGS]

    @property
    def steps(self) -> Path:
        """Folder of step results."""
        return self.folder / "steps"

    @property
    def sensitivities(self) -> Path:
        """Folder of sensitivities."""
        return self.folder / "sensitivities"

    def working_file(self) -> Path:
        """Return a place for a candidate that is being built."""
        return self.folder / "candidates" / f"building-{secrets.token_hex(8)}.onnx"

    def time(self, signature: str, ratio: Ratio) -> None:
        """Keep a structure's measured time."""
        self.timed[signature] = ratio
        self._add({"type": "timed", "signature": signature, "ratio": ratio.model_dump(mode="json")})

    def begin(self, settings: Mapping[str, Mapping[str, Setting]]) -> None:
        """Note that a trial is under way."""
        self._add({"type": "begun", "key": key_of(settings)})

    def drop(self, settings: Mapping[str, Mapping[str, Setting]]) -> None:
        """Note that a trial was given up for no fault of its own."""
        self._begun.pop(key_of(settings), None)
        self._add({"type": "dropped", "key": key_of(settings)})

    def fail(self, failed: FailedTrial) -> None:
        """Keep a trial that came to nothing."""
        self.failed.append(failed)
        self._begun.pop(key_of(failed.settings), None)
        self._add({"type": "failed", "trial": failed.model_dump(mode="json")})

    def finish(
        self,
        settings: dict[str, dict[str, Setting]],
        report: CandidateReport,
        recipe: Recipe,
        bitops: float | None,
        foretold: Foretold | None,
    ) -> Finished:
        """Move a candidate to its place by content, write its recipe beside it, and keep what was measured.

        Raises:
            StorageError: the folder can't be written.
        """
        place = self.folder / "candidates" / f"{report.candidate.sha256}.onnx"
        built = Path(report.candidate.path)
        recipe_path = place.with_name(f"{report.candidate.sha256}-{recipe.sha256()[:12]}.yaml")
        try:
            os.replace(built, place)
        except OSError as error:
            raise StorageError(f"{place} can't be written", found=error.strerror or str(error)) from error
        write_recipe(recipe, recipe_path)
        finished = Finished(settings, _at(report, str(place)), str(recipe_path), bitops, foretold)
        self.finished.append(finished)
        self._begun.pop(key_of(settings), None)
        self._add(
            {
                "type": "finished",
                "settings": settings,
                "report": finished.report.model_dump(mode="json"),
                "recipe": recipe_path.name,
                "bitops": bitops,
                "foretold": None if foretold is None else foretold.model_dump(mode="json"),
            }
        )
        return finished

    def end(self, seconds: float) -> None:
        """Add a run's wall time."""
        self._add({"type": "ended", "seconds": seconds})

    def write_front(self, report: Mapping[str, Any]) -> None:
        """Write the report so far, whole or not at all."""
        place = self.folder / "front.json"
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
            os.replace(part, place)
        except OSError as error:
            raise StorageError(f"{place} can't be written", found=error.strerror or str(error)) from error

    def tidy(self) -> None:
        """Remove what trials in flight left when they were killed."""
        for leftover in (self.folder / "candidates").glob("building-*.onnx"):
            leftover.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        """Return what the journal holds; a last line that a kill cut short is left out, and cut off."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path} can't be read", found=error.strerror or str(error)) from error
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        found = []
        for number, line in enumerate(whole.decode("utf-8", "replace").splitlines(), 1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise BadInputError(
                    "the journal is damaged", where=f"{self._path} line {number}", action="Choose another --out."
                ) from error
            if isinstance(entry, dict):
                found.append(entry)
        return found

    def _take(self, line: dict[str, Any]) -> None:
        match line.get("type"):
            case "timed":
                self.timed[line["signature"]] = Ratio.model_validate(line["ratio"])
            case "begun":
                self._begun[line["key"]] += 1
            case "dropped":
                self._begun.pop(line["key"], None)
            case "failed":
                failed = FailedTrial.model_validate(line["trial"])
                self._begun.pop(key_of(failed.settings), None)
                self.failed.append(failed)
            case "ended":
                self.seconds += float(line["seconds"])
            case "finished":
                self._take_finished(line)

    def _take_finished(self, line: dict[str, Any]) -> None:
        report = CandidateReport.model_validate(line["report"])
        place = self.folder / "candidates" / f"{report.candidate.sha256}.onnx"
        self._begun.pop(key_of(line["settings"]), None)
        # Who removed or changed the file wants it made again.
        if not place.is_file() or model_sha256(place) != report.candidate.sha256:
            return
        foretold = line.get("foretold")
        self.finished.append(
            Finished(
                line["settings"],
                _at(report, str(place)),
                str(place.with_name(line["recipe"])),
                line.get("bitops"),
                None if foretold is None else Foretold.model_validate(foretold),
            )
        )

    def _add(self, entry: Mapping[str, Any]) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self._path} can't be written", found=error.strerror or str(error)) from error


def _at(report: CandidateReport, path: str) -> CandidateReport:
    """Return the report of a file that was moved to `path`."""
    changed: dict[str, Any] = {"candidate": report.candidate.model_copy(update={"path": path})}
    if report.latency is not None and report.latency_report is not None:
        latency = report.latency.model_copy(update={"path": path})
        changed["latency"] = latency
        first = report.latency_report.models[0]
        changed["latency_report"] = report.latency_report.model_copy(update={"models": (first, latency)})
    return report.model_copy(update=changed)
