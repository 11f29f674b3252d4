"""Codes to pictures, and a picture with motion to frames."""
