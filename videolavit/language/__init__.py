"""The language model over text, images and motion: prompts, grammar, sampling and guided decoding."""
