"""Options of a command, read by tyro: plain help texts, and what makes no sense told in one line.

The words of tyro about types of Python (`{None}|INT`, "could be instantiated") do not reach a user.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import re
import shlex
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from videolavit.errors import ConfigError

__all__ = ["option_names", "parse_arguments", "quiet_parse"]

MARKERS = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName)

RENAMED = {
    "--steps": ("--num-inference-steps",),
    "--keyframe-steps": ("--keyframe-num-inference-steps",),
    "--keyframe-guidance": ("--keyframe-guidance-scale",),
    "--max-guidance": ("--max-guidance-scale",),
    "--min-guidance": ("--min-guidance-scale",),
    "--guidance": ("--guidance-scale",),
    "--cfg": ("--guidance-scale",),
    "--cfg-scale": ("--guidance-scale",),
    "--decode-chunk": ("--decode-chunk-size",),
    "--motion-bucket": ("--motion-bucket-id",),
    "--noise-augmentation": ("--noise-aug-strength",),
    "--noise": ("--continuation",),
    "--max-ids": ("--max-new-tokens",),
    "--max-tokens": ("--max-new-tokens",),
    "--max-length": ("--max-new-tokens",),
    "--picture": ("--image", "FILE"),
    "--picture-types": ("--image-types",),
    "--no-pictures": ("--no-images",),
    "--num-images": ("--num-outputs",),
    "--num-images-per-prompt": ("--num-outputs",),
    "--num-videos-per-prompt": ("--num-outputs",),
    "--num-frames": ("--clips",),
    "--frames": ("--clips",),
    "--overwrite": ("--force",),
    "--torch-dtype": ("--dtype",),
    "--out": ("--output",),
    "--verbose": ("--debug",),
}
"""Options of earlier versions and of other programs, and what stands for them here."""

_PROMPT_PLACES = {"image": 0, "video": 0, "animate": 1, "continue": 1}
"""Commands with a prompt, and the number of words before it."""

_NAMES_OF_FILES = ("-o", "--output", "--preview", "--export", "--index", "--save-tokens", "--show", "--like", "--story")
"""Options with the name of a file or a folder."""

_EXPECTED = {int: "a whole number", float: "a number", str: "text"}
_METAVAR = {int: "INT", float: "FLOAT", str: "TEXT"}
_NO_DEFAULT = re.compile(r"\(default:(?:\s*(?:│\n│\s*)?)(?:None|False|'')?\)")
_BLANK_ROW = re.compile(r"^│\s*│\n", re.MULTILINE)


def parse_arguments(name: str, config: type[Any], arguments: Sequence[str]) -> Any:
    """The options of a command as an instance of its `Config`; prints help and exits if that is asked for.

    Raises:
        ConfigError: an option is unknown, missing, or has a value of another kind; or stdout is to take two things.
    """
    _refuse_empty_names(arguments)
    parsed = quiet_parse(
        lambda: tyro.cli(config, prog=f"videolavit {name}", description="", args=list(arguments), config=MARKERS),
        name=name,
        arguments=arguments,
        options=option_names(config),
    )
    _check_stdout(parsed)
    return parsed


def _refuse_empty_names(arguments: Sequence[str]) -> None:
    """Refuse files without a name, which Python takes for the current folder."""
    for option, value in itertools.pairwise(arguments):
        if option == "--":
            return
        if not value and option in _NAMES_OF_FILES:
            raise ConfigError(f"{option} is followed by an empty name; name a file, or leave {option} out")


def _check_stdout(config: Any) -> None:
    """Refuse the bytes of a result and a JSON document on the same stdout."""
    groups = [config, *(getattr(config, field.name) for field in fields(config))]
    if getattr(config, "json", False) and any(getattr(group, "output", None) == Path("-") for group in groups):
        raise ConfigError("--json and -o - both write to stdout; name a file with -o, or leave --json out")


def quiet_parse(parse: Callable[[], Any], *, name: str, arguments: Sequence[str], options: Sequence[str] = ()) -> Any:
    """The result of `parse`, a call of tyro, whose complaint in a box becomes one `ConfigError`."""
    out, err = _Captured(), _Captured()
    try:
        with _registry(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return parse()
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise ConfigError(_complaint(err.getvalue(), name, list(arguments), options)) from None
        print(_plain_help(out.getvalue()), end="")
        raise


class _Captured(io.StringIO):
    """Text in the frames that tyro draws for a terminal of UTF-8, whatever the terminal is."""

    encoding = property(lambda self: "utf-8")  # type: ignore[assignment]


def option_names(config: type[Any]) -> list[str]:
    """The long options of a `Config`, those of groups within it included."""
    hints = typing.get_type_hints(config)
    names: list[str] = []
    for field in fields(config):
        if is_dataclass(hints[field.name]):
            names += option_names(typing.cast("type[Any]", hints[field.name]))
        else:
            names.append("--" + field.name.replace("_", "-"))
    return names


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_plain_value)
    return registry


def _plain_value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Numbers, words and choices, each of which may be left out, under names that a person would give them."""
    kind, optional = _without_none(info.type)
    if typing.get_origin(kind) is Literal and optional:
        choices = typing.get_args(kind)
        return _spec("{" + ",".join(choices) + "}", lambda words: words[0], optional, choices)
    if kind in (int, float) or (kind is str and optional):
        return _spec(_METAVAR[kind], lambda words: _read(kind, words[0]), optional)
    return None


