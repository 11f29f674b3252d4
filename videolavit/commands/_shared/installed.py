"""The libraries that this package asks for: which are there, and whether they are new enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

__all__ = ["Library", "libraries"]

EXTRAS_FOR_USERS = ("web", "train", "heic")
"""Optional dependencies that are not for developers alone."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that the package asks for."""

    name: str
    needed: str
    """Versions that will do, such as `>=2.6`."""
    extra: str | None
    """The optional feature that it is for; None where nothing works without it."""
    version: str | None
    """What is installed, None for nothing."""
    fits: bool

    @property
    def is_problem(self) -> bool:
        """Whether something that everybody uses will not work."""
        return not self.fits and (self.extra is None or self.version is not None)

    @property
    def advice(self) -> str:
        """What to do about a library that does not fit."""
        target = "videolavit" if self.extra is None else f"videolavit[{self.extra}]"
        return f"pip install '{target}'"


def libraries(package: str = "videolavit") -> list[Library]:
    """What an installed package asks for; empty if it is not installed but runs from its source."""
    try:
        requirements = [Requirement(line) for line in metadata.requires(package) or []]
    except metadata.PackageNotFoundError:
        return []
    found = (_library(requirement, extra) for requirement in requirements for extra in _extras(requirement))
    return sorted(found, key=lambda library: (library.extra or "", library.name))


def _extras(requirement: Requirement) -> Iterator[str | None]:
    """None for what everybody needs, else the features for users that need it."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        yield None
        return
    yield from (extra for extra in EXTRAS_FOR_USERS if requirement.marker.evaluate({"extra": extra}))


def _library(requirement: Requirement, extra: str | None) -> Library:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        version = None
    return Library(
        name=requirement.name,
        needed=str(requirement.specifier),
        extra=extra,
        version=version,
        fits=version is not None and requirement.specifier.contains(_plain(version), prereleases=True),
    )


def _plain(version: str) -> str:
    """Without what a build adds, `+cpu` for instance."""
    return re.split(r"\+", version)[0]
