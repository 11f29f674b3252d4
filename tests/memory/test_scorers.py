"""Ways to compare clips with a question: the likelihood of the question, and an image-text encoder."""

from __future__ import annotations
