"""The one graph: the only room that imports onnx and onnx_ir."""
