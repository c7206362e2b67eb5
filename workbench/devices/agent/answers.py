"""What the agent says on its standard output: one marked line a message, so that a login's greetings are told apart."""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

# ASCII's record separator, which no greeting has.
MARK = b"\x1eworkbench "
# What the workbench sends once it has a run's result.
DONE = b"done\n"


class AgentError(Exception):
    """Something that the workbench should put into words.

    Args:
        kind: "missing" (a module), "refused" (a model), "failed" (a run of it), "damaged" (a stored model), "gone" (a
            run), "storage", "memory" or "fault".
        text: Of the error underneath.
        model: Number of the model that it is about.
    """

    def __init__(self, kind: str, text: str, model: int = 0) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.model = model

    def to_json(self) -> dict[str, object]:
        """Return the error as the object that is sent."""
        return {"kind": self.kind, "text": self.text, "model": self.model}


class Answers:
    """Takes the process's standard output over; whatever libraries print from then on goes to standard error."""

    def __init__(self) -> None:
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        self.stream: BinaryIO = os.fdopen(own, "wb")

    def say(self, kind: str, /, **fields: object) -> None:
        """Send a message."""
        self.stream.write(MARK + json.dumps({"type": kind, **fields}).encode() + b"\n")
        self.stream.flush()
