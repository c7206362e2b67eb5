"""What a model is judged by: one metric a file, all behind `_base`'s contract and `registry`'s names."""
