"""Readings of videos into a memory: each goes on in its own video, and another one is not taken for it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from videolavit.errors import ConfigError
from videolavit.memory.readings import begin_reading
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)


def read(memory: TokenMemory, clips: int) -> None:
    for _ in range(clips):
        visual = torch.full((5,), VOCABULARY.visual_range.start)
        motion = torch.full((4,), VOCABULARY.motion_range.start)
        times = {"start_seconds": memory.seconds, "end_seconds": memory.seconds + 4}
        memory.append(RememberedClip(visual_ids=visual, motion_ids=motion, **times), sync=False)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenMemory:
    monkeypatch.chdir(tmp_path)
    Path("one.mp4").write_bytes(b"1" * 10)
    Path("two.mp4").write_bytes(b"2" * 20)
    return TokenMemory.create("memory", VOCABULARY)


def test_a_reading_goes_on_behind_the_clips_of_its_own_video(memory: TokenMemory):
    assert begin_reading(memory, "one.mp4", append=False) == 0
    read(memory, 3)
    assert begin_reading(memory, "one.mp4", append=False) == 3
    assert begin_reading(memory, Path("two.mp4"), append=True) == 0
    read(memory, 2)
    assert begin_reading(memory, "two.mp4", append=False) == 2, "an addition that was killed"
    assert begin_reading(memory, "two.mp4", append=True) == 0
    stored = json.loads(Path("memory/sources.json").read_text())
    assert [(one["first_clip"], one["name"], one["num_bytes"]) for one in stored] == [
        (0, "one.mp4", 10),
        (3, "two.mp4", 20),
        (5, "two.mp4", 20),
    ]


def test_another_video_is_not_read_from_its_middle_on(memory: TokenMemory):
    begin_reading(memory, "one.mp4", append=False)
    read(memory, 3)
    with pytest.raises(ConfigError, match=r"last clips are those of one\.mp4, and two\.mp4 is another video"):
        begin_reading(memory, "two.mp4", append=False)
    begin_reading(memory, "two.mp4", append=True)  # killed before its first clip
    with pytest.raises(ConfigError, match="is another video"):
        begin_reading(memory, "two.mp4", append=False)
    assert begin_reading(memory, "one.mp4", append=False) == 3


def test_a_file_that_grows_or_is_renamed_is_the_same(memory: TokenMemory):
    begin_reading(memory, "one.mp4", append=False)
    read(memory, 1)
    Path("one.mp4").write_bytes(b"1" * 10 + b"more")
    assert begin_reading(memory, "one.mp4", append=False) == 1
    Path("one.mp4").rename("first.mp4")
    assert begin_reading(memory, "first.mp4", append=False) == 1


@pytest.mark.parametrize("content", [b"1" * 9, b"3" * 10, b"3" * 30])
def test_another_video_of_the_same_name_is_another_one(memory: TokenMemory, content: bytes):
    begin_reading(memory, "one.mp4", append=False)
    read(memory, 1)
    Path("elsewhere").mkdir()
    Path("elsewhere/one.mp4").write_bytes(content)
    with pytest.raises(ConfigError, match=r"one\.mp4 is another video"):
        begin_reading(memory, "elsewhere/one.mp4", append=False)


def test_notes_of_older_versions_tell_name_and_size(memory: TokenMemory):
    read(memory, 1)
    Path("memory/sources.json").write_text('[{"first_clip": 0, "name": "one.mp4", "num_bytes": 10}]')
    assert begin_reading(memory, "one.mp4", append=False) == 1
    with pytest.raises(ConfigError, match="is another video"):
        begin_reading(memory, "two.mp4", append=False)


def test_a_video_without_a_name_and_a_memory_without_a_note_are_trusted(memory: TokenMemory):
    begin_reading(memory, io.BytesIO(b"video"), append=False)
    read(memory, 2)
    assert begin_reading(memory, io.BytesIO(b"video"), append=False) == 2
    for note in ("{", "3", '[{"unknown": 1}]'):
        Path("memory/sources.json").write_text(note)
        assert begin_reading(memory, "two.mp4", append=False) == 2
    Path("memory/sources.json").unlink()
    assert begin_reading(memory, "two.mp4", append=False) == 2


def test_what_was_read_before_without_a_clip_is_forgotten(memory: TokenMemory):
    begin_reading(memory, "one.mp4", append=False)
    assert begin_reading(memory, "two.mp4", append=False) == 0
    assert [one["name"] for one in json.loads(Path("memory/sources.json").read_text())] == ["two.mp4"]
