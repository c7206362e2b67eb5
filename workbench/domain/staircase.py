"""A layer's time against its number of output channels: which counts pay, and which cost more than they save.

Kernels compute channels in blocks, so that time rises in steps. A count on the right end of a step is an *edge*: no
larger count is as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from workbench.domain.measurements import DeviceDescription, Interval
from workbench.domain.preflight import KernelForm

# In float, and in the integers that processors are fastest at.
STAIR_TITLES: dict[KernelForm, str] = {"float32": "float", "uint8": "8-bit integers"}
STAIR_FORMS: tuple[KernelForm, ...] = tuple(STAIR_TITLES)
_MOST_STEPS = 16
_FINEST = 4
# What lies closer together than this is one step, however sure the clock is of the difference.
_JUMP = 0.03


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StairPoint(_Value):
    """How long the kernel takes with so many output channels, in microseconds with a 95 % interval."""

    channels: int
    microseconds: float
    ci95: Interval


class Stairs(_Value):
    """One form's curve.

    Attributes:
        form: What it computes in.
        points: By rising channel count.
        edges: Right ends of the steps, rising; the layer's own count is the last.
    """

    form: KernelForm
    points: tuple[StairPoint, ...]
    edges: tuple[int, ...]

    @classmethod
    def of(cls, form: KernelForm, points: Iterable[StairPoint]) -> Stairs:
        """Return the curve through points, with its edges found."""
        ordered = tuple(sorted(points, key=lambda point: point.channels))
        return cls(form=form, points=ordered, edges=stair_edges(ordered))

    @classmethod
    def sum(cls, curves: Sequence[Stairs]) -> Stairs:
        """Return the time of several kernels that lose the same channels; their errors are independent."""
        points = []
        for parts in zip(*(curve.points for curve in curves), strict=True):
            middle = sum(part.microseconds for part in parts)
            below = sum((part.microseconds - part.ci95[0]) ** 2 for part in parts) ** 0.5
            above = sum((part.ci95[1] - part.microseconds) ** 2 for part in parts) ** 0.5
            points.append(
                StairPoint(channels=parts[0].channels, microseconds=middle, ci95=(middle - below, middle + above))
            )
        return cls.of(curves[0].form, points)

    def at(self, channels: int) -> StairPoint | None:
        """Return the point with so many channels."""
        return next((point for point in self.points if point.channels == channels), None)


class LayerStaircase(_Value):
    """One layer.

    Attributes:
        layer, op: Its name and operator.
        channels: Output channels that it has.
        curves: Of the layer by itself, by form; empty where its width can't be changed alone.
        together: Of all layers that lose channels with it, those that read them too; empty where one of them can't be
            timed.
        members: How many layers these are.
        reason: Why there are no curves.
    """

    layer: str
    op: str
    channels: int
    curves: tuple[Stairs, ...] = ()
    together: tuple[Stairs, ...] = ()
    members: int = 0
    reason: str = ""

    @property
    def decisive(self) -> tuple[Stairs, ...]:
        """The curves that say what removing channels saves: of all that lose them, or else of the layer by itself."""
        return self.together or self.curves

    def curve(self, form: KernelForm) -> Stairs | None:
        """Return the decisive curve of a form."""
        return next((curve for curve in self.decisive if curve.form == form), None)


class StaircaseReport(_Value):
    """Staircases of layers.

    Attributes:
        device: Where they were measured.
        threads: Of the runtime, as they were asked for.
        batch: Samples in one inference.
        layers: In graph order.
        measured: How many were timed now; the others were known.
        seconds: Wall time.
    """

    device: DeviceDescription
    threads: int
    batch: int
    layers: tuple[LayerStaircase, ...]
    measured: int = 0
    seconds: float = 0.0

    def holds_for(self, device: DeviceDescription, batch: int) -> bool:
        """Whether the same would be measured there: by processor, threads and runtime, whatever a device is called."""
        mine, other = (entry.model_copy(update={"name": ""}) for entry in (self.device, device))
        return mine == other and self.batch == batch

    def with_layers(self, newer: Iterable[LayerStaircase]) -> StaircaseReport:
        """Return the report with layers added, or put in place of those of the same name."""
        merged = {entry.layer: entry for entry in self.layers} | {entry.layer: entry for entry in newer}
        return self.model_copy(update={"layers": tuple(merged.values())})


def stair_counts(channels: int) -> tuple[int, ...]:
    """Return the channel counts at which a layer of so many is timed: even steps, and odd ones beside block ends."""
    step = stair_step(channels)
    block = max(8 if channels <= 32 else 16, step)
    beside = {end + 1 for end in range(block, channels, block)} | {channels - 1}
    return tuple(sorted(count for count in {*range(step, channels, step), *beside, channels} if 0 < count <= channels))


def stair_step(channels: int) -> int:
    """Return the distance of the counts that can be edges: 4, or as many times twice that as keeps them few."""
    step = _FINEST
    while channels > step * _MOST_STEPS:
        step *= 2
    return step


def stair_edges(points: Sequence[StairPoint]) -> tuple[int, ...]:
    """Return the counts that are faster, beyond both intervals and 3 %, than every larger one.

    Odd counts only show where a step ends: within a network they cost changes of layout besides.

    Args:
        points: By rising count, the layer's own last.
    """
    if not points:
        return ()
    own = points[-1]
    step = stair_step(own.channels)
    edges = [own.channels]
    fastest = own
    for point in reversed(points[:-1]):
        if point.channels % step:
            continue
        below = point.microseconds <= fastest.microseconds * (1 - _JUMP)
        if below and point.ci95[1] < fastest.ci95[0]:
            edges.append(point.channels)
        if point.microseconds < fastest.microseconds:
            fastest = point
    return tuple(reversed(edges))
