"""Frozen dataclasses to and from JSON; the only serialisation of configuration in the package.

A configuration is a frozen, keyword-only dataclass that stands beside the class it configures. Unknown keys are an
error, never ignored: a misspelt option that is silently dropped costs a training run.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from videolavit.errors import ConfigError

__all__ = [
    "from_dict",
    "load_config",
    "options_of",
    "plain_number",
    "refuse_unknown",
    "save_config",
    "to_dict",
    "true_or_false",
    "whole_number",
]

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Plain JSON values of a configuration, nested ones included."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Config], values: Any, *, where: str = "configuration") -> Config:
    """Build `cls` from plain JSON values; `where` names their origin in error messages.

    Lists become tuples and nested objects nested dataclasses, as the annotations say.

    Raises:
        ConfigError: a key is unknown or missing, or the class refuses a value.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: got {type(values).__name__}, expected an object with the fields of {cls.__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        known = ", ".join(sorted(fields))
        raise ConfigError(f"{where}: unknown key {', '.join(map(repr, unknown))} for {cls.__name__}; known are {known}")
    hints = typing.get_type_hints(cls)
    converted = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**converted)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: cannot build {cls.__name__}: {error}") from error


def plain_number(value: Any) -> Any:
    """A scalar of NumPy as the number of Python that JSON can hold; anything else as it is."""
    as_python = getattr(value, "item", None)
    return as_python() if isinstance(value, numbers.Number) and callable(as_python) else value


def whole_number(name: str, value: Any, *, at_least: int, at_most: int | None = None) -> int:
    """A value as a whole number, from a scalar of NumPy, too; `name` stands in messages.

    Raises:
        ConfigError: it is something else, less or more.
    """
    number = plain_number(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise ConfigError(f"got {name}={number!r}, expected a whole number")
    if number < at_least:
        raise ConfigError(f"got {name}={number}, expected at least {at_least}")
    if at_most is not None and number > at_most:
        raise ConfigError(f"got {name}={number}, expected at most {at_most}")
    return number


def true_or_false(name: str, value: Any) -> bool:
    """A value as a truth value, from a scalar of NumPy, too; `name` stands in messages.

    Raises:
        ConfigError: it is something else, such as the text "no", which Python takes for true.
    """
    plain = value.item() if getattr(value, "shape", None) == () else value
    if not isinstance(plain, bool):
        raise ConfigError(f"got {name}={value!r}, expected True or False")
    return plain


def refuse_unknown(given: Iterable[str], known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> None:
    """Refuse options that do not exist; `elsewhere` says what stands for the names of other libraries.

    Raises:
        ConfigError: an option that was given is not known.
    """
    known = set(known)
    if unknown := sorted(set(given) - known):
        hints = "".join(
            f"; for {name} there is {elsewhere[name]}" for name in unknown if elsewhere and name in elsewhere
        )
        raise ConfigError(f"unknown option {', '.join(unknown)}{hints}; known are {', '.join(sorted(known))}")


def options_of(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a function takes by name alone."""
    arguments = inspect.signature(function).parameters.values()
    return [argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY]


def save_config(config: Any, path: str | Path) -> None:
    """Write a configuration as indented JSON."""
    Path(path).write_text(json.dumps(to_dict(config), indent=2) + "\n")


def load_config(cls: type[Config], path: str | Path) -> Config:
    """Read a configuration that `save_config` wrote.

    Raises:
        ConfigError: the file is not JSON, or its keys are not those of `cls`.
    """
    try:
        values = json.loads(Path(path).read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: not a JSON file: {error}") from error
    return from_dict(cls, values, where=str(path))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        hint = next(argument for argument in arguments if argument is not type(None))
        return _convert(hint, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value, where=where)
    if origin is tuple and isinstance(value, list | tuple):
        element = arguments[0] if arguments else Any
        return tuple(_convert(element, item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where}: got {value!r}, expected {hint.__name__}")
    return value
