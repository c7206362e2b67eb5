"""The deployed truth: ONNX Runtime runs, measures and calibrates the graph."""
