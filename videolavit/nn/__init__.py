"""Building blocks, each defined once."""
