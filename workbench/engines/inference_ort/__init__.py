"""ONNX Runtime runs, observes, calibrates and profiles the graph exactly as it will be deployed."""

from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.inference_ort.session import OrtSession, open_session

__all__ = ["OrtEngine", "OrtSession", "open_session"]
