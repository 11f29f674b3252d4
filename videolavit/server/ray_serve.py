"""The same app as replicas under Ray Serve: `serve run videolavit.server.ray_serve:app`.

Replicas share nothing, so video jobs belong to the replica that started them: use `/v1/videos/sync` here. Settings come
from the environment: VIDEOLAVIT_MODEL, VIDEOLAVIT_REPLICAS, VIDEOLAVIT_KEYS (a file as `videolavit serve --keys` takes
it), and VIDEOLAVIT_GPUS for each replica.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ray import serve  # pyright: ignore[reportMissingImports]

from videolavit.errors import ConfigError
from videolavit.server.key_file import read_keys
from videolavit.server.server_config import ServerConfig
from videolavit.shipped import DEFAULT_MODEL

__all__ = ["app", "build"]


def _make_app() -> Any:
    """A replica's app; called where the replica runs."""
    from videolavit.pipeline import VideoLaVIT
    from videolavit.server.app import create_app
    from videolavit.server.warm_up import warm_up

    model = os.environ.get("VIDEOLAVIT_MODEL")
    device = "cuda" if float(os.environ.get("VIDEOLAVIT_GPUS", "0")) else "cpu"
    return create_app(lambda: warm_up(VideoLaVIT.from_pretrained(model, device=device)), _config(model))


def _config(model: str | None) -> ServerConfig:
    keys = os.environ.get("VIDEOLAVIT_KEYS")
    return ServerConfig(
        keys=read_keys(Path(keys)) if keys else (),
        store=Path(tempfile.mkdtemp(prefix="videolavit-")),
        model_name=Path(model).name if model else DEFAULT_MODEL,
        hosts=("*",),
    )


def build(*, replicas: int = 1, cpus: float | int = 1, gpus: float | int = 0) -> Any:
    """A deployment of so many replicas, each with a share of the machine.

    Raises:
        ConfigError: there is not even one replica.
    """
    if replicas < 1:
        raise ConfigError(f"got replicas={replicas}, expected at least 1")

    replica = serve.ingress(_make_app)(type("Replica", (), {"__doc__": "One server."}))
    deployment = serve.deployment(
        name="videolavit",
        num_replicas=replicas,
        max_ongoing_requests=256,  # each replica refuses by itself what is too much
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        health_check_period_s=2,
    )
    return deployment(replica).bind()


app = build(
    replicas=int(os.environ.get("VIDEOLAVIT_REPLICAS", "1")), gpus=float(os.environ.get("VIDEOLAVIT_GPUS", "0"))
)
