"""Pictures and motion to codes, and motion back."""
