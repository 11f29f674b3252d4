"""`videolavit reconstruct`: the whole video comes back, measured, and says what made it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import one_message, videolavit
from movies import write_movie

from videolavit import cli
from videolavit.commands._shared.reconstruct_warp import Moment, Score
from videolavit.video import open_video
from videolavit.video.io.write import read_metadata
from videolavit.video.similarity import BEST_PSNR_DB

WARP = ["--detokenizer", "warp"]


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_movie(tmp_path_factory.mktemp("videos") / "video.mp4", seconds=6)


def frames(path: Path) -> list[np.ndarray]:
    with open_video(path) as video:
        return [frame.reformat(format="rgb24", threads=1).to_ndarray() for frame in video.frames()]


def test_the_whole_video_comes_back_closer_than_still_keyframes(video, tmp_path):
    answer = videolavit("reconstruct", video, "-o", tmp_path / "again.mp4", "--detokenizer", "warp", "--json")
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    images = frames(tmp_path / "again.mp4")
    assert len(images) == report["num_frames"] == 36
    assert images[0].shape == (96, 160, 3)
    assert report["psnr_db"] > report["still_psnr_db"] + 3
    assert [path.name for path in tmp_path.iterdir()] == ["again.mp4"]


@pytest.mark.parametrize("name", ["again.gif", "again.webp", "again.png"])
def test_the_extension_names_the_format(name, video, tmp_path, capsys):
    assert cli.main(["reconstruct", str(video), "-o", str(tmp_path / name), *WARP]) == 0
    assert read_metadata(tmp_path / name)["detokenizer"] == "warp"
    assert "36 frames" in capsys.readouterr().out


def test_compare_shows_both_side_by_side(video, tmp_path):
    assert cli.main(["reconstruct", str(video), "-o", str(tmp_path / "both.mp4"), "--compare", *WARP]) == 0
    images = frames(tmp_path / "both.mp4")
    assert len(images) == 36
    assert images[0].shape[1] > 2 * 160


def test_info_shows_what_made_the_file(video, tmp_path):
    videolavit("reconstruct", video, "-o", tmp_path / "again.mp4", "--slices", "3", *WARP)
    text = videolavit("info", tmp_path / "again.mp4").stdout
    assert "videolavit" in text
    assert "video.mp4" in text
    assert "slices 3" in text
    metadata = json.loads(videolavit("info", tmp_path / "again.mp4", "--json").stdout)["metadata"]
    assert metadata["options"]["slices"] == 3
    assert metadata["source"] == "video.mp4"


@pytest.mark.parametrize("output", ["out.avi", "none/out.mp4", "folder"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(output, video, tmp_path):
    (tmp_path / "folder").mkdir()
    answer = videolavit("reconstruct", video, "-o", tmp_path / output, *WARP)
    assert answer.returncode == 1
    assert str(tmp_path / output) in one_message(answer)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_source_is_never_overwritten(tmp_path):
    video = write_movie(tmp_path / "video.mp4", seconds=1)
    before = video.read_bytes()
    answer = videolavit("reconstruct", video, "-o", tmp_path / "video.mp4", *WARP)
    assert answer.returncode == 2
    assert "overwritten" in one_message(answer)
    assert video.read_bytes() == before


def test_psnr_is_that_of_the_definition():
    original = np.full((4, 6, 3), 100, np.uint8)
    moments = [
        Moment(original=original, drawn=original + np.uint8(5), keyframe=original),
        Moment(original=original, drawn=original, keyframe=original - np.uint8(10)),
    ]
    score = Score()
    assert list(score.watch(iter(moments))) == moments
    assert score.num_frames == 2
    assert score.psnr_db == pytest.approx((20 * np.log10(255 / 5) + BEST_PSNR_DB) / 2, abs=1e-3)
    assert score.still_psnr_db == pytest.approx((BEST_PSNR_DB + 20 * np.log10(255 / 10)) / 2, abs=1e-3)
