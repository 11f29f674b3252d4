"""Answer questions about images and videos, or about nothing that is shown.

The answer appears as it is written. Several questions are answered together, each for itself,
and the images and videos are looked at once. `<image>` and `<video>` in a question say where
each one belongs; otherwise images come first, then videos. A video may be a folder that `remember`
made of a long one: the moments that were looked at are told on stderr.

examples:
  videolavit answer "What colour is the object?" --image image.png
  videolavit answer "Which way does it move?" --video video.mp4
  videolavit answer "What moves?" "Does the camera move?" --video video.mp4 --json
  videolavit answer "Which way does the star move?" --video memory --show moments
  videolavit answer "What shape is in the <image> and in the <video>?" --image a.png --video b.mp4
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from videolavit.commands._shared.clip_options import refuse_pipe
from videolavit.commands._shared.command_words import spoken
from videolavit.commands._shared.console import StageBars, print_json, printable, until_words
from videolavit.commands._shared.generation_options import AnswerSampling
from videolavit.commands._shared.memories import (
    MemoryOptions,
    is_memory_folder,
    new_folder,
    tell_moments,
    write_moments,
)
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.questions import check_questions
from videolavit.errors import ConfigError, PromptError

if TYPE_CHECKING:
    from videolavit.pipeline import VideoLaVIT
    from videolavit.pipeline.outputs import Answer

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit answer`."""

    questions: Annotated[tuple[str, ...], Positional, arg(metavar="QUESTION [QUESTION ...]")]
    """Questions to ask."""
    image: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE")] = ()
    """An image to ask about; may be repeated."""
    video: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE")] = ()
    """A video to ask about, or a memory of one; may be repeated."""
    max_clips: int | None = None
    """Look at so many clips of a video at most; by default as many as the model was made for."""
    memory: Annotated[MemoryOptions, OmitArgPrefixes] = field(default_factory=MemoryOptions)
    show: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Write the keyframes of the moments of a memory that were looked at."""
    max_new_tokens: int = 512
    """Longest answer, in ids; a word is about one."""
    sampling: Annotated[AnswerSampling, OmitArgPrefixes] = field(default_factory=AnswerSampling)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Answer, in words on stdout."""
    if not config.questions:
        raise ConfigError("ask at least one question; videolavit answer --help shows examples")
    for file in config.video:
        refuse_pipe(file)
    check_questions(config.questions)
    if config.max_clips is not None and not config.video:
        raise ConfigError("--max-clips is about videos, and none is shown; leave it out, or show one with --video")
    _check_memory_options(config)
    folder = None if config.show is None else new_folder(config.show)
    options = _options(config, config.sampling.changes())
    model = open_model(config.model)
    if len(config.questions) == 1 and not config.json:
        answers = [_print_stream(config, model, options)]
    else:
        answers = _answers(config, model, options)
    if folder is not None:
        write_moments(folder, model, answers)
    if len(config.questions) == 1 and not config.json:
        return 0
    if config.json:
        print_json({"answers": [_as_json(answer) for answer in answers]})
    else:
        for answer in answers:
            print(printable(f"{answer.question}\n  {answer.text}", keep="\n"))
            tell_moments(answer)
    return 0 if len(answers) == len(config.questions) else 1


def _check_memory_options(config: Config) -> None:
    """Refuse options that say nothing, because no video is a memory."""
    given = [*config.memory.given, *(["--show"] if config.show is not None else [])]
    if given and not any(map(is_memory_folder, config.video)):
        raise ConfigError(f"{', '.join(given)}: only for a memory, which `videolavit remember` makes of a long video")


def _answers(config: Config, model: VideoLaVIT, options: dict[str, Any]) -> list[Answer]:
    """Answers to the questions that can be answered; the others are told on stderr, unless it is the only one."""
    with StageBars(quiet=config.json) as progress:
        try:
            return model.answer(list(config.questions), progress=progress, **options)
        except PromptError:
            if len(config.questions) == 1:
                raise
        answers = []
        for question in config.questions:  # one by one, to know which of them it is
            try:
                answers += model.answer([question], progress=progress, **options)
            except PromptError as error:
                print(printable(f"videolavit: failed: {question!r}: {spoken(error)}"), file=sys.stderr)
        return answers


def _print_stream(config: Config, model: VideoLaVIT, options: dict[str, Any]) -> Answer:
    with StageBars(quiet=False) as progress:
        stream = model.stream_answer(config.questions[0], progress=until_words(progress), **options)
        for piece in stream:
            progress.close()
            print(printable(piece, keep="\n"), end="", flush=True)
    print()
    tell_moments(stream.answer)
    return stream.answer


def _options(config: Config, sampling: dict[str, Any]) -> dict[str, Any]:
    options = {"max_new_tokens": config.max_new_tokens, "max_clips": config.max_clips, **sampling}
    options |= {"context": config.memory.context_options(config.max_clips)}
    return {"image": list(config.image) or None, "video": list(config.video) or None, **options}


def _as_json(answer: Answer) -> dict[str, Any]:
    ids = {"num_prompt_ids": answer.num_prompt_ids, "num_ids": answer.num_ids}
    moments = {"moments": list(map(asdict, answer.moments))} if answer.moments else {}
    return {"question": answer.question, "answer": answer.text, **ids, **moments, "timings": dict(answer.timings)}
