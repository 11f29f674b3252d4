"""The images or videos that one command line asks for: of several prompts, or several of one."""

from __future__ import annotations

import codecs
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from videolavit.commands._shared.command_words import spoken
from videolavit.commands._shared.console import print_json, printable
from videolavit.commands._shared.report import named, tell
from videolavit.commands._shared.result_files import ResultFile
from videolavit.errors import ConfigError, MediaError, PromptError

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo

__all__ = ["HowMany", "Request", "answer_requests", "new_seed", "read_prompts"]

_MOST_LETTERS = 2**20
"""In a file of prompts; a longer one is refused, and not cut off."""
_SEEDS = 2**31
"""Seeds that are drawn; one that somebody chose may be any whole number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HowMany:
    """Number of results, and their prompts."""

    num_outputs: int = 1
    """Results for each prompt, with the seeds that follow one another."""
    prompts: Annotated[Path | None, arg(metavar="FILE")] = None
    """A file with a prompt in each line, or - for stdin, in place of the prompt."""

    def requests(
        self, prompt: str, seed: int, files: ResultFile, extension: str, *sources: str | None
    ) -> list[Request]:
        """Prompts with their seeds and files, all checked before any work.

        Raises:
            ConfigError: no result is asked for, or a file exists.
            MediaError: the file of prompts cannot be read.
            PromptError: it has no prompt.
        """
        if not 1 <= self.num_outputs <= 1000:
            raise ConfigError(f"--num-outputs: expected a number from 1 to 1000, got {self.num_outputs}")
        if self.prompts is not None and prompt:
            raise ConfigError("give a prompt or --prompts FILE, not both")
        prompts = [prompt] if self.prompts is None else read_prompts(self.prompts)
        asked = [one for one in prompts for _ in range(self.num_outputs)]
        stems = [one or Path(next(filter(None, sources), "result")).stem for one in asked]
        paths = files.paths(stems, extension, *sources, in_folder=self.prompts is not None or len(asked) > 1)
        return [
            Request(prompt=one, seed=seed + k, output=path)
            for k, (one, path) in enumerate(zip(asked, paths, strict=True))
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One result."""

    prompt: str
    seed: int
    output: Path


def new_seed() -> int:
    """A seed that nobody chose; it is told, and kept in the file."""
    return secrets.randbelow(_SEEDS)


def answer_requests(
    requests: list[Request],
    draw: Callable[[Request], GeneratedImage | GeneratedVideo],
    *,
    json: bool,
    fps: float | None = None,
    **sources: Any,
) -> int:
    """Generate and write one after another; a prompt that fails does not stop the others. The exit code."""
    documents: list[dict[str, Any]] = []
    failed = 0
    for request in requests:
        try:
            result = draw(request)
        except PromptError as error:
            if len(requests) == 1:
                raise
            failed += 1
            print(printable(f"videolavit: failed: {request.prompt!r}: {spoken(error)}"), file=sys.stderr)
            continue
        documents.append(tell(result, request.output, json=json, fps=fps, made_from=named(**sources)))
    if json:
        print_json(documents[0] if len(requests) == 1 else {"outputs": documents})
    return 1 if failed else 0


def read_prompts(file: Path) -> list[str]:
    """Lines of a file, or of stdin for -, without empty ones.

    Raises:
        MediaError: it cannot be read, or is too large.
        PromptError: there is none.
    """
    try:
        text = _start_of(file).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise MediaError(f"{file}: no such file; relative paths start at {os.getcwd()!r}") from error
    except OSError as error:
        raise MediaError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MediaError(f"{file}: is no text; expected a prompt in each line") from error
    if len(text) > _MOST_LETTERS:
        raise _too_long(file)
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise PromptError(f"{file}: has no prompt; expected one in each line")
    return prompts


def _start_of(file: Path) -> bytes:
    """The bytes of a file or of stdin; one that is too large for prompts is not read to its end."""
    most = 4 * _MOST_LETTERS + len(codecs.BOM_UTF8)
    if file == Path("-"):
        data = sys.stdin.buffer.read(most + 1)
    else:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    if len(data) > most:
        raise _too_long(file)
    return data


def _too_long(file: Path) -> MediaError:
    return MediaError(f"{file}: has more than {_MOST_LETTERS} letters; give fewer prompts at a time")
