"""Runs as their results remember them: `--like out.mp4` does again what made out.mp4."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.errors import ConfigError
from videolavit.video.io.write import read_metadata

if TYPE_CHECKING:
    from videolavit.commands._shared.generation_options import TokenOptions
    from videolavit.generation_options import GenerationOptions
    from videolavit.pipeline import VideoLaVIT

__all__ = ["Run", "chosen_tokens", "remembered"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Options that a task was asked with; of an unknown one, nothing."""

    file: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The words.

        Raises:
            ConfigError: the file holds something else.
        """
        prompt = self.metadata.get("prompt")
        if prompt is not None and not isinstance(prompt, str):
            raise self._strange("prompt", "a text")
        return prompt or ""

    def number(self, name: str, given: int | None) -> dict[str, int]:
        """One of the task's own arguments, by name: as it is given now, or as it was then; else nothing.

        Raises:
            ConfigError: the file holds no whole number.
        """
        number = self.metadata.get(name) if given is None else given
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise self._strange(name, "a whole number")
        return {} if number is None else {name: number}

    @property
    def options(self) -> GenerationOptions:
        """Options that it was generated with.

        Raises:
            ConfigError: the options are those of another version, or no options.
        """
        from videolavit.config import from_dict
        from videolavit.generation_options import RUN_TIME_OPTIONS, GenerationOptions
        from videolavit.old_names import current_names

        stored = self.metadata.get("options", {})
        if not isinstance(stored, Mapping) or RUN_TIME_OPTIONS & set(stored):
            raise self._strange("options", "an object of options that a result keeps")
        stored = current_names(stored)
        return from_dict(GenerationOptions, stored, where=f"{self.file}: options")

    def seed(self, given: int | None) -> int | None:
        """As it is given now, or as it was then; None where it was not asked for."""
        options = self.metadata.get("options")
        stored = options.get("seed") if isinstance(options, Mapping) else None
        return stored if given is None and isinstance(stored, int) else given

    def _strange(self, name: str, expected: str) -> ConfigError:
        return ConfigError(
            f"--like {self.file}: what it holds as {name} makes no sense, expected {expected}; leave --like out"
        )

    def check_sources(self, **given: str | Sequence[str] | None) -> None:
        """Raise `ConfigError` where a file that it started from is not given again: only its name is known."""
        for kind, source in given.items():
            if self.metadata.get(kind) and not source:
                raise ConfigError(f"--like {self.file}: was made from {self.metadata[kind]}; give it with --{kind}")

    def check_model(self, model: VideoLaVIT) -> None:
        """Warn of a model that will not generate the same."""
        made_by, now = self.metadata.get("model_hash"), model.components.hash
        if made_by is not None and made_by != now:
            logger.warning("%s was made by another model, %s; this one is %s", self.file, made_by, now)


def remembered(file: Path | None, task: str) -> Run:
    """The run that wrote a file; one that asks for nothing if there is no file.

    Raises:
        MediaError: it cannot be read.
        ConfigError: it was written by another task, or by no task at all.
    """
    if file is None:
        return Run()
    metadata = read_metadata(file)
    if metadata.get("task") != task:
        wrote = metadata.get("task", "something else")
        raise ConfigError(f"--like {file}: was made by {wrote}, expected a file that `videolavit {task}` wrote")
    return Run(file=str(file), metadata=metadata)


def chosen_tokens(tokens: TokenOptions, model: VideoLaVIT, before: Run, *, after_image: bool) -> dict[str, Any]:
    """Sampling options of the command line, over those of the earlier run or the model."""
    if not tokens.samples:
        return {} if tokens.negative_prompt is None else {"negative_prompt": tokens.negative_prompt}
    settings = model.settings
    own = settings.sampling_after_image if after_image else settings.sampling
    return tokens.changes(before.options.sampling or own)
