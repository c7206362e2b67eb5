"""Ranks titles by a few typed letters, so that "mssw" finds "Measure sensitivity of weight bits"."""

from __future__ import annotations

_START_OF_WORD = 8
_ADJACENT = 5
_SKIPPED = 1
_FIRST = 4


def score(query: str, title: str) -> float | None:
    """Return how well `title` matches, higher is better; None where a letter of the query is missing.

    Every letter must occur in order; starts of words and neighbouring letters count most, long titles a little less.
    """
    letters = [letter for letter in query.lower() if not letter.isspace()]
    if not letters:
        return 0.0
    text = title.lower()
    best: dict[int, float] = {}
    for place, letter in enumerate(text):
        if letter == letters[0]:
            best[place] = _worth(text, place) + (_FIRST if place == 0 else 0)
    for letter in letters[1:]:
        following: dict[int, float] = {}
        for place in range(1, len(text)):
            if text[place] != letter:
                continue
            reached = [
                worth + (_ADJACENT if place == before + 1 else -min(_SKIPPED * (place - before - 1), 4) / 4)
                for before, worth in best.items()
                if before < place
            ]
            if reached:
                following[place] = max(reached) + _worth(text, place)
        best = following
    return max(best.values()) - len(text) / 100 if best else None


def _worth(text: str, place: int) -> float:
    return _START_OF_WORD if place == 0 or not text[place - 1].isalnum() else 1.0
