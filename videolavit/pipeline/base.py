"""What all tasks of a model share: its options completed, and the record of what it did."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from videolavit import __version__
from videolavit.config import to_dict
from videolavit.language.prompts import Prompt
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions

__all__ = ["Tasks"]


class Tasks(Components):
    """A model whose parts are put together, as the tasks use it."""

    def _options(
        self, options: GenerationOptions | None, changes: dict[str, Any], *, after_image: bool = False
    ) -> GenerationOptions:
        """What was asked for, completed by the model's own way."""
        asked = (options or GenerationOptions()).changed(**changes)
        return asked.completed(self.settings, after_image=after_image)

    def _metadata(self, task: str, prompt: str | Prompt, options: GenerationOptions, **ways: Any) -> dict[str, Any]:
        """All that is needed to do the same again; `ways` are the task's own arguments."""
        values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "generator"}
        plain = {name: to_dict(value) if dataclasses.is_dataclass(value) else value for name, value in values.items()}
        return {
            "made_by": f"videolavit {__version__}",
            "task": task,
            "prompt": prompt if isinstance(prompt, str) else repr(prompt),
            # Results are passed on, and where somebody keeps a model is nobody's business; the hash says which it is.
            "model": Path(self.parts.name).name if Path(self.parts.name).is_dir() else self.parts.name,
            "model_hash": self.parts.hash,
            **ways,
            "seed": options.seed if options.generator is None else None,
            "options": plain,
        }
