"""The command line as a whole: help, exit codes, and errors in one clear message."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import one_message
from command_line import videolavit as run
from movies import write_movie
from PIL import Image

import videolavit
from videolavit import cli
from videolavit.jobs.partial_files import unfinished_path
from videolavit.video.io.write import complete_or_absent


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_movie(tmp_path_factory.mktemp("videos") / "video.mp4", seconds=6)


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in cli.COMMANDS)], ids=" ".join)
def test_help_takes_less_than_a_second_shows_examples_and_imports_no_torch(arguments):
    program = (
        "import sys; from videolavit.cli import main; code = main(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    # Processor time, not time on the clock: what else the machine does is no matter here.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "examples:\n  videolavit " in answer.stdout
    assert answer.stderr == "0 False\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_a_module_with_help_options_and_run(name):
    command = importlib.import_module(cli.module_name(name))
    assert command.__doc__
    assert command.__all__ in (["Config", "run"], ["Config", "parse", "run"])  # parse: options that depend on others


def test_help_of_a_command_is_that_of_its_option(capsys):
    assert cli.main(["help", "info"]) == 0
    assert "videolavit info video.mp4 --image-types" in capsys.readouterr().out


def test_what_stands_behind_two_dashes_is_no_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info", "--", "--help"]) == 1
    shown = capsys.readouterr()
    assert "--help: no such file" in shown.err
    assert shown.out == ""


def test_errors_for_a_closed_stderr_do_not_go_among_the_results(tmp_path):
    shell = f"'{sys.executable}' -m videolavit info gone.mp4 2>&-"
    answer = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=False)
    assert (answer.returncode, answer.stdout) == (1, b"")


def test_ctrl_c_while_modules_are_imported_is_told_in_a_line(monkeypatch, capsys):
    main = importlib.import_module("videolavit.__main__").main
    monkeypatch.delitem(sys.modules, "videolavit.cli")
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=interrupted)])
    assert main() == 130
    assert capsys.readouterr().err == "videolavit: interrupted\n"


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_version():
    assert run("--version").stdout == f"videolavit {videolavit.__version__}\n"


def test_no_command_is_bad_usage_and_shows_the_commands():
    answer = run()
    assert answer.returncode == 2
    assert all(name in answer.stdout for name in cli.COMMANDS)


def test_a_misspelt_command_is_bad_usage_with_a_suggestion():
    answer = run("decompoes", "x.mp4")
    assert answer.returncode == 2
    assert "did you mean decompose?" in one_message(answer)


@pytest.mark.parametrize(
    "arguments",
    [
        ["info"],
        ["info", "a.mp4", "--jsno"],
        ["decompose", "a.mp4"],
        ["decompose", "-o", "out"],
        ["decompose", "a.mp4", "-o", "out", "--slices", "many"],
        ["decompose", "a.mp4", "-o", "out", "--slices", "0"],
        ["decompose", "a.mp4", "-o", "out", "--select", "some"],
        ["decompose", "a.mp4", "-o", "out", "--fps", "-6"],
        ["decompose", "a.mp4", "-o", "out", "--workers", "0"],
        ["decompose", "a.mp4", "-o", "out", "--max-width", "0"],
        ["video", "a ball", "-o", "out.mp4", "--continuation", "loud"],
        ["answer"],
        ["edit", "a.mp4", "-o", "out.mp4"],
        ["reconstruct"],
        ["reconstruct", "a.mp4", "-o", "b.mp4", "--detokenizer", "magic"],
    ],
    ids=" ".join,
)
def test_bad_usage_has_code_2_and_no_traceback(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.strip()
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == [], "bad usage leaves nothing behind"


@pytest.mark.parametrize(
    "command", [["info"], ["reconstruct", "-o", "out.mp4", "--detokenizer", "warp"]], ids=lambda command: command[0]
)
@pytest.mark.parametrize("broken", ["missing.mp4", "folder", "text.mp4", "empty.mp4", "https://example.org/video.mp4"])
def test_what_is_no_video_is_told_in_one_message(command, broken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text.mp4").write_text("This is not a video. " * 100)
    Path("empty.mp4").touch()
    before = sorted(tmp_path.iterdir())
    answer = run(command[0], broken, *command[1:])
    assert answer.returncode == 1
    assert broken in one_message(answer)
    assert answer.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [["decompose", "-o", "out"], ["reconstruct", "-o", "out.mp4"]], ids=lambda c: c[0])
def test_a_pipe_is_refused_where_it_would_be_read_twice(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    answer = run(command[0], "pipe", *command[1:], seconds=60)
    assert answer.returncode == 1
    assert "pipe: is a pipe" in one_message(answer)


def test_debug_shows_the_traceback(tmp_path):
    for answer in (run("info", tmp_path, "--debug"), run("info", tmp_path, VIDEOLAVIT_DEBUG="1")):
        assert answer.returncode == 1
        assert "Traceback" in answer.stderr
        assert answer.stderr.splitlines()[-1].startswith("videolavit: error: ")


def test_an_unexpected_error_says_how_to_see_where(monkeypatch, capsys):
    def fail(arguments: list[str]) -> int:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["info", "x"]) == 1
    message = capsys.readouterr().err
    assert "unexpected KeyError: 'a fault of ours'" in message
    assert "--debug" in message
    assert "Traceback" not in message


def test_an_interrupt_has_code_130(monkeypatch, capsys):
    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    assert cli.main(["info", "x"]) == 130
    assert capsys.readouterr().err == "videolavit: interrupted\n"


@pytest.fixture
def default_signals():
    """Signals as a shell leaves them, whatever started the tests."""
    before = {name: signal.signal(getattr(signal, name), signal.SIG_DFL) for name in cli.END_SIGNALS}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_ends_a_command_leaves_no_half_file(name, code, default_signals, tmp_path, monkeypatch, capsys):
    def write(arguments: list[str]) -> int:
        with complete_or_absent(tmp_path / "a.mp4") as unfinished:
            unfinished.write_bytes(b"half")
            os.kill(os.getpid(), getattr(signal, name))
            raise AssertionError("the signal came to nothing")

    monkeypatch.setattr(cli, "_run", write)
    assert cli.main(["info", "x"]) == code
    assert capsys.readouterr().err == f"videolavit: ended by {name}\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(getattr(signal, name)) is signal.SIG_DFL, "put back for whoever calls main"


def test_a_signal_that_is_ignored_stays_so(default_signals, monkeypatch):
    """`nohup` ignores SIGHUP so that the command goes on when its terminal closes."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(cli, "_run", lambda arguments: os.kill(os.getpid(), signal.SIGHUP) or 0)
    assert cli.main(["info", "x"]) == 0


