"""One error tree, so that the window and the command line say the same thing about the same fault.

Every message names the thing, what was expected, what was found and the next step. The command line maps
`exit_status` to the process's status: 1 the job failed, 2 bad input, 130 cancelled.
"""

from __future__ import annotations

from typing import Any, ClassVar


class WorkbenchError(Exception):
    """A fault with a message for the user.

    Args:
        message: What happened, in one sentence that names the thing.
        expected: What would have been right, if that is not in the message.
        found: What was there instead.
        action: What to do next.
        where: File, line, key or layer that the fault belongs to.
    """

    exit_status: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        action: str | None = None,
        where: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.found = found
        self.action = action
        self.where = where

    def __str__(self) -> str:
        """Return the whole message as one line."""
        parts = [self.message if self.where is None else f"{self.where}: {self.message}"]
        if self.expected is not None:
            parts.append(f"Expected {self.expected}.")
        if self.found is not None:
            parts.append(f"Found {self.found}.")
        if self.action is not None:
            parts.append(self.action)
        text = " ".join(part if part.endswith((".", "?")) else f"{part}." for part in parts)
        return " ".join(line.strip() for line in text.splitlines())

    def to_json(self) -> dict[str, Any]:
        """Return the error as the JSON object that crosses process borders."""
        return {
            "kind": self.kind,
            "message": self.message,
            "expected": self.expected,
            "found": self.found,
            "action": self.action,
            "where": self.where,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> WorkbenchError:
        """Rebuild an error of the right class from `to_json`'s object; an unknown kind becomes a JobError."""
        kinds = {cls.kind: cls for cls in _tree(WorkbenchError)}
        cls = kinds.get(value.get("kind", ""), JobError)
        return cls(
            value.get("message", "Unknown error"),
            expected=value.get("expected"),
            found=value.get("found"),
            action=value.get("action"),
            where=value.get("where"),
        )


def _tree(cls: type[WorkbenchError]) -> list[type[WorkbenchError]]:
    return [cls, *(sub for child in cls.__subclasses__() for sub in _tree(child))]


class BadInputError(WorkbenchError):
    """What the user gave can't be used as it is; nothing was changed."""

    exit_status = 2
    kind = "bad_input"


class ModelFileError(BadInputError):
    """A model file that can't be read, or that is not a valid graph."""

    kind = "model_file"


class OpenDimensionsError(BadInputError):
    """A model whose inputs have sizes that neither its file nor the user fixed; giving them is the remedy."""

    kind = "open_dimensions"


class UnsupportedGraphError(BadInputError):
    """A valid graph with something in it that the asked-for operation can't handle; names the node."""

    kind = "unsupported_graph"


class DataError(BadInputError):
    """A data set or its description that can't be used with the model."""

    kind = "data"


class RecipeError(BadInputError):
    """A recipe, plan or parameter that can't be honoured."""

    kind = "recipe"


class PluginError(BadInputError):
    """A plugin that is malformed, failed to load, or raised; names the plugin."""

    kind = "plugin"


class ProjectError(BadInputError):
    """A project file that can't be opened or written."""

    kind = "project"


class ProjectLockedError(ProjectError):
    """A project that another window or command has open."""

    kind = "project_locked"


class StorageError(WorkbenchError):
    """A file that could not be written: disk full, read-only folder, permission."""

    kind = "storage"


class DeviceError(BadInputError):
    """A device that can't be reached or can't measure; names it."""

    kind = "device"


class JobError(WorkbenchError):
    """A job that failed while it ran."""

    kind = "job"


class ClusterLostError(JobError):
    """The cluster that built a study's candidates is gone, through no fault of theirs."""

    kind = "cluster_lost"


class WorkerCrashError(JobError):
    """A worker process that died; carries its last output."""

    kind = "worker_crash"


class CancelledError(WorkbenchError):
    """The user cancelled; what was finished is kept."""

    exit_status = 130
    kind = "cancelled"

    def __init__(self, message: str = "Cancelled", **details: Any) -> None:
        super().__init__(message, **details)
