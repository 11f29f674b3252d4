"""Addresses that open the page on one tab with its fields filled: `/demo/?tab=generate&prompt=a+red+circle&seed=3`.

Uploads are not part of an address. What an address gets wrong, an unknown name or a value out of range, is left out, so
an old link still opens the page.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

__all__ = ["LinkField", "as_choice", "as_number", "as_switch", "as_words", "link_address", "read_link"]

TAB = "tab"
"""Name of the query parameter that says which tab is opened."""

_MOST_CHARACTERS = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkField:
    """One field of a tab that an address can fill."""

    component: Any
    """The part of the page that shows it; the address knows nothing of it."""
    read: Callable[[str], Any]
    """The value of a text.

    Raises:
        ValueError: the text is no value of this field.
    """


def as_words(most: int = _MOST_CHARACTERS) -> Callable[[str], str]:
    """A reader of texts of at most so many characters."""

    def read(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"more than {most} characters")
        return text

    return read


def as_number(least: float | int, most: float | int, *, whole: bool = False) -> Callable[[str], float | int]:
    """A reader of numbers in a range, both ends included."""

    def read(text: str) -> float | int:
        value = int(text) if whole else float(text)
        if not least <= value <= most:  # and no number that is none lies between them
            raise ValueError(f"not within {least} to {most}")
        return value

    return read


def as_choice(values: Collection[str]) -> Callable[[str], str]:
    """A reader of one of several words."""

    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"none of {', '.join(values)}")
        return text

    return read


def as_switch(text: str) -> bool:
    """True for "true", False for "false".

    Raises:
        ValueError: anything else.
    """
    return as_choice(("true", "false"))(text) == "true"


def read_link(
    query: Iterable[tuple[str, str]], tabs: Mapping[str, Mapping[str, LinkField]]
) -> tuple[str, dict[str, Any]]:
    """The tab that an address names, empty where it names none, and the values of its fields by their names."""
    given = dict(query)
    tab = given.pop(TAB, "")
    if tab not in tabs:
        return "", {}
    values: dict[str, Any] = {}
    for name, field in tabs[tab].items():
        try:
            if name in given:
                values[name] = field.read(given[name])
        except ValueError:
            continue
    return tab, values


def link_address(page: str, tab: str, values: Mapping[str, Any]) -> str:
    """Address of the page, opened on a tab with these values; those that are None are left out."""
    given = {name: _text(value) for name, value in values.items() if value is not None}
    return f"{page}?{urlencode({TAB: tab, **given})}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
