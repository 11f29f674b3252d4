"""Motion vectors: found by re-encoding or read from the source, and applied by warping."""
