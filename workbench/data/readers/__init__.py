"""Where samples come from: one reader a file, all behind `_base`'s contract and `registry`'s names."""
