"""Draws candidates as an SVG of metric against latency ratio or file size, for pages that stand by themselves."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 64, 16, 48
_Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Drawn:
    """One point: cost and score as shown, their intervals (equal bounds for exact figures), and what it is."""

    name: str
    cost: float
    score: float
    cost_interval: tuple[float, float]
    score_interval: tuple[float, float]
    original: bool = False
    best: bool = False


def front_svg(points: Sequence[Drawn], cost_title: str, score_title: str, *, rising: bool = True) -> str:
    """Return the drawing; the line joins the best candidates, bars are 95 % intervals.

    Args:
        points: At least one.
        cost_title: Of the x axis; less is better.
        score_title: Of the y axis.
        rising: Whether a higher score is better.
    """
    xs = _Axis([value for point in points for value in (point.cost, *point.cost_interval)])
    ys = _Axis([value for point in points for value in (point.score, *point.score_interval)])

    def place(cost: float, score: float) -> tuple[float, float]:
        return (
            _LEFT + xs.share(cost) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - ys.share(score) * (HEIGHT - _TOP - _BOTTOM),
        )

    title = html.escape(f"{score_title} against {cost_title}")
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">']
    bottom, left = HEIGHT - _BOTTOM, _LEFT
    for tick in xs.ticks:
        x = place(tick, ys.low)[0]
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{xs.text(tick)}</text>')
    for tick in ys.ticks:
        y = place(xs.low, tick)[1]
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{ys.text(tick)}</text>')
    middle = (left + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(cost_title)}</text>')
    parts.append(
        f'<text transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(score_title)}</text>"
    )
    joined: list[tuple[float, float]] = []
    # Points that are only within noise of the best stay beside the line.
    for x, y in sorted(place(point.cost, point.score) for point in points if point.best):
        if not joined or (y < joined[-1][1] if rising else y > joined[-1][1]):
            joined.append((x, y))
    if len(joined) > 1:
        steps = [f"M{joined[0][0]:.1f} {joined[0][1]:.1f}"]
        steps.extend(f"H{x:.1f}V{y:.1f}" for x, y in joined[1:])
        parts.append(f'<path class="front" d="{"".join(steps)}"/>')
    for point in points:
        parts.extend(_mark(point, place))
    return "\n".join([*parts, "</svg>"])


class _Axis:
    """A range with round ticks."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        self.low, self.high = low - room, high + room
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        self._step = next(step * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 7)
        first = math.ceil(self.low / self._step)
        self.ticks = [index * self._step for index in range(first, math.floor(self.high / self._step) + 1)]

    def share(self, value: float) -> float:
        """Return where a value lies, 0-1."""
        return (value - self.low) / (self.high - self.low)

    def text(self, tick: float) -> str:
        """Return a tick's label with as many decimals as its step needs."""
        decimals = max(0, -math.floor(math.log10(self._step)))
        return f"{tick:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _mark(point: Drawn, place: _Place) -> list[str]:
    x, y = place(point.cost, point.score)
    kind = "original" if point.original else "best" if point.best else "beaten"
    low, high = (place(bound, point.score)[0] for bound in point.cost_interval)
    down, up = (place(point.cost, bound)[1] for bound in point.score_interval)
    name = html.escape(point.name)
    return [
        f'<g class="{kind}"><title>{name}</title>',
        f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}"/>',
        f'<line x1="{x:.1f}" y1="{down:.1f}" x2="{x:.1f}" y2="{up:.1f}"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
        f'<text x="{x + 8:.1f}" y="{y - 8:.1f}">{name}</text></g>',
    ]
