"""The libraries that this package asks for: which are there, and whether they are new enough."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

__all__ = ["Library", "extras_for_users", "libraries"]

FOR_DEVELOPERS = {"all", "browser", "dev", "docs", "test"}
"""Optional dependencies that are for working on the package, or no feature of their own."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that the package asks for."""

    name: str
    needed: str
    """Versions that will do, such as `>=2.6`."""
    extras: tuple[str, ...]
    """Optional features that need it; none where nothing works without it."""
    version: str | None
    """Version that is installed, None for nothing."""
    fits: bool

    @property
    def is_problem(self) -> bool:
        """True if something that everybody uses will not work."""
        return not self.fits and (not self.extras or self.version is not None)

    @property
    def advice(self) -> str:
        """Command that installs a library that does not fit."""
        target = f"videolavit[{self.extras[0]}]" if self.extras else "videolavit"
        return f"pip install '{target}'"


def extras_for_users(package: str = "videolavit") -> tuple[str, ...]:
    """Names of the optional features, as the installed metadata have them; none where the package is not installed."""
    try:
        named = metadata.metadata(package).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return ()
    return tuple(name for name in named if name not in FOR_DEVELOPERS)


def libraries(package: str = "videolavit") -> list[Library]:
    """Libraries that an installed package asks for; empty if it is not installed but runs from its source.

    Where an extra takes another one along, as `ray` takes `serve`, its libraries count for both.
    """
    try:
        requirements = [Requirement(line) for line in metadata.requires(package) or []]
    except metadata.PackageNotFoundError:
        return []
    taken = {extra: _taken_along(extra, requirements, package) for extra in extras_for_users(package)}
    own = [requirement for requirement in requirements if requirement.name != package]
    found: dict[str, Library] = {}
    for requirement in own:
        if _applies(requirement, ""):
            found[requirement.name] = _library(requirement, ())
    for requirement in own:
        # The extra that names a library itself comes before those that take it along: it is the advice.
        extras = [extra for extra in taken if _applies(requirement, extra)]
        extras += [one for one in taken if one not in extras and taken[one] & set(extras)]
        if extras and requirement.name not in found:
            found[requirement.name] = _library(requirement, tuple(extras))
    return sorted(found.values(), key=lambda library: (library.extras, library.name))


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _taken_along(extra: str, requirements: list[Requirement], package: str) -> set[str]:
    """Other extras that one asks for, and those that they ask for."""
    found: set[str] = set()
    waiting = [extra]
    while waiting:
        name = waiting.pop()
        asked = [one for one in requirements if one.name == package and _applies(one, name)]
        waiting += [other for one in asked for other in one.extras if other not in found]
        found |= {other for one in asked for other in one.extras}
    return found


def _library(requirement: Requirement, extras: tuple[str, ...]) -> Library:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        version = None
    return Library(
        name=requirement.name,
        needed=str(requirement.specifier),
        extras=extras,
        version=version,
        fits=version is not None and requirement.specifier.contains(_plain(version), prereleases=True),
    )


def _plain(version: str) -> str:
    """Without what a build adds, `+cpu` for instance."""
    return re.split(r"\+", version)[0]
