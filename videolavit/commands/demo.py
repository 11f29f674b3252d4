"""Open a page in the browser on which tokens and motion can be seen and touched, with the API beside it.

It listens on this machine alone unless told otherwise, and then needs a file of keys, one a line: the passwords of
the page, and the keys of /v1. Nothing is fetched from elsewhere.

examples:
  videolavit demo
  videolavit demo --open-browser
  videolavit demo --model checkpoint --port 8080
  videolavit demo --host 0.0.0.0 --keys keys.txt
  videolavit demo --mcp
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.server_options import check_reach, check_server_libraries, model_name
from videolavit.server.key_file import read_keys

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit demo`."""

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen at; 0.0.0.0 is every network of this machine."""
    port: int = 7860
    """0 for any that is free."""
    keys: Annotated[Path | None, arg(metavar="FILE")] = None
    """Keys that visitors need as the password, one a line; lines that begin with # are comments."""
    no_auth: bool = False
    """Let other machines in without keys."""
    allow_host: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """A name of this machine, besides localhost, under which the page may be opened; may be repeated, * for any."""
    store: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder for videos of the API; by default a folder that is deleted at the end."""
    mcp: bool = False
    """Offer the page's functions as tools of the Model Context Protocol; not beside keys."""
    open_browser: bool = False
    """Open the page in the browser of this machine."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)


def run(config: Config) -> int:
    """Serve the page until the process is told to stop."""
    check_server_libraries("gradio", *(["mcp"] if config.mcp else []), extra="mcp" if config.mcp else "demo")
    keys = () if config.keys is None else read_keys(config.keys)
    check_reach(config.host, keys, config.no_auth)

    import tempfile

    from videolavit.demo import prepare_environment

    prepare_environment()
    from videolavit.commands._shared.server_options import HERE
    from videolavit.demo.page_app import PAGE, serve_page
    from videolavit.server.server_config import ServerConfig
    from videolavit.server.warm_up import warm_up

    with tempfile.TemporaryDirectory(prefix="videolavit-store-") as folder:
        server_config = ServerConfig(
            store=config.store or Path(folder),
            model_name=model_name(config.model.model),
            keys=keys,
            hosts=config.allow_host or (() if config.host in HERE else ("*",)),
            page=PAGE,
        )
        return serve_page(
            lambda: warm_up(open_model(config.model)),
            server_config,
            host=config.host,
            port=config.port,
            mcp=config.mcp,
            open_browser=config.open_browser,
        )
