"""Serve a model by HTTP, in the shape of OpenAI's API: chat, images, videos, tokens.

It listens on this machine alone unless told otherwise, and then needs a file of keys, one a line.
Any client of OpenAI's API works; docs/serving.md tells of routes, limits and running it for many.

examples:
  videolavit serve
  videolavit serve --port 8080 --keys keys.txt --host 0.0.0.0
  videolavit serve --model checkpoint --name my-model --store /var/lib/videolavit
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.server_options import HERE, check_reach, check_server_libraries, model_name
from videolavit.errors import ConfigError
from videolavit.server.key_file import read_keys

if TYPE_CHECKING:
    from videolavit.server.server_config import ServerConfig

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit serve`."""

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen at; 0.0.0.0 is every network of this machine."""
    port: int = 8000
    """0 for any that is free."""
    name: Annotated[str | None, arg(metavar="NAME")] = None
    """By which clients call the model; by default that of its folder or on the hub."""
    keys: Annotated[Path | None, arg(metavar="FILE")] = None
    """Keys that clients need, one a line; lines that begin with # are comments."""
    no_auth: bool = False
    """Listen to other machines without keys."""
    store: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the videos; by default a folder of this user's cache."""
    memories: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of memories that `remember` made: clients ask about one as the video memory:NAME."""
    keep_hours: float = 24.0
    """Time that finished videos are kept."""
    store_gigabytes: float = 10.0
    """Most that they take; the oldest go first."""
    allow_host: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """A name of this server, besides localhost, under which it may be asked; may be repeated, * for any."""
    allow_origin: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="URL")] = ()
    """A page elsewhere whose scripts may use this server; may be repeated."""
    fetch: bool = False
    """Fetch images and videos from public addresses that clients name."""
    fetch_from: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """Fetch from this host alone; may be repeated."""
    slots: int = 16
    """Answers that are written at once."""
    answer_wait_seconds: float = 60.0
    """Refuse questions that would wait longer for their turn."""
    drain_seconds: float = 30.0
    """Time for work under way when the server is asked to stop."""
    access_log: bool = False
    """Print a line for each request, without its content."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)


def run(config: Config) -> int:
    """Serve until the process is told to stop."""
    check_server_libraries()
    server_config = _server_config(config)
    from videolavit.server.app import create_app
    from videolavit.server.run import listen, serve
    from videolavit.server.warm_up import warm_up

    listening = listen(config.host, config.port)
    app = create_app(lambda: warm_up(open_model(config.model)), server_config)
    host = f"[{config.host}]" if ":" in config.host else config.host
    print(f"videolavit: {server_config.model_name} at http://{host}:{listening.getsockname()[1]}/v1", flush=True)
    return serve(app, listening, access_log=config.access_log)


def _server_config(config: Config) -> ServerConfig:
    from videolavit.server.engine import EngineConfig, LaneConfig
    from videolavit.server.server_config import ServerConfig

    keys = () if config.keys is None else read_keys(config.keys)
    for name in ("keep_hours", "store_gigabytes", "drain_seconds", "answer_wait_seconds"):
        value = getattr(config, name)
        if not 0 < value < 1e9:  # NaN is neither
            raise ConfigError(f"got --{name.replace('_', '-')} {value:g}, expected more than 0 and less than 1e9")
    check_reach(config.host, keys, config.no_auth)
    answers = LaneConfig(max_cost=EngineConfig().answers.max_cost, max_wait_seconds=config.answer_wait_seconds)
    return ServerConfig(
        store=config.store or _default_store(),
        memories=config.memories,
        model_name=config.name or model_name(config.model.model),
        keys=keys,
        hosts=config.allow_host or (() if config.host in HERE else ("*",)),
        origins=config.allow_origin,
        fetch=config.fetch or bool(config.fetch_from),
        fetch_hosts=config.fetch_from,
        answer_slots=config.slots,
        keep_seconds=3600 * config.keep_hours,
        store_bytes=round(1e9 * config.store_gigabytes),
        drain_seconds=config.drain_seconds,
        engine=EngineConfig(answers=answers),
    )


def _default_store() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "videolavit" / "videos"
