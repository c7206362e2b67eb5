"""The colours that carry data, the same in graph, table and plots; plain values, so that scales are tested without Qt.

Families follow the Okabe-Ito set (Okabe & Ito, 2008), which stays distinct with the common colour-vision
deficiencies; sequential heat is cividis (Nunez, Anderton & Renslow, 2018).
"""

from __future__ import annotations

import math

Rgb = tuple[int, int, int]

_CIVIDIS: tuple[str, ...] = (
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
)
_SIGNED: tuple[str, ...] = ("#0072b2", "#7fb8d8", "#f4f4f2", "#f0b27a", "#d55e00")

FAMILIES: dict[str, tuple[str, str]] = {
    "convolution": ("#0072b2", "Convolution"),
    "matmul": ("#d55e00", "Linear"),
    "normalization": ("#56b4e9", "Normalization"),
    "activation": ("#009e73", "Activation"),
    "pooling": ("#e69f00", "Pooling"),
    "elementwise": ("#f0e442", "Elementwise"),
    "recurrent": ("#cc79a7", "Recurrent"),
    "quantize": ("#7b61a8", "Quantization"),
    "shape": ("#999999", "Shape"),
    "control": ("#4d4d4d", "Control flow"),
    "other": ("#6f6f6f", "Other"),
}
"""Colour and title of every operator family, under the names of `workbench.graph.families`."""

BITS_COLORS: dict[int, str] = {
    32: "#8d99a6",
    16: "#56b4e9",
    8: "#0072b2",
    7: "#0395b8",
    6: "#00c663",
    5: "#81b840",
    4: "#f0b400",
    3: "#f17118",
    2: "#bd4b22",
    1: "#8c2d04",
}
"""A colour per bit-width, cool for many and warm for few; any two are told apart with any colour-vision deficiency."""


def parse(color: str) -> Rgb:
    """Return (red, green, blue), each 0-255, of "#rrggbb"."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _ramp(stops: tuple[str, ...], position: float) -> Rgb:
    """Return the colour at `position` (0-1) of evenly spaced stops."""
    scaled = min(max(position, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(scaled), len(stops) - 2)
    share = scaled - index
    low, high = parse(stops[index]), parse(stops[index + 1])
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


def heat(position: float) -> Rgb:
    """Return the sequential colour at `position` (0-1); NaN gives the middle grey of "no value"."""
    return parse("#8d99a6") if math.isnan(position) else _ramp(_CIVIDIS, position)


def signed(position: float) -> Rgb:
    """Return the diverging colour at `position` (-1 blue, 0 white, 1 orange)."""
    return parse("#8d99a6") if math.isnan(position) else _ramp(_SIGNED, (position + 1.0) / 2.0)


def family_color(family: str) -> Rgb:
    """Return the fixed colour of an operator family; that of "other" for one that is not known."""
    return parse(FAMILIES.get(family, FAMILIES["other"])[0])


def bits_color(bits: float) -> Rgb:
    """Return the colour of a bit-width, that of the next larger known one where it has none of its own."""
    known = min((width for width in BITS_COLORS if width >= bits), default=32)
    return parse(BITS_COLORS[known])


def luminance(color: Rgb) -> float:
    """Return the relative luminance (0-1) as WCAG 2 defines it."""

    def linear(channel: int) -> float:
        share = channel / 255.0
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(channel) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio (1-21) of two colours as WCAG 2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(background: Rgb) -> Rgb:
    """Return the text colour, near black or near white, that is easier to read on `background`."""
    dark, light = (17, 20, 24), (250, 250, 250)
    return dark if contrast(dark, background) >= contrast(light, background) else light