def test_half_files_of_killed_processes_are_removed_by_the_next_result(tmp_path):
    killed = "import sys, os; from pathlib import Path; from videolavit.jobs.partial_files import unfinished_path; "
    killed += "unfinished_path(Path(sys.argv[1])).write_bytes(b'half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", killed, str(tmp_path / "a.mp4")], check=False)
    [half] = tmp_path.iterdir()
    for kept in (unfinished_path(tmp_path / "b.gif"), tmp_path / ".mine.unfinished.mp4"):
        kept.write_bytes(b"of a process that runs, or of somebody else")
    with complete_or_absent(tmp_path / "c.png") as unfinished:
        unfinished.write_bytes(b"whole")
    assert not half.exists()
    assert len(list(tmp_path.iterdir())) == 3


BUFFERING = [{}, {"PYTHONUNBUFFERED": "1"}]
"""What is printed leaves at the end, as for most people, or at once."""


def environment(added: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | added


@pytest.mark.parametrize("added", BUFFERING, ids=["at the end", "at once"])
def test_a_reader_who_leaves_early_is_no_error(added, video):
    with subprocess.Popen(
        [sys.executable, "-m", "videolavit", "info", str(video), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(added),
    ) as process:
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 0
    assert errors == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("added", BUFFERING, ids=["at the end", "at once"])
def test_stdout_that_cannot_be_written_is_an_error_in_one_line(added, video):
    command = [sys.executable, "-m", "videolavit", "info", str(video), "--json"]
    with Path("/dev/full").open("wb") as full:
        answer = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(added), check=False
        )
    assert answer.returncode == 1
    assert "No space left on device" in one_message(answer)


def test_info_tells_what_the_video_is(video):
    text = run("info", video, "--image-types").stdout
    assert "h264" in text
    assert "160 x 96" in text
    assert "6.00 s, 25 frames per second, 150 frames" in text
    assert "no audio" in text


def test_info_tells_of_types_of_images_for_videos_alone(tmp_path):
    (tmp_path / "codes.txt").write_text("K 1 2\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    for given in ("tiny", tmp_path / "codes.txt", tmp_path / "image.png"):
        answer = run("info", given, "--image-types")
        assert answer.returncode == 2
        assert f"{given} is no video; --image-types is for those" in one_message(answer)


def test_info_as_json_is_one_document(video):
    answer = run("info", video, "--json", "--image-types")
    facts = json.loads(answer.stdout)
    assert (facts["width"], facts["height"], facts["num_frames"], facts["frame_rate"]) == (160, 96, 150, "25")
    assert len(facts["image_types"]) == 150
    assert facts["num_bytes"] == video.stat().st_size
    assert facts["metadata"] == {}


def test_info_tells_what_a_model_knows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert {"circle", "magenta", "diagonally"} <= set(shown.split())
    assert "128 x 128" in shown
    assert max(map(len, shown.splitlines())) < 100
    assert cli.main(["info", "tiny", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["known_words"] == sorted(facts["known_words"])
    assert "language_model" in facts["components"]
    Path("model").mkdir()
    Path("model/config.json").write_text('{"format": "videolavit"}')
    assert cli.main(["info", "model"]) == 1
    assert "'parts' is missing" in capsys.readouterr().err
    Path("model/config.json").write_text("{")
    assert cli.main(["info", "model"]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("debug", [False, True])
def test_warnings_of_libraries_are_for_programmers(debug, tmp_path):
    """A plug-in command stands for a library that warns: nothing of it reaches the screen but with --debug."""
    (tmp_path / "warns.py").write_text(
        "import warnings\nfrom dataclasses import dataclass\n@dataclass\nclass Config:\n    pass\n"
        "def run(config):\n    warnings.warn('an option is deprecated', FutureWarning)\n    return 0\n"
    )
    note = tmp_path / "warns-1.dist-info"
    note.mkdir()
    (note / "METADATA").write_text("Metadata-Version: 2.1\nName: warns\nVersion: 1\n")
    (note / "entry_points.txt").write_text("[videolavit.commands]\nwarns = warns\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    path = os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[1])])
    answer = subprocess.run(
        [sys.executable, "-m", "videolavit", "warns", *(["--debug"] if debug else [])],
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("an option is deprecated" in answer.stderr) is debug
    assert debug or answer.stderr == ""
