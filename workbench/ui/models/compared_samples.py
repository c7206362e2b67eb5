"""The samples that a candidate predicts otherwise than the original: which are shown, and what they say."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.domain.comparison_reports import ComparedSample, ComparisonReport
from workbench.ui.models import numbers

Wanted = Literal["all", "worse", "better", "other"]
WANTED_TITLES: dict[Wanted, str] = {
    "all": "All",
    "worse": "Worse",
    "better": "Better",
    "other": "Other",
}
_ARROW = "\N{RIGHTWARDS ARROW}"
_PLACES = {"segmentation": "pixels", "language": "tokens"}
_MOVED_IN_FULL = {
    "segmentation": "{} % of its pixels are predicted otherwise",
    "language": "{} % of its tokens are predicted otherwise",
}
_ENERGY = "The difference has {} % of the output's energy"


@dataclass(frozen=True)
class Thumbnail:
    """One picture with its words; `bad` ones are a loss."""

    picture: str | None
    caption: str
    tip: str
    bad: bool = False


@dataclass(frozen=True)
class ChangedSamples:
    """What the grid shows.

    Attributes:
        thumbnails: In the order of the report, those with pictures.
        counts: How many there are of each kind in all; those without a verdict count as "all" only.
        said: What is shown of how many, in a sentence.
    """

    thumbnails: tuple[Thumbnail, ...]
    counts: dict[Wanted, int]
    said: str


def changed_samples(report: ComparisonReport, number: int, wanted: Wanted) -> ChangedSamples:
    """Return the samples to show of candidate `number`, from 0."""
    model = report.models[number + 1]
    counts: dict[Wanted, int] = {"all": model.changed}
    judged = any(entry.verdicts for entry in report.changed)
    if judged:
        counts |= {"worse": model.worse, "better": model.better, "other": model.other}
    own = [entry for entry in report.changed if _belongs(entry, number, wanted)]
    # The surest changes of this candidate first; where no sample has a picture their words are shown all the same.
    own.sort(key=lambda entry: -entry.moved[number])
    pictured = [entry for entry in own if entry.image_png_base64 is not None] or own[:200]
    total = counts.get(wanted, 0)
    said = f"{numbers.exact_text(len(pictured))} of {numbers.plural(total, 'sample')}, " + (
        "those first that the original was surest of" if judged else "those first that moved most"
    )
    if not total:
        said = "None of the samples."
    return ChangedSamples(tuple(_thumbnail(report, entry, number) for entry in pictured), counts, said)


def samples_csv(report: ComparisonReport, names: Sequence[str]) -> str:
    """Return all samples that changed for any candidate."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    predicted = any(entry.predictions for entry in report.changed)
    head = ["sample", "label"]
    if predicted:
        head += ["Original", *names]
    writer.writerow([*head, *(f"{name} verdict" for name in names), *(f"{name} moved" for name in names)])
    for entry in report.changed:
        verdicts = entry.verdicts or (None,) * len(names)
        writer.writerow(
            [entry.index, entry.label or "", *entry.predictions, *(v or "" for v in verdicts), *entry.moved]
        )
    return out.getvalue()


def _belongs(entry: ComparedSample, number: int, wanted: Wanted) -> bool:
    if entry.verdicts:
        verdict = entry.verdicts[number]
        return verdict is not None and wanted in ("all", verdict)
    return entry.moved[number] > 0


def _thumbnail(report: ComparisonReport, entry: ComparedSample, number: int) -> Thumbnail:
    verdict = entry.verdicts[number] if entry.verdicts else None
    lines = [f"Sample {entry.index}"]
    if entry.label is not None:
        lines.append(f"Label: {entry.label}")
    if entry.predictions:
        before, after = entry.predictions[0], entry.predictions[number + 1]
        lines += [f"Original: {before}", f"Candidate: {after}"]
        if verdict is None:
            caption = f"{before} {_ARROW} {after}" + ("" if entry.label is None else f"\nlabel {entry.label}")
        elif verdict == "worse":
            caption = f"✓ {before}\n✗ {after}"
        elif verdict == "better":
            caption = f"✗ {before}\n✓ {after}"
        else:
            caption = f"✗ {before} {_ARROW} {after}\nlabel {entry.label}"
    else:
        caption = f"Sample {entry.index}\n{_moved(report.task, entry.moved[number])}"
    if verdict is None:
        lines.append(_MOVED_IN_FULL.get(report.task, _ENERGY).format(numbers.fixed(100 * entry.moved[number], 2)))
    return Thumbnail(entry.image_png_base64, caption, "\n".join(lines), bad=verdict == "worse")


def _moved(task: str, moved: float) -> str:
    if task in _PLACES:
        return f"{numbers.fixed(100 * moved, 1)} % of {_PLACES[task]}"
    return f"moved {numbers.fixed(100 * moved, 1)} %"
