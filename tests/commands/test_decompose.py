"""`videolavit decompose`: what it writes, for one video and many, and how it goes on after whatever stopped it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import videolavit
from movies import write_movie
from PIL import Image
from safetensors.numpy import load_file

from videolavit import cli
from videolavit.commands._shared import decompose_file as module
from videolavit.commands._shared.clip_options import ClipOptions
from videolavit.commands._shared.decompose_file import Job, decompose_file
from videolavit.video import decompose
from videolavit.video.clips.clip_file import load_clips

OWN_GRID = ["--rows", "6", "--cols", "10"]
"""The codec's grid for these videos: nothing to resize, so nobody waits for torch to be imported."""

RESULTS = {"clips.safetensors", "contact-sheet.png", "keyframes", "metadata.json", "motion"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three videos; their names hold what shells and tools stumble over."""
    folder = tmp_path_factory.mktemp("videos")
    write_movie(folder / "video.mp4", seconds=10)
    write_movie(folder / 'it\'s a $HOME; "video"\n2.mp4', seconds=5, seed=1)
    write_movie(folder / "third.mkv", seconds=5, seed=2)
    return folder


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory) -> list[Path]:
    """Four that take a while, so that a run is ended in the middle of them."""
    folder = tmp_path_factory.mktemp("long")
    return [write_movie(folder / f"{index}.mp4", seconds=12, seed=index) for index in range(4)]


@pytest.fixture
def video(folder) -> Path:
    return folder / "video.mp4"


def job(video: Path, folder: Path, **options: Any) -> Job:
    """A video to a folder, in as little work as may be."""
    return Job(
        **{"source": str(video), "folder": str(folder), "clips": ClipOptions(), "rows": 6, "cols": 10, "images": False}
        | options
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; of the metadata all but the time it took."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in files:
        if name.endswith("metadata.json"):
            files[name] = json.dumps({**json.loads(files[name]), "seconds": 0}).encode()
    return files


def test_what_is_written_is_what_the_library_returns(video, tmp_path):
    answer = videolavit("decompose", video, "-o", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    clips = decompose(video, select="timeline", shots="difference")
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULTS
    assert f"{len(clips)} clip" in answer.stdout
    arrays = load_file(tmp_path / "out" / "clips.safetensors")
    assert arrays["motion"].shape == (len(clips), 2, 24, 20, 36)
    assert arrays["keyframes"].shape == (len(clips), 96, 160, 3)
    assert arrays["clip_starts"].tolist() == [clip.start for clip in clips]
    for index, clip in enumerate(clips):
        np.testing.assert_array_equal(arrays["motion"][index], clip.motion.for_tokenizer())
        np.testing.assert_array_equal(arrays["keyframes"][index], clip.keyframe)
        with Image.open(tmp_path / "out" / "keyframes" / f"{index:03}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), clip.keyframe)


def test_a_name_that_is_no_text_does_no_harm(video, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    Path(odd).write_bytes(video.read_bytes())
    for arguments in ([], ["--json", "--redo"]):
        answer = videolavit("decompose", odd, "-o", tmp_path / "out", *OWN_GRID, *arguments)
        assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "out" / "metadata.json").read_text())["source"] == odd
    assert next(load_clips(tmp_path / "out" / "clips.safetensors")).source.endswith(r"caf\udce9.mp4")


def test_metadata_says_where_everything_came_from(video, tmp_path):
    videolavit(
        "decompose",
        video,
        "-o",
        tmp_path / "out",
        "--select",
        "every-2",
        "--slices",
        "4",
        "--shots",
        "encoder",
        *OWN_GRID,
    )
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["source"] == str(video)
    assert metadata["file"]["num_bytes"] == video.stat().st_size
    assert metadata["video"]["codec"] == "h264"
    assert {"slices": 4, "select": "every-2", "shots": "encoder", "fps": 6.0}.items() <= metadata["options"].items()
    assert set(metadata["units"]) == {"motion", "motion_pixels", "clip_starts"}
    clips = decompose(video, select="every 2", slices=4, shots="encoder")
    assert [clip["start_seconds"] for clip in metadata["clips"]] == [clip.start_seconds for clip in clips]
    assert all((tmp_path / "out" / name).is_file() for name in metadata["files"])


def test_json_is_one_document_and_nothing_else(video, folder, tmp_path):
    missing = folder / "missing.mp4"
    answer = videolavit("decompose", video, missing, "-o", tmp_path / "out", "--json", *OWN_GRID)
    assert answer.returncode == 1
    good, bad = json.loads(answer.stdout)["videos"]
    assert (good["source"], good["status"], good["error"]) == (str(video), "done", None)
    assert (bad["source"], bad["status"], bad["num_clips"]) == (str(missing), "failed", 0)
    assert "missing.mp4" in bad["error"]


def test_images_can_be_left_out(video, tmp_path):
    videolavit("decompose", video, "-o", tmp_path / "out", "--no-images", *OWN_GRID)
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULTS - {"contact-sheet.png", "motion"}


@pytest.mark.slow
def test_two_workers_write_what_one_writes(folder, tmp_path):
    videos = sorted(folder.iterdir())
    one = videolavit("decompose", *videos, "-o", tmp_path / "one", *OWN_GRID)
    two = videolavit("decompose", *videos, "-o", tmp_path / "two", "--workers", "2", *OWN_GRID)
    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {path.stem for path in videos}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_bad_file_stops_no_other_and_is_told_at_the_end(workers, folder, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes((folder / "video.mp4").read_bytes()[:1000])
    missing = tmp_path / "missing.mp4"
    answer = videolavit(
        "decompose", bad, folder / "third.mkv", missing, "-o", tmp_path / "out", "--workers", str(workers), *OWN_GRID
    )
    assert answer.returncode == 1
    *failures, last = answer.stderr.strip().splitlines()
    assert last == "videolavit: 2 of 3 videos failed"
    assert "bad.mp4" in failures[0]
    assert "missing.mp4" in failures[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["third"]


def test_videos_of_the_same_name_get_folders_of_their_own(tmp_path):
    for name in ("a/clip.mp4", "b/clip.mp4", "b/Clip.mkv", "b/other.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_movie(tmp_path / name, seconds=1)
    videos = [tmp_path / name for name in ("a/clip.mp4", "b/clip.mp4", "b/Clip.mkv", "b/other.mp4", "a/clip.mp4")]
    answer = videolavit("decompose", *videos, "-o", tmp_path / "out", "--json", *OWN_GRID)
    folders = {video["source"]: video["folder"] for video in json.loads(answer.stdout)["videos"]}
    assert len(folders) == len(set(folders.values())) == 4, "the one named twice is done once"
    again = videolavit("decompose", *reversed(videos), "-o", tmp_path / "out", "--json", *OWN_GRID)
    assert {video["source"]: video["folder"] for video in json.loads(again.stdout)["videos"]} == folders
    assert {video["status"] for video in json.loads(again.stdout)["videos"]} == {"unchanged"}


def test_what_is_complete_is_left_alone_until_something_changes(folder, tmp_path):
    video, out = tmp_path / "video.mp4", tmp_path / "out"
    video.write_bytes((folder / "third.mkv").read_bytes())

    def status(*, slices: int = 16, **more: bool) -> str:
        return decompose_file(job(video, out, clips=ClipOptions(slices=slices), **more)).status

    assert status() == "done"
    (out / ".unfinished" / "keyframes").mkdir(parents=True)  # killed after its results were in place
    assert status() == "unchanged"
    assert not (out / ".unfinished").exists()
    assert status(redo=True) == "done"
    assert status(slices=2) == "done", "other options"
    assert status(slices=2) == "unchanged"
    os.utime(video, (1, 1))
    assert status(slices=2) == "done", "another file of that name"
    (out / "keyframes" / "000.png").unlink()
    assert status(slices=2) == "done", "a result is missing"
    (out / "metadata.json").write_text("{ half of")
    assert status(slices=2) == "failed", "damaged metadata, so that nothing tells whose the other files are"
    assert status(slices=2, force=True) == "done"
    assert status(slices=2) == "unchanged"


@pytest.mark.slow
def test_fewer_clips_than_before_leave_no_images_behind_and_nothing_of_the_users(video, tmp_path):
    (tmp_path / "out" / "keyframes").mkdir(parents=True)
    (tmp_path / "out" / "keyframes" / "mine.png").write_text("not ours")
    videolavit("decompose", video, "-o", tmp_path / "out", "--select", "all", *OWN_GRID)
    videolavit("decompose", video, "-o", tmp_path / "out", "--select", "uniform-1", *OWN_GRID)
    assert {path.name for path in (tmp_path / "out" / "keyframes").iterdir()} == {"000.png", "mine.png"}
    assert {path.name for path in (tmp_path / "out" / "motion").iterdir()} == {"000.png"}


@pytest.mark.parametrize("name", ["keyframes/007.png", "motion/000.png", "contact-sheet.png", "metadata.json"])
def test_files_of_others_are_neither_removed_nor_replaced_unasked(name, folder, tmp_path, capsys):
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text('{"files": ["keyframes/mine.png"]}')
    (out / "keyframes").mkdir(exist_ok=True)
    (out / "keyframes" / "mine.png").write_text("mine")
    before = contents(out)
    assert cli.main(["decompose", str(folder / "third.mkv"), "-o", str(out), *OWN_GRID]) == 1
    [message] = capsys.readouterr().err.splitlines()
    assert f"{out}: holds other files, such as {name}; name another folder with -o, or replace them with -f" in message
    assert contents(out) == before
    assert cli.main(["decompose", str(folder / "third.mkv"), "-o", str(out), "-f", *OWN_GRID]) == 0
    assert (out / "keyframes" / "mine.png").read_text() == "mine"
    assert (out / "keyframes" / "007.png").exists() == (name == "keyframes/007.png")


def test_results_of_another_video_are_replaced_only_when_asked(folder, tmp_path):
    out = tmp_path / "out"
    assert decompose_file(job(folder / "video.mp4", out)).status == "done"
    many = sorted(path.name for path in (out / "keyframes").iterdir())
    (out / "keyframes" / "100.png").write_text("mine")
    metadata = json.loads((out / "metadata.json").read_text())
    (out / "metadata.json").write_text(json.dumps({**metadata, "files": [*metadata["files"], "../mine.txt"]}))
    (tmp_path / "mine.txt").write_text("mine")
    before = contents(out)
    refused = decompose_file(job(folder / "third.mkv", out, redo=True))
    assert refused.status == "failed"
    assert contents(out) == before
    (out / "keyframes" / "100.png").unlink()
    assert "holds the result of" in decompose_file(job(folder / "third.mkv", out)).error
    (out / "keyframes" / "100.png").write_text("mine")
    assert decompose_file(job(folder / "third.mkv", out, force=True)).status == "done"
    left = sorted(path.name for path in (out / "keyframes").iterdir())
    assert left[-1] == "100.png"
    assert len(left) - 1 < len(many), "what the earlier metadata listed is gone"
    assert (tmp_path / "mine.txt").exists(), "names in metadata point to no file outside"


def test_two_videos_of_one_name_are_two(folder, tmp_path, monkeypatch):
    for place, source in (("a", "video.mp4"), ("b", "third.mkv")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "clip.mp4").write_bytes((folder / source).read_bytes())
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path / "a")
    assert decompose_file(job(Path("clip.mp4"), out)).status == "done"
    monkeypatch.chdir(tmp_path / "b")
    assert "holds the result of clip.mp4, another video" in decompose_file(job(Path("clip.mp4"), out)).error
    (tmp_path / "a" / "clip.mp4").rename(tmp_path / "b" / "clip.mp4")
    assert decompose_file(job(Path("clip.mp4"), out)).status == "unchanged", "moved since"


@pytest.mark.parametrize("moves", [0, 1, 3])
def test_a_run_that_is_ended_while_results_take_their_place_loses_none(moves, folder, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    out, replace, left = tmp_path / "out", Path.replace, [moves]
    assert decompose_file(job(folder / "third.mkv", out)).status == "done"

    def dying(self: Path, target: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(self, target)

    with monkeypatch.context() as patches:
        patches.setattr(Path, "replace", dying)
        patches.setattr(module, "settle", lambda folder: None)  # as if nothing ran any more
        with pytest.raises(Killed):
            decompose_file(job(folder / "third.mkv", out, clips=ClipOptions(slices=2)))
    assert decompose_file(job(folder / "third.mkv", out, clips=ClipOptions(slices=2))).status == "unchanged"
    assert {path.name for path in out.iterdir()} == RESULTS - {"contact-sheet.png", "motion"}


@pytest.mark.parametrize("line", ["decompose gone.mp4 -o new/folder", "search . --export new/folder --top 1"])
def test_no_empty_folder_is_left(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_that_is_killed_is_repeated_and_leaves_nothing_half_valid(long_videos, tmp_path):
    arguments = ["decompose", *map(str, long_videos), "-o", str(tmp_path / "out"), "--workers", "2", *OWN_GRID]
    process = subprocess.Popen(
        [sys.executable, "-m", "videolavit", *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    wait_for(lambda: list((tmp_path / "out").glob("*/.unfinished/keyframes/*.png")))
    process.kill()
    process.wait()
    wait_for(lambda: not children_of(process.pid, long_videos[0].parent, tmp_path))
    complete = [path.parent for path in (tmp_path / "out").glob("*/metadata.json")]
    assert len(complete) < len(long_videos), "it was killed in the middle"
    for each in complete:
        assert {path.name for path in each.iterdir()} - {".unfinished"} == RESULTS
    assert videolavit(*arguments).returncode == 0
    assert videolavit("decompose", *long_videos, "-o", tmp_path / "fresh", *OWN_GRID).returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_too_and_is_told(long_videos, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "videolavit",
            "decompose",
            *map(str, long_videos),
            "-o",
            str(tmp_path / "out"),
            "--workers",
            "2",
            *OWN_GRID,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=listen_to_ctrl_c,
    )
    wait_for(lambda: list((tmp_path / "out").glob("*/.unfinished/keyframes/*.png")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "videolavit: interrupted\n"


def wait_for(condition, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def children_of(pid: int, *folders: Path) -> list[int]:
    """Processes that still have a file below these folders open, whoever their parent is by now."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            if any(str(folder) in file.path for file in process.open_files() for folder in folders):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [other for other in found if other != pid]


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_an_output_that_cannot_be_written_is_told_in_one_message(place, video, tmp_path):
    (tmp_path / "file").write_text("something else")
    target = tmp_path / "file" if place == "a file" else tmp_path / "file" / "out"
    answer = videolavit("decompose", video, "-o", target)
    assert answer.returncode == 1
    [line] = answer.stderr.strip().splitlines()
    assert line.startswith("videolavit: error: ")
    assert str(target) in line
    assert (tmp_path / "file").read_text() == "something else"


def test_limits_can_be_set(video, tmp_path):
    answer = videolavit("decompose", video, "-o", tmp_path / "out", "--max-width", "100")
    assert answer.returncode == 1
    assert "--max-width" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def listen_to_ctrl_c() -> None:
    """A shell that runs the tests in the background makes all that they start deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
