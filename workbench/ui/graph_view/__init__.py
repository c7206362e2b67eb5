"""The picture of the layer graph."""
