"""The typed messages a worker sends while it works: JSON lines, one message a line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)
    job: str


class Started(_Message):
    """The worker took the job up."""

    type: Literal["started"] = "started"


class ProgressMessage(_Message):
    """Fraction 0-1 done, what is being done, and seconds left where that can be said."""

    type: Literal["progress"] = "progress"
    fraction: float
    text: str = ""
    seconds_left: float | None = None


class LogMessage(_Message):
    """A line for the job's log."""

    type: Literal["log"] = "log"
    text: str


class Partial(_Message):
    """A result that is already final while the job goes on, e.g. one sensitivity point."""

    type: Literal["partial"] = "partial"
    name: str
    payload: dict[str, Any]


class Result(_Message):
    """The job's report as JSON."""

    type: Literal["result"] = "result"
    payload: dict[str, Any]


class Failed(_Message):
    """The job failed; `error` is WorkbenchError.to_json, `traceback` is for the log."""

    type: Literal["failed"] = "failed"
    error: dict[str, Any]
    traceback: str = ""


class Cancelled(_Message):
    """The job stopped at the user's wish; `payload` is what was finished by then, if anything."""

    type: Literal["cancelled"] = "cancelled"
    payload: dict[str, Any] | None = None


Message = Annotated[
    Started | ProgressMessage | LogMessage | Partial | Result | Failed | Cancelled,
    Field(discriminator="type"),
]

message_adapter: TypeAdapter[Message] = TypeAdapter(Message)
