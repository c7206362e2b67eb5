"""What the system says of its processor: the name beside every latency, and whether 8-bit products can saturate.

A device gets this very file: it needs nothing but Python 3.9.
"""

from __future__ import annotations

import platform
from pathlib import Path

# x86 VNNI in its two forms, and the dot products of ARM.
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx512vnni", "avx_vnni", "asimddp", "i8mm"})
# Boards of the ARM kind name themselves here rather than their processor.
_BOARD = Path("/proc/device-tree/model")


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    names = _processor_says("model name", "hardware")
    if not names and _BOARD.exists():
        names = [_BOARD.read_text(errors="replace").rstrip("\0")]
    return (names[0].strip() if names else platform.processor()) or platform.machine()


def integer_dot_products() -> bool | None:
    """Return whether the processor adds products of 8-bit integers in 32 bits, or None where the system doesn't say."""
    flags = {flag for line in _processor_says("flags", "features") for flag in line.split()}
    if flags:
        return bool(flags & _DOT_PRODUCTS)
    return True if platform.machine().lower() in ("arm64", "aarch64") else None


def _processor_says(*keys: str) -> list[str]:
    """Return what the system says of its processors under some keys; nothing where it does not."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return []
    lines = information.read_text(errors="replace").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.lower().startswith(keys)]
