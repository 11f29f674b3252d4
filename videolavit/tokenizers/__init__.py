"""Images and motion to codes, and motion back."""
