"""Where training and evaluation samples come from."""
