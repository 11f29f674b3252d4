"""Training and evaluation samples."""
