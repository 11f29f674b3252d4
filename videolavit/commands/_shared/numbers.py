"""Numbers of the command line that are no whole ones: finite, in their range and in order."""

from __future__ import annotations

import math

from videolavit.errors import ConfigError

__all__ = ["check_number", "check_order"]


def check_number(
    option: str, value: float | int | None, *, above: float | int | None = None, at_least: float | int = 0
) -> None:
    """Refuse a number that is not finite, or too small; None is an option that was left out.

    Raises:
        ConfigError: it is not above `above`, or where that is None, less than `at_least`.
    """
    if value is None:
        return
    if not (math.isfinite(value) and (value >= at_least if above is None else value > above)):
        expected = f"of at least {at_least:g}" if above is None else f"above {above:g}"
        raise ConfigError(f"got {option} {value:g}, expected a number {expected}")


def check_order(least_option: str, least: float | int, most_option: str, most: float | int | None) -> None:
    """Raise `ConfigError` for a range that holds nothing."""
    if most is not None and least > most:
        raise ConfigError(f"{least_option} {least:g} is more than {most_option} {most:g}; nothing is in between")
