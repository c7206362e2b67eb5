"""Answers a key or click for something that can't be done now: what is missing, and a button that leads there."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject

from workbench.ui.actions import Actions
from workbench.ui.banner import Banner, Notice, Remedy
from workbench.ui.models.reason import Reason
from workbench.ui.session import Session

_KEY = "refused"


class Refusals(QObject):
    """Says in the status bar why an act was refused and, where something leads on, offers it in the banner."""

    def __init__(self, actions: Actions, session: Session, banner: Banner) -> None:
        super().__init__(actions)
        self._actions = actions
        self._session = session
        self._banner = banner
        self._refused: tuple[str, str] | None = None
        actions.refused.connect(self._say)
        actions.refreshed.connect(self._take_back)

    def _say(self, id: str) -> None:
        reason = self._actions.why_not(id)
        if reason is None:
            return
        said = f"{self._actions.title(id).rstrip('…')}: {reason[:1].lower()}{reason[1:]}"
        self._session.said.emit(said)
        way = reason.way if isinstance(reason, Reason) else ""
        if way:
            remedy = Remedy(self._actions.title(way), partial(self._actions.trigger, way))
            self._refused = id, reason
            self._banner.show_notice(Notice(said, kind="warning", key=_KEY, remedies=(remedy,)))

    def _take_back(self) -> None:
        """Put the notice away once what it asked for is there, even if now something else is missing."""
        if self._refused is not None and self._actions.why_not(self._refused[0]) != self._refused[1]:
            self._refused = None
            self._banner.withdraw(_KEY)
