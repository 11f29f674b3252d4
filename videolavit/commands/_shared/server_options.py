"""Checks of the commands that serve a model: needed libraries, and other machines."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from videolavit.errors import ConfigError
from videolavit.shipped import DEFAULT_MODEL

__all__ = ["HERE", "check_reach", "check_server_libraries", "model_name"]

HERE = ("127.0.0.1", "localhost", "::1")
_NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "h11")


def check_server_libraries(*more: str, extra: str = "serve") -> None:
    """Raise ConfigError if a library that the server needs is missing, or one of `more`; `extra` brings them all."""
    if missing := [name for name in (*_NEEDED, *more) if not importlib.util.find_spec(name)]:
        raise ConfigError(
            f"this needs {', '.join(missing)}; install what it needs with: pip install 'videolavit[{extra}]'"
        )


def check_reach(host: str, keys: tuple[str, ...], no_auth: bool) -> None:
    """Raise ConfigError where other machines would be let in without keys."""
    if host not in HERE and not keys and not no_auth:
        raise ConfigError(f"--host {host} lets other machines use this server; give it --keys FILE, or say --no-auth")


def model_name(model: str | None) -> str:
    """The name by which clients call a model: that of its folder or on the hub."""
    if model is None:
        return DEFAULT_MODEL
    return Path(model).resolve().name if Path(model).is_dir() else model
