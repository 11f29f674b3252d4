"""Edits of real videos without a model: at their own size, with their own sound."""
