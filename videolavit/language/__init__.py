"""The language model over text, pictures and motion: prompts, grammar, sampling and guided decoding."""
