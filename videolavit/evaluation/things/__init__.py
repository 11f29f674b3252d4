"""What is seen in videos of the world of things, read from pixels, and whether it is what was asked for."""
