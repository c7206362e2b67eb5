"""The one door to pyqtgraph: it must take PySide6 whatever else is installed, and draw smooth lines everywhere."""

from __future__ import annotations

import os

os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"

import pyqtgraph as pg

pg.setConfigOptions(antialias=True)

__all__ = ["pg"]
