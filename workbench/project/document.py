"""The document: owner of the current state, its undo history and its file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from workbench.domain.errors import ProjectError, StorageError
from workbench.project.artifacts import Artifacts
from workbench.project.commands import Command
from workbench.project.history import FACTS, Exchange
from workbench.project.lock import ProjectLock
from workbench.project.places import untitled_folder
from workbench.project.state import Change, ProjectState
from workbench.project.store import Store

Listener = Callable[[Change], None]


class Document:
    """Applies commands, keeps history, stores every change at once and tells listeners what changed.

    All calls come from one thread (the window's, or the command line's). The undo history lives as long as the
    document is open and is not stored. Without a path (`Document()`) nothing is stored until `save_as`.

    A change that can't be stored stays in memory, listeners hear of it, and StorageError is raised at the end; the
    next change that can be stored writes everything.
    """

    def __init__(self, state: ProjectState | None = None) -> None:
        self._state = state or ProjectState()
        self._undo: list[tuple[Command, Exchange]] = []
        self._redo: list[tuple[Command, Exchange]] = []
        self._listeners: list[Listener] = []
        self._store: Store | None = None
        self._lock: ProjectLock | None = None
        self._closed = False
        self.path: Path | None = None
        self.read_only = False
        self.saved_at: datetime | None = None
        self.unsaved: StorageError | None = None

    @classmethod
    def create(cls, path: Path, state: ProjectState | None = None) -> Document:
        """Make a new project file and return its document.

        Raises:
            ProjectError: the file exists already.
            StorageError: the folder is missing, read-only or full.
        """
        document = cls(state)
        if path.exists():
            raise ProjectError(
                "there is such a file already", where=str(path), action="Open it, or choose another name."
            )
        document.save_as(path)
        return document

    @classmethod
    def untitled(cls) -> Document:
        """Return the document of a new project that has no name yet but is stored all the same.

        Raises:
            StorageError: the user's data folder can't be written.
        """
        folder = untitled_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the folder can't be made: {error.strerror}", where=str(folder)) from error
        return cls.create(folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}.mcw")

    @classmethod
    def open(cls, path: Path) -> Document:
        """Open a project file; in a folder that can't be written it is opened to be read (`read_only`).

        Raises:
            ProjectError: missing, not a project, damaged, or written by a newer program; nothing was changed.
            ProjectLockedError: it is open elsewhere; names process and computer.
        """
        path = path.absolute()
        if not path.is_file():
            raise ProjectError("there is no such project", where=str(path), action="Choose another file.")
        document = cls()
        lock = ProjectLock(path)
        try:
            lock.acquire()
        except OSError:
            document.read_only = True
        try:
            store = Store(path, read_only=document.read_only)
        except BaseException:  # not even Ctrl-C may leave the project locked
            lock.release()
            raise
        document._state = store.state
        document._store, document._lock, document.path = store, lock, path
        document.saved_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return document

    @property
    def state(self) -> ProjectState:
        """The current value."""
        return self._state

    @property
    def title(self) -> str:
        """The project's name for the window's title."""
        return "Untitled" if self.path is None or self.is_untitled else self.path.stem

    @property
    def is_untitled(self) -> bool:
        """Whether the user has not given it a name and place yet."""
        return self.path is None or self.path.parent == untitled_folder().absolute()

    @property
    def artifacts(self) -> Artifacts | None:
        """The project's big files; None for a document without a path."""
        return None if self.path is None else Artifacts.of(self.path)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every change; returns a function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def do(self, command: Command) -> None:
        """Apply an edit, remember it for undo and store it.

        Raises:
            StorageError: the edit is done and can be undone, but could not be stored.
        """
        before = self._state
        after = command.apply(before)
        if after == before:
            return
        self._undo.append((command, Exchange.back(before, after)))
        self._redo.clear()
        self._set(after, command.change | Change.HISTORY)

    def undo(self) -> None:
        """Take the last edit back; facts recorded since stay. StorageError as for `do`."""
        self._exchange(self._undo, self._redo)

    def redo(self) -> None:
        """Apply the edit again that was taken back last. StorageError as for `do`."""
        self._exchange(self._redo, self._undo)

    @property
    def undo_title(self) -> str | None:
        """Title of the edit that undo takes back, or None."""
        return self._undo[-1][0].title if self._undo else None

    @property
    def redo_title(self) -> str | None:
        """Title of the edit that redo applies, or None."""
        return self._redo[-1][0].title if self._redo else None

    def record(self, change: Change, **facts: Any) -> None:
        """Store facts that a job found (fields of ProjectState); they are not part of the undo history.

        Raises:
            ValueError: a field that only commands may change.
            StorageError: the facts are there but could not be stored.
        """
        if not facts.keys() <= FACTS:
            raise ValueError(f"only facts can be recorded: {', '.join(sorted(FACTS))}; not {', '.join(sorted(facts))}")
        self._set(self._state.model_copy(update=facts), change)

    def save_as(self, path: Path) -> None:
        """Continue as another file, with all artifacts; history stays, the file under the old name too.

        An untitled project moves. A project that has the new name already is replaced; it keeps its artifacts.

        Raises:
            ProjectLockedError: the file to replace is open elsewhere.
            StorageError: the folder is missing, read-only or full; the document goes on as it was.
        """
        path = path.absolute()
        if path == self.path:
            return
        lock = ProjectLock(path)
        try:
            lock.acquire()
        except OSError as error:
            raise StorageError(
                f"the project can't be saved there: {error.strerror}", where=str(path), action="Choose another folder."
            ) from error
        try:
            if self.artifacts is not None:
                self.artifacts.copy_to(Artifacts.of(path))
            Store.create(path, self._state)
            store = Store(path, holding=self._state)
        except BaseException:  # not even Ctrl-C may leave the project locked
            lock.release()
            raise
        left, artifacts, was_untitled = self.path, self.artifacts, self.is_untitled
        self._let_go()
        if was_untitled and left is not None and artifacts is not None:
            left.unlink(missing_ok=True)
            artifacts.remove()
        self._store, self._lock, self.path = store, lock, path
        self.read_only, self.unsaved, self.saved_at = False, None, datetime.now(UTC)
        self._announce(Change.PATH)

    def collect_artifacts(self) -> tuple[Path, ...]:
        """Delete the files of no candidate, deleted candidates' files excepted, and return them."""
        if self.artifacts is None:
            return ()
        return self.artifacts.collect(candidate.artifact for candidate in self._state.candidates)

    def close(self) -> None:
        """Let go of the file; an untitled project in which nothing was done leaves nothing behind."""
        if self._closed:
            return
        self._closed = True
        empty = self.is_untitled and self._state == ProjectState() and self.unsaved is None
        artifacts = self.artifacts
        self._let_go()
        if empty and self.path is not None and artifacts is not None:
            self.path.unlink(missing_ok=True)
            artifacts.remove()

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _exchange(self, taken: list[tuple[Command, Exchange]], given: list[tuple[Command, Exchange]]) -> None:
        if not taken:
            return
        command, exchange = taken.pop()
        state, reverse = exchange.apply(self._state)
        given.append((command, reverse))
        self._set(state, command.change | Change.HISTORY)

    def _set(self, state: ProjectState, change: Change) -> None:
        if self._closed:
            raise ProjectError("the project is closed", where=None if self.path is None else str(self.path))
        self._state = state
        fault = self._save()
        self._announce(change)
        if fault is not None:
            raise fault

    def _save(self) -> StorageError | None:
        if self._store is None:
            return None
        if self.read_only:
            self.unsaved = StorageError(
                "the project was opened to be read only", where=str(self.path), action="Choose Save As to keep changes."
            )
            return self.unsaved
        try:
            self._store.write(self._state)
        except StorageError as error:
            self.unsaved = error
            return error
        self.unsaved = None
        self.saved_at = datetime.now(UTC)
        return None

    def _announce(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
