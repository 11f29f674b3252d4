"""Configuration of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from videolavit.errors import ConfigError
from videolavit.server.engine import EngineConfig
from videolavit.server.request_limits import RequestLimits
from videolavit.shipped import DEFAULT_MODEL

__all__ = ["ServerConfig"]


_LARGEST = 1e15
"""Seconds, or bytes: more than any server lasts or stores, and still a whole number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """Settings of one server."""

    store: Path
    """Folder for videos; one server at a time uses it."""
    memories: Path | None = None
    """Folder of the memories of long videos that clients may name."""
    model_name: str = DEFAULT_MODEL
    """By which clients call the model."""
    keys: tuple[str, ...] = ()
    """Without any, everybody may use the server."""
    hosts: tuple[str, ...] = ()
    """Names, besides this machine's own, for which it answers; "*" for any."""
    origins: tuple[str, ...] = ()
    """Pages elsewhere whose scripts may use it."""
    fetch: bool = False
    """Fetch media from addresses that clients name."""
    fetch_hosts: tuple[str, ...] = ()
    """The only hosts that it fetches from; empty for all public ones."""
    page: str | None = None
    """Path below which a page is mounted that has a login of its own, such as /demo."""
    answer_slots: int = 16
    """Answers that are written at once."""
    media_workers: int = 2
    keep_seconds: float | int = 86400.0
    """Time that finished videos are kept."""
    store_bytes: float | int = 1e10
    """Most that they take."""
    drain_seconds: float | int = 30.0
    """Given to work under way when the server stops."""
    limits: RequestLimits = field(default_factory=RequestLimits)
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        if "*" in self.origins:
            raise ConfigError('got "*" as an origin; name the pages that may use the server')
        if not 1 <= self.answer_slots <= 1024 or self.media_workers < 1:
            raise ConfigError(f"got {self.answer_slots} slots and {self.media_workers} workers, expected at least 1")
        for name in ("keep_seconds", "store_bytes", "drain_seconds"):
            value = getattr(self, name)
            if not 0 < value <= _LARGEST:  # NaN is neither
                raise ConfigError(f"got {name}={value}, expected a number above 0 and at most {_LARGEST:g}")
