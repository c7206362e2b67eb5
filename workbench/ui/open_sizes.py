"""Says that sizes of a model's inputs are not set, when it is opened and when a job needs them; leads to the dialog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject

from workbench.domain.dimensions import FreeDimension, free_dimensions, unset_dimensions
from workbench.domain.errors import OpenDimensionsError, WorkbenchError
from workbench.project.document import Document
from workbench.project.state import Change
from workbench.ui.banner import Banner, Notice, Remedy, notice_of
from workbench.ui.models.reason import Reason
from workbench.ui.session import Session

_KEY = "open-sizes"
_SHOWN = 4


class OpenSizes(QObject):
    """Keeps one notice in the banner for as long as sizes are missing, and takes it away once they are set."""

    def __init__(self, session: Session, banner: Banner, ask: Callable[[], object], parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._banner = banner
        self._remedy = Remedy("Set sizes…", ask)
        self._told: tuple[Document, tuple[FreeDimension, ...]] | None = None
        session.documentChanged.connect(self._look)
        session.failed.connect(self.show_error)

    def show_error(self, error: WorkbenchError) -> None:
        """Show an error in the banner; one of missing sizes with the way to set them."""
        if not isinstance(error, OpenDimensionsError) or not self._missing():
            self._banner.show_error(error)
            return
        # The command line's way of giving sizes is none for somebody who sits before a window.
        said = notice_of(OpenDimensionsError(error.message, where=error.where, action="Set them and do it again."))
        self._banner.show_notice(Notice(said.title, said.text, key=_KEY, remedies=(self._remedy,)))

    def _missing(self) -> tuple[FreeDimension, ...]:
        state = self._session.state
        return () if state.inspect is None else unset_dimensions(state.inspect.inputs, state.dimensions)

    def _look(self, change: Change) -> None:
        state = self._session.state
        if not change & Change.MODEL or (state.model is not None and state.inspect is None):
            return
        missing = self._missing()
        told, self._told = self._told, (self._session.document, missing)
        if told is not None and told[0] is self._session.document and told[1] == missing:
            return
        self._banner.withdraw(_KEY)
        if not missing or state.model is None:
            return
        names = [entry.key for entry in missing[:_SHOWN]]
        listed = ", ".join(names) if len(missing) <= _SHOWN else f"{', '.join(names)} and {len(missing) - _SHOWN} more"
        self._banner.show_notice(
            Notice(
                f"The model leaves {'a size' if len(missing) == 1 else 'sizes'} open: {listed}",
                f"{Path(state.model.path).name}. What depends on them counts as zero in costs, and latency can't be "
                "measured until they are set.",
                kind="warning",
                key=_KEY,
                remedies=(self._remedy,),
            )
        )


def why_no_sizes(session: Session) -> Reason | None:
    """Return why there are no sizes to set, or None."""
    reason = session.missing("model")
    if reason is not None or session.state.inspect is None:
        return reason
    return None if free_dimensions(session.state.inspect.inputs) else Reason("All sizes of this model are fixed")
