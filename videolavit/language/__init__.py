"""One language model over text, pictures and motion."""
