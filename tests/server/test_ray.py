"""Two replicas under Ray Serve, on loopback: both answer, and one that is killed takes nobody with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from importlib.util import find_spec

import httpx
import psutil
import pytest
from server.helpers import KEY, wait_for

from videolavit.errors import ConfigError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    # Importing it takes seconds, also where these tests are not run.
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

CHAT = {"messages": [{"role": "user", "content": "Which colour is it?"}]}


@pytest.fixture(scope="module")
def url():
    import ray
    from ray import serve

    from videolavit.server.ray_serve import build

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    environment = {"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}}
    ray.init(num_cpus=4, include_dashboard=False, runtime_env=environment, configure_logging=False)
    port = free_port()
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(replicas=2), name="videolavit")
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: all(ready(address) for _ in range(12)), 240)
        yield address
    finally:
        serve.shutdown()
        ray.shutdown()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ready", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def replicas() -> set[int]:
    """Their processes, which Ray names after what they run; it starts all of them below this one."""
    below = psutil.Process().children(recursive=True)
    return {one.pid for one in below if one.is_running() and "".join(one.cmdline()).startswith("ray::ServeReplica")}


def test_keys_of_a_replica_are_those_of_the_file_without_its_comments(tmp_path, monkeypatch):
    from videolavit.server.ray_serve import _config

    keys = tmp_path / "keys.txt"
    monkeypatch.setenv("VIDEOLAVIT_KEYS", str(keys))
    keys.write_text(f"# keys of our replicas\n{KEY}\n")
    assert _config(None).keys == (KEY,)
    keys.write_text("# no key yet\n")
    with pytest.raises(ConfigError, match="16 ASCII characters"):
        _config(None)


def test_a_killed_replica_takes_nobody_with_it(url):
    before = replicas()
    assert len(before) == 2
    right = httpx.post(f"{url}/v1/chat/completions", json=CHAT, timeout=60).json()["choices"][0]["message"]["content"]
    outcomes, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answer = httpx.post(f"{url}/v1/chat/completions", json=CHAT, timeout=60)
                said = answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else None
                outcomes.append((time.monotonic(), answer.status_code, said))
            except httpx.TransportError as error:
                outcomes.append((time.monotonic(), type(error).__name__, None))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    wait_for(lambda: len(outcomes) > 20, 120)
    killed = time.monotonic()
    os.kill(before.pop(), signal.SIGKILL)
    wait_for(lambda: sum(at > killed and status == 200 for at, status, _ in outcomes) > 40, 120)
    wait_for(lambda: len(replicas()) == 2, 240)
    stop.set()
    for client in clients:
        client.join(60)
    assert all(said == right for _, status, said in outcomes if status == 200)
    lost = [one for one in outcomes if one[1] not in (200, 503)]
    assert len(lost) <= len(clients), f"more than what was on the killed one: {lost}"
    assert all(at >= killed for at, *_ in lost)
