"""A server with the small model in this process, asked over real sockets."""

from __future__ import annotations

import httpx
import pytest
from server.helpers import KEY, LIMITS, moving_square, running, wait_until_ready


@pytest.fixture(scope="session")
def video_file(tmp_path_factory) -> bytes:
    return moving_square(tmp_path_factory.mktemp("video"))


@pytest.fixture(scope="session")
def shipped():
    from videolavit.pipeline import VideoLaVIT

    return VideoLaVIT.from_pretrained()


@pytest.fixture(scope="session")
def app(shipped, tmp_path_factory):
    from videolavit.server.app import create_app
    from videolavit.server.server_config import ServerConfig

    store, memories = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("memories")
    config = ServerConfig(store=store, memories=memories, keys=(KEY,), limits=LIMITS, drain_seconds=5)
    return create_app(lambda: shipped, config)


@pytest.fixture(scope="session")
def url(app):
    with running(app) as address:
        wait_until_ready(address)
        yield address


@pytest.fixture(scope="session")
def http(url):
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def engine(app, url):
    """That of the server at `url`, which is ready."""
    return app.state.services.engine
