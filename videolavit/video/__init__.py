"""Files to clips and frames to files, through PyAV alone."""
