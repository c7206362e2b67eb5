"""The words for why something can't be done now, which also know the way on."""

from __future__ import annotations


class Reason(str):
    """A sentence for tooltips and messages, e.g. "Choose data first".

    Attributes:
        way: Id of the act that leads on, e.g. "data.choose"; "" where there is none.
    """

    way: str

    def __new__(cls, text: str, way: str = "") -> Reason:
        """Return the sentence with its way."""
        reason = super().__new__(cls, text)
        reason.way = way
        return reason
