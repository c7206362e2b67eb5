"""The document: owner of the current state, its undo history and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.project.commands import Command
from workbench.project.state import Change, ProjectState

Listener = Callable[[Change], None]


class Document:
    """Applies commands, keeps history, stores every change at once and tells listeners what changed.

    All calls come from one thread (the window's, or the command line's).
    """

    def __init__(self, state: ProjectState | None = None) -> None:
        self._state = state or ProjectState()
        self._undo: list[tuple[Command, ProjectState]] = []
        self._redo: list[tuple[Command, ProjectState]] = []
        self._listeners: list[Listener] = []
        self.path: Path | None = None

    @property
    def state(self) -> ProjectState:
        """The current value."""
        return self._state

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every change; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def do(self, command: Command) -> None:
        """Apply an edit, remember it for undo and store it."""
        before = self._state
        after = command.apply(before)
        if after == before:
            return
        self._undo.append((command, before))
        self._redo.clear()
        self._set(after, command.change | Change.HISTORY)

    def undo(self) -> None:
        """Take the last edit back; facts recorded since stay."""
        if self._undo:
            command, before = self._undo.pop()
            self._redo.append((command, self._state))
            self._set(before, command.change | Change.HISTORY)

    def redo(self) -> None:
        """Apply the edit again that was taken back last."""
        if self._redo:
            command, after = self._redo.pop()
            self._undo.append((command, self._state))
            self._set(after, command.change | Change.HISTORY)

    @property
    def undo_title(self) -> str | None:
        """Title of the edit that undo takes back, or None."""
        return self._undo[-1][0].title if self._undo else None

    @property
    def redo_title(self) -> str | None:
        """Title of the edit that redo applies, or None."""
        return self._redo[-1][0].title if self._redo else None

    def record(self, change: Change, **facts: Any) -> None:
        """Store facts that a job found (fields of ProjectState); they are not part of the undo history."""
        self._set(self._state.model_copy(update=facts), change)

    def _set(self, state: ProjectState, change: Change) -> None:
        self._state = state
        for listener in list(self._listeners):
            listener(change)
