"""Codes to images, and an image with motion to frames."""
