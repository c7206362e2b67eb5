"""Model-compression workbench: compress trained networks and choose by what was measured on the exported file."""

__version__ = "0.1.0"
