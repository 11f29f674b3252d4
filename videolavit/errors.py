"""Every error that this package raises on purpose.

All share one base, so `except VideoLaVITError` catches what the package knows how to explain, and each is also the
built-in exception that a caller would think of. A message says what arrived, what was expected and what to try.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "GenerationError",
    "LimitError",
    "MediaError",
    "OutputError",
    "PromptError",
    "ShapeError",
    "TrainingError",
    "VideoLaVITError",
    "VocabularyError",
]


class VideoLaVITError(Exception):
    """Base of all errors raised on purpose."""


class MediaError(VideoLaVITError, ValueError):
    """A file, stream or list of frames cannot be read as the video or image that was asked for."""


class LimitError(MediaError):
    """A video is larger or longer than the limits in force; the message names the option that raises them."""


class OutputError(VideoLaVITError, OSError):
    """A result cannot be written: unknown extension, no such folder, no space."""


class ShapeError(VideoLaVITError, ValueError):
    """A tensor has another shape, dtype or value range than the function takes."""


class VocabularyError(VideoLaVITError, ValueError):
    """An id or a code lies outside its modality."""


class PromptError(VideoLaVITError, ValueError):
    """A prompt and its images, videos or options do not fit each other."""


class ConfigError(VideoLaVITError, ValueError):
    """A configuration has an unknown key, a missing one, or a value out of range."""


class GenerationError(VideoLaVITError, ArithmeticError):
    """A model computed something that nothing can be sampled from, such as logits that are not numbers; or
    an answer that was cut off is asked for."""


class CheckpointError(VideoLaVITError, ValueError):
    """A checkpoint is damaged, unsafe, incomplete or of another size; the message names file, key and shapes."""


class TrainingError(VideoLaVITError, RuntimeError):
    """A training run cannot go on: its loss is no longer finite."""
