"""What all job specs have in common: they are frozen, and those about a measured file name its hash."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """What can be asked of a worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuringSpec(Spec):
    """A job about a model file that something is known of already.

    Attributes:
        model_sha256: Hash that the file must still have (`graph.storage.model_sha256`), or None for any.
    """

    model: str
    model_sha256: str | None = None
