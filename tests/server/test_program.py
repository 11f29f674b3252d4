"""`videolavit serve` as a program: what happens when it is killed, stopped, flooded, or started with wrong options."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server.helpers import KEY, Program, wait_for

from videolavit.cli import main
from videolavit.commands.serve import Config, _server_config
from videolavit.errors import ConfigError
from videolavit.server.run import listen
from videolavit.server.server_config import ServerConfig

BODY = {"prompt": "a red circle moves right", "num_inference_steps": 1}
LONG = {**BODY, "clips": 8, "num_inference_steps": 200}


def test_other_machines_need_a_key(tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(f"# of the tests\n{KEY}\n")
    with pytest.raises(ConfigError, match="--no-auth"):
        _server_config(Config(host="0.0.0.0"))
    assert _server_config(Config(host="0.0.0.0", keys=keys)).keys == (KEY,)
    assert _server_config(Config(host="0.0.0.0", no_auth=True)).keys == ()
    assert _server_config(Config()).hosts == ()


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", "with a space in the middle\n"])
def test_files_of_keys_that_hold_none(tmp_path, text):
    keys = tmp_path / "keys.txt"
    keys.write_text(text)
    with pytest.raises(ConfigError, match="16 ASCII characters"):
        _server_config(Config(keys=keys))


def test_files_of_keys_as_editors_write_them(tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(KEY, encoding="utf-8-sig")
    assert _server_config(Config(keys=keys)).keys == (KEY,)
    keys.write_text(KEY, encoding="utf-16")
    for path in (keys, tmp_path / "gone.txt"):
        with pytest.raises(ConfigError, match="cannot be read as a text of keys"):
            _server_config(Config(keys=path))


@pytest.mark.parametrize("name", ["keep_hours", "store_gigabytes", "drain_seconds", "answer_wait_seconds"])
@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0, -1.0])
def test_times_and_sizes_that_are_none_are_refused_by_their_option(name, value):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} "):
        _server_config(Config(**{name: value}))


@pytest.mark.parametrize("name", ["keep_seconds", "store_bytes", "drain_seconds"])
def test_a_server_lasts_and_stores_a_number(name, tmp_path):
    for value in (math.inf, math.nan, -1):
        with pytest.raises(ConfigError, match=name):
            ServerConfig(store=tmp_path, **{name: value})


def test_a_port_that_is_taken_is_one_line_and_2(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "cannot listen" in said
    assert said.count("\n") == 1


def test_who_connects_before_the_app_runs_waits_for_it_and_is_not_refused():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname(), timeout=30) as client:
        client.sendall(b"hello")
        taken, _ = listening.accept()
        with taken:
            assert taken.recv(5) == b"hello"
        with pytest.raises(ConfigError, match="cannot listen"):
            listen("127.0.0.1", listening.getsockname()[1])


def test_help_does_not_import_what_serves():
    heavy = {"torch", "fastapi", "uvicorn", "pydantic"}
    program = (
        "import sys; from videolavit.cli import main\n"
        f"try: main(['serve', '--help'])\nfinally: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[]"


@pytest.fixture
def start(tmp_path):
    programs = []

    def start_program(*options):
        programs.append(Program(tmp_path, *options))
        return programs[-1]

    yield start_program
    for program in programs:
        if program.process.poll() is None:
            program.stop(signal.SIGKILL)


def status(program, job_id):
    return httpx.get(f"{program.url}/v1/videos/{job_id}", timeout=30).json()["status"]


@pytest.mark.slow
def test_a_killed_server_finds_its_videos_again(start):
    """SIGKILL in the middle of a job; then SIGTERM in the middle of another."""
    program = start()
    done = httpx.post(f"{program.url}/v1/videos", json=BODY).json()["id"]
    wait_for(lambda: status(program, done) == "completed", 120)
    cut = httpx.post(f"{program.url}/v1/videos", json=LONG).json()["id"]
    wait_for(lambda: status(program, cut) == "in_progress", 60)
    before = httpx.get(f"{program.url}/v1/videos/{done}/content").content
    program.stop(signal.SIGKILL)

    program = start("--drain-seconds", "2")
    job = httpx.get(f"{program.url}/v1/videos/{cut}").json()
    assert (job["status"], job["error"]["code"]) == ("failed", "server_restarted")
    assert httpx.get(f"{program.url}/v1/videos/{done}/content").content == before
    assert [path for path in (program.folder / "store").rglob(".*") if path.name != ".lock"] == []

    running = httpx.post(f"{program.url}/v1/videos", json=LONG).json()["id"]
    wait_for(lambda: status(program, running) == "in_progress", 60)
    assert program.stop(signal.SIGTERM) == 0
    state = json.loads((program.folder / "store" / running / "job.json").read_text())
    assert (state["status"], state["error"]["code"]) == ("failed", "server_stopped")
    assert program.said == ""


@pytest.mark.slow
def test_a_stopping_server_finishes_what_it_has_begun(start):
    program, answers = start(), []
    body = {**BODY, "num_inference_steps": 4}
    client = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{program.url}/v1/videos/sync", json=body, timeout=120))
    )
    client.start()
    wait_for(lambda: running(program) == 1)
    program.process.send_signal(signal.SIGTERM)
    client.join(120)
    assert answers[0].status_code == 200
    assert answers[0].content[4:8] == b"ftyp"
    assert program.process.wait(60) == 0


def running(program, lane=None) -> float:
    text = httpx.get(f"{program.url}/metrics", timeout=30).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = [one for one in samples if one.name == "videolavit:num_requests_running"]
    return sum(one.value for one in names if lane in (None, one.labels["lane"]))


@pytest.mark.slow
def test_two_hundred_clients_that_leave_cost_nothing(start):
    """Streams that are dropped once they have begun: nothing runs, and no file or thread is left."""
    program = start()
    process = psutil.Process(program.process.pid)
    httpx.post(f"{program.url}/v1/images/generations", json={"prompt": "a red circle"}, timeout=60)
    running(program)  # as often as there are threads for it
    running(program)
    before = process.num_fds(), process.num_threads()
    host, port = urlsplit(program.url).netloc.split(":")
    data = json.dumps({"prompt": "a red circle", "n": 10, "num_inference_steps": 200}).encode()
    head = b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    question = json.dumps({"stream": True, "n": 8, "messages": [{"role": "user", "content": "Which colour is it?"}]})
    chat = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    clients = []
    for number in range(200):
        connection = socket.create_connection((host, int(port)), timeout=30)
        start_line, body = (head, data) if number % 20 == 0 else (chat, question.encode())
        connection.sendall(start_line + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        clients.append(connection)
    clients[1].recv(10)
    for connection in clients:
        connection.close()
    wait_for(lambda: running(program) == 0, 20)
    after: list[tuple[int, int]] = []

    def left_nothing():
        after.append((process.num_fds(), process.num_threads()))
        return after[-1][0] <= before[0] + 1 and after[-1][1] <= before[1] + 1

    wait_for(left_nothing, 20)
    assert httpx.get(f"{program.url}/ready").status_code == 200
    assert program.stop() == 0
    assert "Traceback" not in program.said


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_program(tmp_path):
    (tmp_path / "empty").mkdir()
    command = [
        "-m",
        "videolavit",
        "serve",
        "--port",
        "0",
        "--store",
        str(tmp_path / "s"),
        "--model",
        str(tmp_path / "empty"),
    ]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=200)
    assert ended.returncode == 1
    assert "cannot be loaded" in ended.stderr
    assert "Traceback" not in ended.stderr
