"""Which candidates are looked at: words, tags, and bounds on measures; all views of candidates share one filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workbench.ui.models.candidate_table import CandidateRow, CandidateTable
from workbench.ui.models.measures import Key

STARRED = "starred"
"""The word that finds starred candidates; a tag is found by "#tag"."""


@dataclass(frozen=True)
class Bound:
    """Least and most of a measure as its axis shows it; None where there is none."""

    key: Key
    low: float | None = None
    high: float | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a value is within; one that is not known is not."""
        if value is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class CandidateFilter:
    """What the user looks for.

    Attributes:
        words: All of them must be found.
        bounds: All of them must hold.
    """

    words: str = ""
    bounds: tuple[Bound, ...] = ()

    @property
    def active(self) -> bool:
        """Whether it leaves anything out at all."""
        return bool(self.words.strip() or self.bounds)

    def bound(self, key: Key) -> Bound | None:
        """Return the bound on a measure."""
        return next((bound for bound in self.bounds if bound.key == key), None)

    def with_bound(self, bound: Bound) -> CandidateFilter:
        """Return the filter with a bound in place of the one on the same measure; one without ends takes it away."""
        kept = tuple(other for other in self.bounds if other.key != bound.key)
        return replace(self, bounds=kept if bound.low is None and bound.high is None else (*kept, bound))

    def left_out(self, table: CandidateTable) -> frozenset[str]:
        """Return the ids of the candidates that it leaves out; the original is always shown."""
        return frozenset(row.id for row in table.rows if not row.is_baseline and not self.passes(table, row))

    def passes(self, table: CandidateTable, row: CandidateRow) -> bool:
        """Whether a row has all words and keeps all bounds."""
        words = self.words.casefold().split()
        return all(_found(word, row) for word in words) and all(
            bound.holds(table.value(row, bound.key)) for bound in self.bounds
        )


def tags_of(text: str) -> tuple[str, ...]:
    """Return the tags that a line names, separated by blanks or commas, each once and without "#"."""
    words = (word.strip().lstrip("#") for word in text.replace(",", " ").split())
    return tuple(dict.fromkeys(word for word in words if word))


def tags_text(tags: Iterable[str]) -> str:
    """Return tags as they are shown and edited."""
    return " ".join(f"#{tag}" for tag in tags)


def _found(word: str, row: CandidateRow) -> bool:
    if word.startswith("#"):
        return any(tag.casefold().startswith(word[1:]) for tag in row.tags)
    if row.star and (STARRED.startswith(word) or word == "★"):
        return True
    return word in f"{row.name} {row.steps} {row.note} {' '.join(row.tags)}".casefold()
