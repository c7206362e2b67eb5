"""The field that says what is measured: the original, alone or in turn with candidates."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QWidget

from workbench.project.state import Candidate, Change
from workbench.ui.models import numbers
from workbench.ui.session import Session


class ModelChoice(QComboBox):
    """Follows the selected candidate, unless another choice was made."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setToolTip("Candidates are measured in turn with the original, round by round")
        session.selection.candidateChanged.connect(self._fill)
        session.documentChanged.connect(self._document_changed)
        self._fill()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What is to be measured beside the original."""
        chosen: tuple[Candidate, ...] = self.currentData() or ()
        return chosen

    def _fill(self, selected: object = None) -> None:
        there = tuple(entry for entry in self._session.state.candidates if not entry.deleted)
        offers: list[tuple[str, tuple[Candidate, ...]]] = [("The original alone", ())]
        current = self._session.candidate()
        if current is not None and not current.deleted:
            offers.insert(0, (f"The original and {current.name}", (current,)))
        starred = tuple(entry for entry in there if entry.star)
        if starred:
            offers.append((f"The original and {numbers.plural(len(starred), 'starred candidate')}", starred))
        if there:
            offers.append((f"The original and {numbers.plural(len(there), 'candidate')}", there))
        # A choice that does not follow the selection stays.
        kept = self.currentText() if self.currentIndex() > 0 else ""
        self.clear()
        for title, chosen in offers:
            self.addItem(title, chosen)
        self.setCurrentIndex(max(self.findText(kept), 0))

    def _document_changed(self, change: Change) -> None:
        if change & (Change.CANDIDATES | Change.MODEL):
            self._fill()
