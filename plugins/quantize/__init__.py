"""First-party quantization methods."""
