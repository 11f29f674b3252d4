"""The server's app with the page mounted on it, and the program that serves both."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from videolavit.demo import prepare_environment
from videolavit.errors import ConfigError
from videolavit.server.app import create_app
from videolavit.server.middleware import is_key
from videolavit.server.run import listen, serve
from videolavit.server.server_config import ServerConfig

__all__ = ["PAGE", "create_page_app", "serve_page"]

PAGE = "/demo"
"""Path of the page; `/` leads there."""


def create_page_app(load: Callable[[], Any], config: ServerConfig, *, mcp: bool = False) -> FastAPI:
    """The app of `videolavit serve` with the page beside its routes.

    Args:
        load: gives a `VideoLaVIT`; called on the engine's thread, while the page can be used already.
        config: how the server behaves; its keys are the passwords of the page.
        mcp: offer the page's functions as tools of the Model Context Protocol, at /demo/gradio_api/mcp/.

    Raises:
        OutputError: the folder for videos cannot be used.
        ConfigError: there are keys, and tools beside them.
    """
    if mcp and config.keys:
        raise ConfigError(
            "tools of the Model Context Protocol cannot log in to a page with keys; leave out --keys or --mcp, and let "
            "only this machine use the tools"
        )
    prepare_environment()
    import gradio as gr

    from videolavit.demo.page_layout import FOOTER, HEAD, STYLE, build_page, theme

    app = create_app(load, config)

    @app.get("/", include_in_schema=False)
    async def to_the_page() -> RedirectResponse:
        return RedirectResponse(f"{PAGE}/")

    @app.get("/favicon.ico", include_in_schema=False)
    async def no_icon() -> Response:
        return Response(status_code=204)  # browsers ask for one whatever the page says

    return gr.mount_gradio_app(
        app,
        build_page(app.state.services),
        path=PAGE,
        root_path=PAGE,  # or files of answers outside the queue lack it in their address
        auth=_login(config.keys),
        auth_message="Any name, and a key of this server as the password.",
        max_file_size=config.limits.video_bytes,
        footer_links=FOOTER,
        run_history=False,
        ssr_mode=False,
        mcp_server=mcp,
        theme=theme(),
        css=STYLE,
        head=HEAD,
    )


def serve_page(
    load: Callable[[], Any] | None = None,
    config: ServerConfig | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    mcp: bool = False,
    open_browser: bool = False,
) -> int:
    """Serve the page until the process is told to stop; the exit code of the process.

    Args:
        load: gives the model; by default the one of this package.
        config: how the server behaves; by default without keys, and with videos in a folder that goes with it.
        host: where to listen; by default GRADIO_SERVER_NAME, or this machine alone.
        port: by default GRADIO_SERVER_PORT, or 7860; 0 for any that is free.
        mcp: as in `create_page_app`.
        open_browser: open the page in this machine's browser.

    Raises:
        ConfigError: the address is not this machine's, the port is taken, or there are keys and tools beside them.
    """
    host = host or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860")) if port is None else port
    with ExitStack() as stack:
        if config is None:
            store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="videolavit-store-")))
            config = ServerConfig(store=store, page=PAGE, hosts=() if host in ("127.0.0.1", "localhost") else ("*",))
        listening = listen(host, port)
        app = create_page_app(load or _shipped, config, mcp=mcp)
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        address = f"http://{shown}:{listening.getsockname()[1]}"
        print(f"videolavit: open {address} in a browser; the API is at {address}/v1", flush=True)
        if mcp:
            print(f"videolavit: MCP at {address}{PAGE}/gradio_api/mcp/", flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        return serve(app, listening)


def _shipped() -> Any:
    from videolavit.pipeline import VideoLaVIT
    from videolavit.server.warm_up import warm_up

    return warm_up(VideoLaVIT.from_pretrained(device="auto"))


def _login(keys: tuple[str, ...]) -> Callable[[str, str], bool] | None:
    """The check of a visitor's name and password; None where everybody may come in."""
    digests = [hashlib.sha256(key.encode()).digest() for key in keys]
    return None if not digests else lambda name, password: is_key(password.encode(), digests)
