"""Commands that need no model: edit of real videos, cuts, motion, search; each through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from video.media import moving_images, scenes, synthetic_video

from videolavit import cli
from videolavit.commands import search
from videolavit.video import probe, read_metadata
from videolavit.video.editing.motion_profile import MotionProfile


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    synthetic_video(scenes([15, 21]), tmp_path / "film.mp4", fps=12)
    return tmp_path


def test_edit_shows_the_own_images_of_a_video_and_says_so(folder, capsys):
    assert cli.main(["edit", "film.mp4", "--reverse"]) == 0
    assert capsys.readouterr().out == "film-edited.mp4: 36 frames of 128 x 96, 3.00 s\n"
    assert read_metadata("film-edited.mp4")["edit"]["reverse"] is True
    assert cli.main(["edit", "film.mp4", "--speed", "3", "-o", "fast.mp4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["path"], report["num_frames"], report["has_sound"]) == ("fast.mp4", 12, False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["edit", "film.mp4"], 2, "nothing to change"),
        (["edit", "film.mp4", "--speed", "0"], 2, "got a speed of 0"),
        (["edit", "film.mp4", "--reverse", "--freeze-for", "2"], 2, "--freeze-for goes with --freeze-at"),
        (["edit", "film.mp4", "--speed", "2", "--scale", "2"], 2, "--speed edits the video's own images and --scale"),
        (["edit", "film.mp4", "--retime", "5-9:1"], 2, "outside of the video, which is 3.00 s long"),
        (["edit", "film.mp4", "--reverse", "-o", "-"], 2, "needs a file"),
        (["edit", "film.mp4", "--reverse", "-o", "film.mp4", "-f"], 2, "what the result is made from"),
        (["edit", "image.png", "--reverse"], 1, "image.png: is a still image, not a video, and has no motion to edit"),
        (["edit", "gone.mp4", "--reverse"], 1, "gone.mp4"),
        (["cuts", "film.mp4", "--sensitivity", "2"], 2, "--sensitivity"),
        (["cuts", "film.mp4", "--format", "avi"], 2, "'avi' is none of 'mp4', 'webm'"),
        (["cuts", "gone.mp4"], 1, "gone.mp4"),
        (["cuts", "image.png"], 1, "image.png: is a still image, not a video"),
        (["motion", "image.png"], 1, "image.png: is a still image, not a video"),
        (["search", "empty"], 1, "empty: holds no videos"),
        (["chat", "empty"], 1, "empty: is a folder, and no memory"),
        (["motion", "film.mp4", "-o", "a.png"], 1, "unknown extension"),
        (["motion", "film.mp4", "--seconds", "0"], 2, "--seconds"),
        (["search"], 2, "name a folder"),
        (["search", "gone"], 1, "no such file or folder"),
        (["search", ".", "--camera", "sideways"], 2, "sideways"),
        (["search", ".", "--top", "0"], 2, "--top"),
        (["search", ".", "--seconds", "nan"], 2, "--seconds"),
        (
            ["edit", "film.mp4", "--reverse", "--max-clips", "1"],
            2,
            "--max-clips is for a model",
        ),
        (["edit", "film.mp4", "--reverse", "--device", "cpu"], 2, "--device is for a model"),
        (["edit", "film.mp4", "--reverse", "--seed", "3"], 2, "--seed is for a model"),
        (["edit", "film.mp4", "--reverse", "--dtype", "float32"], 2, "--dtype is for a model"),
        (["edit", "film.mp4", "--mirror", "--max-width", "9"], 2, "--max-width is for edits without a model"),
        (["cuts", "film.mp4", "--format", "mp4"], 2, "--format is about the files of shots; name their folder with -o"),
        (["cuts", "film.mp4", "-f"], 2, "-f is about the files of shots"),
        (["cuts", "film.mp4", "-o", "shots.mp4"], 2, "shots.mp4: results go into a folder"),
        (["search", ".", "--export", "picked.mp4"], 2, "picked.mp4: results go into a folder"),
        (["search", ".", "-f"], 2, "-f is about the clips that --export writes"),
        (["motion", "film.mp4", "--without-camera"], 2, "--without-camera is about the video with arrows"),
        (["tokenize", "film.mp4", "-f"], 2, "-f is about a file of tokens"),
        (["decompose", "film.mp4", "-o", "out.mp4"], 2, "out.mp4: results go into a folder"),
        (
            ["decompose", "film.mp4", "-o", "out", "--rows", "1000000000"],
            2,
            "--rows 1000000000, expected 1 to 4096",
        ),
        (["decompose", "film.mp4", "-o", "out", "--max-clips", "3"], 2, "--max-clips goes with --select reference"),
        (["answer", "why is it", "--image", "image.png", "--max-clips", "3"], 2, "--max-clips is about videos"),
        (["motion", "film.mp4", "--seconds", "inf"], 2, "got --seconds inf, expected a number above 0"),
        (["search", ".", "--seconds", "inf"], 2, "got --seconds inf, expected a number above 0"),
        (["search", ".", "--min-amount", "nan"], 2, "got --min-amount nan, expected a number of at least 0"),
        (["search", ".", "--max-amount", "inf"], 2, "got --max-amount inf"),
        (["search", ".", "--min-amount", "3", "--max-amount", "2"], 2, "--min-amount 3 is more than --max-amount 2"),
        (["cuts", "film.mp4", "--min-seconds", "nan"], 2, "got --min-seconds nan, expected a number of at least 0"),
        (["cuts", "film.mp4", "--max-bytes", "-1"], 2, "got --max-bytes -1, expected a number above 0"),
        (
            ["decompose", "film.mp4", "-o", "out", "--frames-per-clip", "-1"],
            2,
            "got --frames-per-clip -1, expected 1 to",
        ),
        (["decompose", "film.mp4", "-o", "out", "--fps", "nan"], 2, "got --fps nan, expected 0.001 to 1000"),
        (["decompose", "film.mp4", "-o", "out", "--slices", "-1"], 2, "got --slices -1, expected 1 to"),
        (["search", ".", "--index", "image.png"], 2, "is no index"),
        (["search", ".", "--index", "mine.jsonl"], 2, "is no index"),
        (["search", ".", "--index", "none/motion.jsonl"], 1, "there is no folder none"),
        (["search", ".", "--export", "image.png"], 1, "image.png: cannot be made a folder for the results"),
        (
            ["decompose", "film.mp4", "-o", "out", "--motion", "source", "--codec", "h264"],
            2,
            "--codec is for an encoder",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_told_on_one_line_and_writes_nothing(arguments, code, words, folder, capsys):
    from PIL import Image

    Image.fromarray(moving_images(1)[0]).save("image.png")
    Path("empty").mkdir()
    Path("mine.jsonl").write_text('{"file": "film.mp4", "caption": "a film"}\n')
    before = sorted(folder.rglob("*"))
    assert cli.main(arguments) == code
    shown = capsys.readouterr()
    [message] = shown.err.strip().splitlines()
    assert words in message
    assert shown.out == ""
    assert sorted(folder.rglob("*")) == before


def test_cuts_are_listed_and_exported(folder, capsys):
    assert cli.main(["cuts", "film.mp4", "-o", "shots", "--json"]) == 0
    shots = json.loads(capsys.readouterr().out)["shots"]
    assert [shot["start_seconds"] for shot in shots] == [0, 1.25]
    assert [probe(shot["output"]).duration_seconds for shot in shots] == pytest.approx([1.25, 1.75])
    assert cli.main(["cuts", "film.mp4", "-o", "shots"]) == 2
    assert "exists" in capsys.readouterr().err
    assert cli.main(["cuts", "film.mp4"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["2", "0:01.25"]


def test_no_shot_and_no_clip_leave_no_folder_and_are_told(folder, capsys):
    before = sorted(folder.iterdir())
    assert cli.main(["cuts", "film.mp4", "--min-seconds", "100", "-o", "new/shots"]) == 0
    assert capsys.readouterr().err == "videolavit: no shot is that long; give a lower --min-seconds\n"
    assert cli.main(["search", ".", "--min-amount", "1e6", "--export", "new"]) == 0
    assert "0 of 2 clips" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_motion_is_printed_and_drawn(folder, capsys):
    assert cli.main(["motion", "film.mp4", "-o", "over.mp4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["start", "end", "camera", "speed", "amount", "direction"]
    assert len(lines) == 4  # a heading, two shots, the file
    assert (probe("over.mp4").width, probe("over.mp4").height) == (128, 96)


def test_search_sorts_chooses_remembers_and_exports(folder, capsys, monkeypatch):
    (folder / "clips").mkdir()
    for name, step in {"slow": (-1, 0), "quick": (-4, 0), "other": (3, 0), "still": (0, 0)}.items():
        images = moving_images(24, step=step)
        synthetic_video(images if np.ptp(step) else images[:1].repeat(24, 0), folder / "clips" / f"{name}.mp4", fps=12)
    (folder / "clips" / "broken.mp4").write_bytes(b"no video")
    line = ["search", "clips", "--index", "motion.jsonl", "--json"]
    assert cli.main([*line, "--camera", "pan-right", "--sort", "camera"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [Path(clip["source"]).stem for clip in found["clips"]] == ["quick", "slow"]
    assert [Path(name).stem for name in found["failed"]] == ["broken"]
    (folder / "clips" / "broken.mp4").unlink()
    monkeypatch.setattr("videolavit.video.editing.motion_profile.motion_profiles", None)  # measured before
    assert cli.main([*line, "--camera", "still", "--export", "picked"]) == 0
    found = json.loads(capsys.readouterr().out)
    [path] = found["outputs"]
    assert probe(path).duration_seconds == pytest.approx(2)
    assert read_metadata(path)["camera"] == "still"
    before = Path(path).read_bytes()
    assert cli.main([*line, "--export", "picked"]) == 2
    assert f"{path} exists; name another folder with --export, or replace it with -f" in capsys.readouterr().err
    assert [(file, file.read_bytes()) for file in Path("picked").iterdir()] == [(Path(path), before)]
    assert cli.main([*line, "--camera", "still", "--export", "picked", "-f"]) == 0


def test_clips_of_videos_with_one_name_become_files_of_their_own(folder):
    rest = dict.fromkeys(("pan_x", "pan_y", "zoom", "shake", "amount"), 0.0)
    clips = [
        MotionProfile(
            source=f"{name}/film.mp4",
            start_seconds=start,
            end_seconds=start + 4,
            camera="still",
            direction="none",
            **rest,
        )
        for name in "abc"
        for start in (0.0, 4.0)
    ]
    names = [path.name for path in search._clip_paths(clips, folder, force=False)]
    assert names[:2] == ["film-0000.00.mp4", "film-0004.00.mp4"]
    assert names[2:] == [f"film-{time}-{number}.mp4" for number in (2, 3) for time in ("0000.00", "0004.00")]
