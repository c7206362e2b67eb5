"""Says where a latency was measured, where that is not this computer."""

from __future__ import annotations

from workbench.domain.remote_device import LOCAL


def device_words(name: str) -> str:
    """Return " on pi", or nothing for this computer."""
    return "" if name == LOCAL else f" on {name}"
