"""What a pressed pointer does on the canvas: nothing yet, pan, or draw a selection rectangle."""

from __future__ import annotations

import enum


class Drag(enum.Enum):
    """State of the pointer between press and release."""

    NONE = "none"
    PRESSED = "pressed"
    PAN = "pan"
    BAND = "band"
