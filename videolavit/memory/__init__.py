"""Videos longer than the context: a store of what was read, and the choice of what a question is asked about."""
