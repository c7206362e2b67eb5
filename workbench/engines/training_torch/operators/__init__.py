"""ONNX operators in torch, one file a family."""
