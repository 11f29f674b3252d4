"""Lines that repeat a result of the page: as a command, in Python, and by HTTP.

Words, seed and options give the same file to the byte. Where an image or a video was given, its file name stands in
the lines; a command also writes the names of its inputs into the file, so there the frames are the same, and the file
but for that note.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videolavit.pipeline.media import is_still
from videolavit.shipped import DEFAULT_MODEL
from videolavit.video.io.images import IMAGE_EXTENSIONS

__all__ = ["RepeatLines", "media_kind", "repeat_call", "repeat_curl", "repeat_python"]

_TAKE_IMAGE = (
    'import sys, json, base64; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))'
)
_OPENED = "VideoLaVIT.from_pretrained()"
_NOT_SENT = "# the API has no such request; use the command or Python"


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatLines:
    """The three forms, and an address of the page with the same fields."""

    command: str
    python: str
    curl: str = _NOT_SENT
    link: str = ""
    """Empty where fields alone do not tell the result."""

    def with_model(self, name: str) -> RepeatLines:
        """The same lines for a model that has to be named; those that need no model stay as they are.

        A server knows its own model, so requests need no name.
        """
        if name == DEFAULT_MODEL or _OPENED not in self.python:
            return self
        python = self.python.replace(_OPENED, f"VideoLaVIT.from_pretrained({name!r})", 1)
        is_command = self.command.startswith("videolavit ")
        command = f"{self.command} --model {shlex.quote(name)}" if is_command else self.command
        return replace(self, command=command, python=python)


def media_kind(path: str) -> str:
    """ "image" or "video": the argument that takes a file, as the page itself decides; by its name if it is gone."""
    if Path(path).is_file():
        return "image" if is_still(path) else "video"
    extension = Path(path).suffix.lower()
    return "image" if extension in IMAGE_EXTENSIONS and extension != ".gif" else "video"


def repeat_call(command: str, *positional: str, output: str, **options: Any) -> str:
    """A command line; options that are None or False are left out, and names get dashes.

    >>> repeat_call("video", "a red circle", output="out.mp4", seed=1)
    "videolavit video 'a red circle' -o out.mp4 --seed 1"
    """
    words = ["videolavit", command, *positional, "-o", output]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, _plain(value)]
    return shlex.join(words)


def repeat_python(method: str, *arguments: str, output: str, **options: Any) -> str:
    """Python lines; `arguments` are expressions, options that are None or False are left out."""
    given = [f"{name}={value!r}" for name, value in options.items() if value is not None and value is not False]
    call = ", ".join([*arguments, *given])
    return (
        "from videolavit import VideoLaVIT\n\n"
        f"model = {_OPENED}\n"
        f"result = model.{method}({call})\n"
        f"result.save({output!r})\n"
    )


def repeat_curl(
    address: str,
    route: str,
    fields: Mapping[str, Any],
    *,
    output: str,
    files: Mapping[str, str] | None = None,
    needs_key: bool = False,
    json_image: bool = False,
) -> str:
    """A request by curl: JSON, or a form where there are files.

    Args:
        address: of the server, without a path.
        route: such as /v1/videos/sync.
        fields: those that are None or False are left out.
        output: file for the answer.
        files: names of files by field.
        needs_key: whether the server asks for a key.
        json_image: the answer is JSON with the image in base64, which is taken out.
    """
    given = {name: value for name, value in fields.items() if value is not None and value is not False}
    words = ["curl", "-s", address + route]
    words += ["-H", "Authorization: Bearer $KEY"] if needs_key else []
    if files:
        for name, value in given.items():
            words += ["--form-string", f"{name}={_plain(value)}"]  # -F reads values that begin with @ as files
        words += [word for name, file in files.items() for word in ("-F", f"{name}=@{_form_file(file)}")]
    else:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(given, ensure_ascii=False)]
    line = " ".join(f'"{word}"' if "$KEY" in word else shlex.quote(word) for word in words)
    if json_image:
        return f"{line} | python3 -c {shlex.quote(_TAKE_IMAGE)} > {shlex.quote(output)}"
    return f"{line} -o {shlex.quote(output)}"


def plain_name(path: str | Path) -> str:
    """Name of an upload without its folder."""
    return Path(path).name


def _form_file(name: str) -> str:
    """A file's name as curl's -F takes it: in quotes where it has signs that mean something there."""
    if not set(name) & set(',;"'):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
