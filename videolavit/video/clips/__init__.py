"""Clips out of coded frames: selection, assembly, and the file that keeps them."""