def _without_none(kind: Any) -> tuple[Any, bool]:
    """`int` of `int | None`, and whether None was in it."""
    if typing.get_origin(kind) not in (UnionType, typing.Union):
        return kind, False
    others = [one for one in typing.get_args(kind) if one is not type(None)]
    return (others[0], True) if len(others) == 1 else (kind, False)


def _spec(
    metavar: str, read: Callable[[list[str]], Any], optional: bool, choices: tuple[str, ...] | None = None
) -> PrimitiveConstructorSpec:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: optional if value is None else isinstance(value, int | float | str),
        str_from_instance=lambda value: [] if value is None else [str(value)],
        choices=choices,
    )


def _read(kind: type, word: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise ValueError(f"expected {_EXPECTED[kind]}, got {word!r}") from None


def _plain_help(text: str) -> str:
    """Help without defaults that say nothing, such as `(default: None)`."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^│\n]", " ", match[0])

    text = _BLANK_ROW.sub("", _NO_DEFAULT.sub(blank, text))
    has_frames = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return text if has_frames else text.translate(str.maketrans("╭╮╰╯│─", "++++|-"))


def _complaint(box: str, name: str, arguments: list[str], options: Sequence[str]) -> str:
    """A box of tyro as one line in the words of the command line."""
    title, rows = _unboxed(box)
    told = " ".join(row.strip() for row in _until_rule(rows)).rstrip(".")
    more = f"videolavit {name} --help lists the options"
    if title == "Required options":
        return f"missing {_missing(rows)}; {more}"
    if title == "Unrecognized options":
        return _unrecognised(told.partition(":")[2].strip(), name, arguments, options)
    told = re.sub(r"^Error parsing (\S+):", r"\1:", told)
    told = re.sub(
        r"invalid choice ('.*') for argument '(.*)'\. Expected one of \((.*?),?\)", r"\2: \1 is none of \3", told
    )
    told = re.sub(r"Missing value for argument '(.*)'\. Expected .*", r"\1: a value is missing behind it", told)
    told = re.sub(r"\. Got errors:.*", "", told)
    return f"{told or 'the command line makes no sense'}; {more}"


def _unboxed(box: str) -> tuple[str, list[str]]:
    """Title and rows of the last box."""
    title, rows = "", []
    for line in box.splitlines():
        if line.startswith("╭"):
            title, rows = line.strip("╭╮─ "), []
        elif line.startswith("│"):
            rows.append(line[2:].removesuffix("│").rstrip())
    return title, rows


def _until_rule(rows: Sequence[str]) -> Iterator[str]:
    for row in rows:
        if row.startswith("───"):
            return
        yield row


def _missing(rows: Sequence[str]) -> str:
    """Names of what is required: rows that are indented once; texts of help are indented twice."""
    entries = [row.strip() for row in _until_rule(rows) if re.match(r" {4}\S", row)]
    names = [entry.split(", --")[0] for entry in entries]
    return " and ".join(dict.fromkeys(names)) or "something"


def _unrecognised(told: str, name: str, arguments: list[str], options: Sequence[str]) -> str:
    option = next((word.rstrip(",") for word in told.split() if word.startswith("-")), None)
    first = told.split(", ")[0]
    if first.startswith("-") or (option and not {"--prompt", "--question"} & set(options)):
        return _unknown_option((option or first).split("=")[0], name, options)
    if name in _PROMPT_PLACES and (line := _quoted(name, arguments, first)):
        return f"the prompt has several words and no quotes around them; write: videolavit {line}"
    if name == "answer":
        return f'got more than the command takes: {told}; a question of several words needs quotes: "What is it?"'
    return f"got more than the command takes: {told}; videolavit {name} --help shows examples"


def _quoted(name: str, arguments: list[str], beyond: str) -> str | None:
    """The command line with quotes around its prompt; `beyond` is the first word that the command does not take."""
    place = _PROMPT_PLACES[name]
    words = _leading_words(arguments)
    if len(words) > place:  # the prompt begins before any option
        start, end, more = place, len(words), [] if len(words) > place + 1 else _words_from(arguments, beyond)
    else:
        at = next((k for k, word in enumerate(arguments) if k and word.rstrip(",") == beyond.rstrip(",")), None)
        if at is None:
            return None
        start, end, more = at - 1, at + len(_leading_words(arguments[at:])), []
    prompt = " ".join([*arguments[start:end], *more])
    return " ".join([name, *map(shlex.quote, arguments[:start]), f'"{prompt}"', "..."])


def _words_from(arguments: list[str], word: str) -> list[str]:
    return _leading_words(arguments[arguments.index(word) :]) if word in arguments else []


def _leading_words(arguments: Sequence[str]) -> list[str]:
    """Everything before the first option."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return words


def _unknown_option(option: str, name: str, options: Sequence[str]) -> str:
    renamed = [new for new in RENAMED.get(option, ()) if new in options or not new.startswith("--")]
    if option == "--steps" and name == "image":
        renamed = ["--keyframe-num-inference-steps"]
    close = renamed or difflib.get_close_matches(option, options, n=1, cutoff=0.7)
    inside = [known for known in options if option.lstrip("-") and option.lstrip("-") in known]
    if renamed:
        return f"{option} is called {renamed[0]} here; videolavit {name} --help lists the options"
    if close or (inside and len(option) > 4):
        return f"no option {option}; did you mean {(close or inside)[0]}? videolavit {name} --help lists all"
    return f"no option {option}; videolavit {name} --help lists those that there are"
