"""The page with the small model in this process, opened over a real socket."""

from __future__ import annotations

import pytest

from videolavit.demo import prepare_environment

prepare_environment()


@pytest.fixture(scope="session")
def shipped():
    from videolavit.pipeline import VideoLaVIT

    return VideoLaVIT.from_pretrained()


@pytest.fixture(scope="session")
def page_app(shipped, tmp_path_factory):
    pytest.importorskip("gradio")
    from videolavit.demo.page_app import PAGE, create_page_app
    from videolavit.server.request_limits import RequestLimits
    from videolavit.server.server_config import ServerConfig

    limits = RequestLimits(read_seconds=60.0)  # the machine may be busy
    config = ServerConfig(store=tmp_path_factory.mktemp("store"), drain_seconds=5, page=PAGE, limits=limits)
    return create_page_app(lambda: shipped, config)


@pytest.fixture(scope="session")
def page_url(page_app):
    from server.helpers import running, wait_until_ready

    with running(page_app) as address:
        wait_until_ready(address)
        yield address


@pytest.fixture(scope="session")
def client(page_url, tmp_path_factory):
    gradio_client = pytest.importorskip("gradio_client")
    return gradio_client.Client(
        f"{page_url}/demo/", verbose=False, download_files=str(tmp_path_factory.mktemp("downloads"))
    )


@pytest.fixture(scope="session")
def square(tmp_path_factory):
    """A video of a red square that moves to the right by three pixels a frame."""
    from server.helpers import moving_square

    folder = tmp_path_factory.mktemp("square")
    moving_square(folder)
    return folder / "square.mp4"
