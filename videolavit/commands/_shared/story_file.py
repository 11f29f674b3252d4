"""Stories on the command line: a video with a prompt for each clip, written clip by clip."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.commands._shared.console import StageBars, is_quiet, print_json, printable
from videolavit.commands._shared.model_options import open_model
from videolavit.commands._shared.paths import check_free, check_target
from videolavit.commands._shared.report import named
from videolavit.commands._shared.requests import new_seed, read_prompts
from videolavit.commands._shared.rerun import Run, chosen_tokens
from videolavit.commands._shared.result_files import STDOUT
from videolavit.commands._shared.token_file import TOKENS
from videolavit.errors import ConfigError
from videolavit.video.io.write import write_video

if TYPE_CHECKING:
    import numpy as np

    from videolavit.pipeline.outputs import ClipTokens, GeneratedVideo

__all__ = ["tell_story"]


def tell_story(config: Any, file: Path) -> int:
    """Generate one video of all prompts of a file, whose frames are written as they come; the exit code.

    Raises:
        ConfigError: options that a story does not have.
        MediaError: the file cannot be read.
        PromptError: it has no prompt.
    """
    _check(config)
    if config.save_tokens is not None:
        check_target(config.save_tokens, str(file), config.image, extensions=TOKENS)
        check_free(config.save_tokens, force=config.file.force, option="--save-tokens")
    prompts = read_prompts(file)
    output = config.file.path(prompts[0], ".mp4", config.image)
    if output == STDOUT:
        raise ConfigError("a story goes to a file, and not to stdout; name one with -o")
    seed = new_seed() if config.generation.seed is None else config.generation.seed
    model, started = open_model(config.model), time.monotonic()
    with StageBars(quiet=config.json) as progress:
        changes = {**config.generation.changes(), "seed": seed}
        tokens = chosen_tokens(config.tokens, model, Run(), after_image=config.image is not None)
        options = {"image": config.image, "candidates": config.candidates, "progress": progress, **changes, **tokens}
        clips = model.stream_story(prompts, **options)
        first = next(clips)
        facts = {"prompt": prompts[0], "prompts": prompts, **named(image=config.image)}
        frames = _Counted(itertools.chain([first], clips))
        write_video(frames, output, fps=config.file.fps or first.fps, metadata={**first.metadata, **facts})
    if config.save_tokens is not None:
        from videolavit.pipeline.token_text import save_token_text

        save_token_text(config.save_tokens, frames.tokens, {**first.metadata, **facts})
    _tell(config, output, len(prompts), frames.count, seed, time.monotonic() - started)
    return 0


class _Counted:
    """Frames of clips, one at a time, with their number and the tokens of the clips."""

    def __init__(self, clips: Iterator[GeneratedVideo]) -> None:
        self._clips, self.count = clips, 0
        self.tokens: list[ClipTokens] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        for clip in self._clips:
            self.tokens += clip.tokens
            for frame in clip.frames:
                self.count += 1
                yield frame


def _check(config: Any) -> None:
    given = {
        "a prompt": config.prompt,
        "--prompts": config.how_many.prompts,
        "--num-outputs": config.how_many.num_outputs != 1,
        "--clips": config.clips,
        "--keyframe": config.keyframe,
        "--like": config.like,
        "--preview": config.preview,
    }
    if named_too := [name for name, value in given.items() if value]:
        raise ConfigError(f"--story is one video with a prompt for each clip; leave out {', '.join(named_too)}")


def _tell(config: Any, output: Path, clips: int, frames: int, seed: int, seconds: float) -> None:
    facts = {"output": str(output), "num_clips": clips, "num_frames": frames, "seed": seed, "seconds": seconds}
    if config.json:
        print_json(facts)
    elif not is_quiet():
        print(printable(f"{output}: {clips} clips, {frames} frames in {seconds:.1f} s, seed {seed}"))
