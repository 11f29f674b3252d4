"""Talk with a model about images and videos.

A line is a question. Names of files in it are images and videos to ask about; a line of nothing
else shows them for the next question. What was said and shown before stays in mind until /new.
A folder that `remember` made of a long video, written with a slash, stays in view: each question
looks for moments of its own in it, which are told on stderr.

  /new    forget what was said and shown      /help   show this
  Ctrl-C  stop an answer                      Ctrl-D  leave, as /quit does

Where stdin is no terminal every line is answered in turn, and answers alone are written to stdout.

examples:
  videolavit chat
  videolavit chat image.png --model video-lavit
  echo "video.mp4 What moves?" | videolavit chat
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.command_words import spoken
from videolavit.commands._shared.console import StageBars, printable, until_words
from videolavit.commands._shared.generation_options import AnswerSampling
from videolavit.commands._shared.media_arguments import Shown, find_media, media_file
from videolavit.commands._shared.memories import MemoryOptions, is_memory_folder, tell_moments
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.errors import ConfigError, MediaError, VideoLaVITError

if TYPE_CHECKING:
    from videolavit.pipeline import VideoLaVIT
    from videolavit.pipeline.outputs import Answer

__all__ = ["Config", "run"]

PROMPT = "> "
_COMMAND = re.compile(r"/\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit chat`."""

    files: Annotated[tuple[str, ...], Positional, arg(metavar="[FILE ...]")] = ()
    """Images and videos for the first question."""
    max_clips: int | None = None
    """Look at so many clips of a video at most; by default as many as the model was made for."""
    memory: Annotated[MemoryOptions, OmitArgPrefixes] = field(default_factory=MemoryOptions)
    max_new_tokens: int = 512
    """Longest answer, in ids; a word is about one."""
    sampling: Annotated[AnswerSampling, OmitArgPrefixes] = field(default_factory=AnswerSampling)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print each answer as a JSON document on a line of its own, when it is complete."""


def run(config: Config) -> int:
    """Answer line after line; 1 if one could not be answered and nobody was there to see it."""
    interactive = sys.stdin.isatty()
    chat = Chat(open_model(config.model), config, interactive=interactive)
    chat.show(config.files)
    if interactive:
        print("Ask about anything; name files to show them. /help says more, Ctrl-D leaves.")
    for line in _typed() if interactive else _given():
        if line == "/quit":
            break
        chat.take(line)
    return 1 if chat.num_failed and not interactive else 0


def _typed() -> Iterator[str]:
    """Lines that a person types, without spaces around them, until Ctrl-D."""
    with contextlib.suppress(ImportError):  # keys for earlier lines, where there is such a library
        import readline  # noqa: F401
    while True:
        try:
            yield input(PROMPT).strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\n(Ctrl-D leaves)")


def _given() -> Iterator[str]:
    """Lines of a file or a pipe, without spaces around them and the mark that some editors begin a text with."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # bytes that are no text spoil their own line alone
    for number, line in enumerate(sys.stdin):
        yield (line if number else line.removeprefix("\ufeff")).strip()


class Chat:
    """A conversation: what was said, and what is shown with the next question."""

    def __init__(self, model: VideoLaVIT, config: Config, *, interactive: bool) -> None:
        self.num_failed = 0
        self._model, self._config, self._interactive = model, config, interactive
        self._sampling = config.sampling.changes()
        self._last: Answer | None = None
        self._images: list[str] = []
        self._videos: list[str] = []
        self._memories: list[str] = []
        """In view until /new."""

    def take(self, line: str) -> None:
        """Do what a line asks for; what cannot be done is told, and the conversation goes on."""
        try:
            if line == "/new":
                self._last, self._images, self._videos, self._memories = None, [], [], []
            elif line == "/help":
                print((__doc__ or "").split("\n\nexamples")[0])
            elif _COMMAND.fullmatch(line):
                raise ConfigError(f"no command {line}; there are /new, /help and /quit")
            elif line:
                self._hear(line)
        except VideoLaVITError as error:
            self.num_failed += 1
            print(printable(f"videolavit: error: {spoken(error)}"), file=sys.stderr)
        except KeyboardInterrupt:  # what was shown is kept for the next question
            if not self._interactive:
                raise
            print("\n(stopped)")

    def show(self, files: tuple[str, ...]) -> None:
        """Files for the next question.

        Raises:
            MediaError: one of them does not exist.
        """
        for file in files:
            self._take_media(media_file(file))

    def _take_media(self, shown: Shown) -> None:
        self._images += shown.images
        for video in shown.videos:
            (self._memories if is_memory_folder(video) else self._videos).append(video)

    def _hear(self, line: str) -> None:
        said = find_media(line)
        self._take_media(said)
        if said.text:
            self._answer(said.text)

    def _answer(self, question: str) -> None:
        config = self._config
        with StageBars(quiet=config.json) as bars, self._forgetting_bad_media():
            stream = self._model.stream_answer(
                question,
                image=self._images or None,
                video=[*self._videos, *self._memories] or None,
                history=self._last,
                max_new_tokens=config.max_new_tokens,
                max_clips=config.max_clips,
                context=config.memory.context_options(config.max_clips),
                **self._sampling,
                progress=until_words(bars),
            )
            for piece in stream:
                bars.close()
                if not config.json:
                    print(printable(piece, keep="\n"), end="", flush=True)
        self._last = _without_moments(stream.answer, question)
        self._images, self._videos = [], []
        print(_as_json(stream.answer) if config.json else "")
        if not config.json:
            tell_moments(stream.answer)

    @contextlib.contextmanager
    def _forgetting_bad_media(self) -> Iterator[None]:
        """Refuse a file that cannot be read: it would spoil every further question."""
        try:
            yield
        except MediaError:
            self._images, self._videos, self._memories = [], [], []
            raise


def _without_moments(answer: Answer, question: str) -> Answer:
    """The answer as the next question remembers it: what was said, without the moments that this one looked at."""
    if not answer.moments:
        return answer
    *before, last = answer.turns
    kept = tuple(one for one in last.media if not any(clip.moment for clip in getattr(one, "clips", ())))
    return replace(answer, turns=(*before, replace(last, question=question, media=kept)))


def _as_json(answer: Answer) -> str:
    moments = {"moments": list(map(asdict, answer.moments))} if answer.moments else {}
    facts = {"question": answer.question, "answer": answer.text, "seconds": round(answer.seconds, 3)}
    return json.dumps({**facts, **moments})
