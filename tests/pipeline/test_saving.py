"""Results as files: the format that was asked for, and everything that cannot be written told before the work."""

from __future__ import annotations

import gzip
import io
import os
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from videolavit.clip_tokens import ClipTokens
from videolavit.errors import ConfigError, OutputError
from videolavit.pipeline.outputs import GeneratedImage, GeneratedVideo
from videolavit.video.io.probe import probe
from videolavit.video.io.write import read_metadata

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
NOTE = {"prompt": "a red ball"}
IDS = torch.zeros(0, dtype=torch.long)
IMAGE = GeneratedImage(pixels=FRAMES[0], tokens=ClipTokens(keyframe=torch.tensor([1])), ids=IDS, metadata=NOTE)
VIDEO = GeneratedVideo(frames=FRAMES, fps=6.0, tokens=(), ids=IDS, metadata=NOTE)


@pytest.fixture(autouse=True)
def calls_are_not_checked(monkeypatch):
    """As it is for whoever calls this."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def format_of(path: Any) -> str | None:
    with Image.open(path) as image:
        return image.format


@pytest.mark.parametrize("name", ["a", "a.png", "a.other"])
@pytest.mark.parametrize(("format", "kind"), [("JPEG", "JPEG"), (".webp", "WEBP"), ("png", "PNG"), ("GIF", "GIF")])
def test_a_format_that_was_asked_for_is_written_whatever_the_name(tmp_path, name, format, kind):  # noqa: A002
    path = IMAGE.save(tmp_path / name, format=format)
    assert path == tmp_path / name
    assert format_of(path) == kind
    assert read_metadata(path) == NOTE
    assert os.listdir(tmp_path) == [name]


def test_an_open_file_gets_the_format_of_its_name(tmp_path):
    for name, kind in (("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.PNG", "PNG")):
        with (tmp_path / name).open("wb") as file:
            assert VIDEO.save(file) is None
        assert format_of(tmp_path / name) == kind
    with (tmp_path / "a.bin").open("wb") as file:
        VIDEO.save(file)
    assert probe(tmp_path / "a.bin").num_frames == 3
    with (tmp_path / "a.mp4").open("wb") as file:
        IMAGE.save(file, format="jpg")
    assert format_of(tmp_path / "a.mp4") == "JPEG"
    for save, options in ((IMAGE.save, {}), (IMAGE.save, {"format": None}), (VIDEO.save, {"format": "PNG"})):
        save(file := io.BytesIO(), **options)
        assert format_of(file) == "PNG"
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        VIDEO.save(file)


@pytest.mark.parametrize("wrong", ["tiff", "", 5, True])
def test_a_format_that_does_not_exist_is_refused(tmp_path, wrong):
    for place in (tmp_path / "a.png", io.BytesIO()):
        with pytest.raises(OutputError, match=f"got format={wrong!r}, expected one of mp4"):
            IMAGE.save(place, format=wrong)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": 2.5}, "got columns=2.5, expected a whole number of at least 1"),
        ({"columns": 0}, "got columns=0"),
        ({"columns": -1}, "got columns=-1"),
        ({"columns": True}, "got columns=True"),
        ({"metadata": [1]}, "got metadata of type list, expected a dictionary"),
        ({"metadata": "x"}, "got metadata of type str"),
        ({"fps": True}, "got fps True"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, words):
    for place in (tmp_path / "a.png", io.BytesIO()):
        with pytest.raises(OutputError, match=words):
            VIDEO.save(place, **options)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"), [("quality", "crf="), ("exist_ok", "overwrite="), ("loop", "known are columns")]
)
def test_options_that_do_not_exist_are_told_with_those_that_do(tmp_path, name, hint):
    with pytest.raises(ConfigError, match=f"unknown option {name}.*{hint}"):
        VIDEO.save(tmp_path / "a.jpg", **{name: 1})
    with pytest.raises(ConfigError, match="got overwrite='no', expected True or False"):
        VIDEO.save(tmp_path / "a.jpg", overwrite="no")


def test_names_that_no_file_can_have_are_refused():
    for name, words in (("a\0.mp4", "may hold no NUL"), ("a" * 5000 + ".mp4", "cannot be written")):
        with pytest.raises(OutputError, match=words):
            VIDEO.save(name)
        with pytest.raises(OutputError, match=words):
            VIDEO.save(name, format="gif")


def test_files_that_take_no_bytes_are_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"kept")
    with (tmp_path / "a.mp4").open("rb") as file, pytest.raises(OutputError, match="open for reading"):
        VIDEO.save(file)
    with pytest.raises(OutputError, match="a file that is closed"):
        VIDEO.save(file)

    class Full(io.BytesIO):
        def write(self, *_: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot be written: .*No space left"):
        VIDEO.save(Full())
    assert (tmp_path / "a.mp4").read_bytes() == b"kept"
