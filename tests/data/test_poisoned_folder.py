"""A folder with videos that are empty, cut off, too large and deadly, through the command: all others are made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from movies import write_movie

from videolavit.data.shards import ShardReader

# No file at hand makes libav itself abort, so the process does it where such a file would be decoded.
SITE = """
import os
import videolavit.data.user_videos as user_videos

real = user_videos.video_file_records

def records(video, *arguments, **options):
    with open(os.environ["TRIED"], "a") as file:
        file.write(video.path.name + "\\n")
    if video.path.name == "aborts.mp4":
        os.abort()
    return real(video, *arguments, **options)

user_videos.video_file_records = records
"""
BAD = ("aborts.mp4", "cut_off.mp4", "empty.mp4", "huge.mp4")
GOOD = ("a.mp4", "d.mp4", "g.mp4", "z.mp4")


def write_huge(path):
    """One frame of more pixels than a video may have."""
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8192, 4640, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((4640 * 3 // 2, 8192), np.uint8), format="yuvj420p")
        movie.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.fixture
def folder(tmp_path):
    movies = tmp_path / "movies"
    movies.mkdir()
    write_movie(movies / GOOD[0], seconds=5)
    for name in (*GOOD[1:], "aborts.mp4"):
        shutil.copy(movies / GOOD[0], movies / name)
    whole = (movies / GOOD[0]).read_bytes()
    (movies / "cut_off.mp4").write_bytes(whole[: len(whole) // 2])
    (movies / "empty.mp4").write_bytes(b"")
    write_huge(movies / "huge.mp4")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return tmp_path


def prepare(folder, *more):
    """Exit code, what was told, and which files were opened."""
    tried = folder / "tried.txt"
    tried.write_text("")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), *filter(None, sys.path)]),
        "TRIED": str(tried),
    }
    command = ["prepare", "videos", str(folder / "movies"), "-o", str(folder / "out"), "--videos-per-shard", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "videolavit", *command, *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    return done.returncode, done.stdout + done.stderr, set(tried.read_text().split())


@pytest.mark.slow
def test_what_is_bad_is_told_and_left_out_and_not_tried_again(folder):
    code, told, tried = prepare(folder)
    assert code == 1, told
    assert tried == {*GOOD, *BAD}
    assert {name for name in BAD if name in told} == set(BAD), told
    assert "Traceback" not in told
    made = [record.source["path"] for record in ShardReader(folder / "out")]
    assert sorted(made) == sorted(GOOD)
    again = prepare(folder)
    assert again[0] == 1
    assert again[2] == set(), "nothing is decoded a second time"
    assert {name for name in BAD if name in again[1]} == set(BAD), again[1]
    code, told, tried = prepare(folder, "--retry-failed")
    assert code == 1, told
    assert set(BAD) <= tried
    assert sorted(record.source["path"] for record in ShardReader(folder / "out")) == sorted(GOOD)
