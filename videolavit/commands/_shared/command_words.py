"""Messages of the library in the words of the command line.

The library names its arguments as Python does, `max_clips=64`. A command has an option for most of them, and no word
for the others: advice that a user of the command cannot follow is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["in_command_words", "speak_for", "spoken", "told"]

_ARGUMENT = re.compile(r"(?<![\w./\\-])([a-z][a-z_]*)=(\"[^\"]*\"|'[^']*'|[^\s,;:)]*)")
_BOTH = re.compile(r"[\w.]+(?:=\S+)? \(in a command: (--[^)]*)\)")
"""Advice that already names an option beside the argument."""

_options: list[str] = []


def speak_for(options: Sequence[str]) -> None:
    """Set the options of the command that runs, all of the process long."""
    _options[:] = options


def spoken(error: BaseException) -> str:
    """Text of an error in the words of the command that runs."""
    return told(str(error))


def told(message: str) -> str:
    """A message of the library in the words of the command that runs."""
    return in_command_words(message, _options) if _options else message


def in_command_words(message: str, options: Sequence[str]) -> str:
    """A message of the library as a command with these long options would say it.

    `got max_clips=0` becomes `got --max-clips 0`. A clause of advice, one behind a semicolon, that names only arguments
    or options that the command does not have is left out; in other clauses such a name loses its sign.
    """
    first, *advice = message.split("; ")
    kept = [clause for clause in advice if _can_be_followed(clause, options)]
    return "; ".join(_translated(_BOTH.sub(lambda match: match[1], clause), options) for clause in [first, *kept])


def _can_be_followed(clause: str, options: Sequence[str]) -> bool:
    named = [match[1].split()[0] for match in _BOTH.finditer(clause)]
    named += [_option(match[1]) for match in _ARGUMENT.finditer(_BOTH.sub("", clause))]
    return not named or any(option in options for option in named)


def _translated(clause: str, options: Sequence[str]) -> str:
    def translate(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if _option(name) in options:
            return f"{_option(name)} {_plain(value)}".rstrip()
        return match[0] if value else name.replace("_", " ")

    return _ARGUMENT.sub(translate, clause)


def _plain(value: str) -> str:
    """A value without the quotes of Python, and without the names of modules."""
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return bare.removeprefix("torch.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
