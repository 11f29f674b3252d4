"""The store of a long video: what was written is read, and what was not written whole is forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from videolavit.errors import MediaError, OutputError
from videolavit.memory import token_memory
from videolavit.memory.token_memory import RememberedClip, TokenMemory
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)
FILES = ("ids.bin", "features.bin", "words.bin", "keyframes.bin", "clips.bin")


def clip(number: int, width: int = 0) -> RememberedClip:
    random = torch.Generator().manual_seed(number)
    visual, motion = VOCABULARY.visual_range, VOCABULARY.motion_range
    count = (4 + number) % 6
    """Every sixth clip goes on without a keyframe."""
    return RememberedClip(
        visual_ids=torch.randint(visual.start, visual.stop, (count,), generator=random),
        motion_ids=torch.randint(motion.start, motion.stop, (4,), generator=random),
        start_seconds=4.0 * number,
        end_seconds=4.0 * number + 3.5,
        features=torch.randn(count, width, generator=random).half().float() if width else None,
        descriptions=(f"clip {number}", "ein Würfel"),
        jpeg=bytes(range(8 + number % 7)),
    )


def assert_equal(one: RememberedClip, other: RememberedClip) -> None:
    assert torch.equal(one.visual_ids, other.visual_ids)
    assert torch.equal(one.motion_ids, other.motion_ids)
    assert (one.start_seconds, one.end_seconds) == (other.start_seconds, other.end_seconds)
    assert (one.descriptions, one.jpeg) == (other.descriptions, other.jpeg)
    assert (one.features is None) == (other.features is None)
    if one.features is not None and other.features is not None:
        assert torch.equal(one.features, other.features)


def filled(folder: Path, count: int, width: int = 0) -> Path:
    with TokenMemory.create(folder, VOCABULARY, feature_width=width) as memory:
        for number in range(count):
            memory.append(clip(number, width))
    return folder


@pytest.mark.parametrize("width", [0, 6])
def test_what_is_appended_is_read_again(tmp_path: Path, width: int):
    memory = TokenMemory(filled(tmp_path / "memory", 7, width))
    assert len(memory) == 7
    assert memory.seconds == 27.5
    assert memory.vocabulary == VOCABULARY
    for number, read in enumerate(memory):
        assert_equal(read, clip(number, width))
        assert memory.visual_ids(number).tolist() == read.visual_ids.tolist()
    assert memory.descriptions() == [clip(number).descriptions for number in range(7)]
    keyframes, motion = memory.lengths()
    assert keyframes.tolist() == [len(clip(number).visual_ids) + 2 * (number != 2) for number in range(7)]
    assert motion.tolist() == [6] * 7
    with pytest.raises(IndexError, match="clip 7 of 7"):
        memory[7]


def test_a_memory_is_reopened_and_appended_to(tmp_path: Path):
    folder = filled(tmp_path / "memory", 3)
    reader = TokenMemory(folder)
    with TokenMemory(folder, append=True) as memory:
        memory.append(clip(3))
    assert len(reader) == 3
    reader.refresh()
    assert len(reader) == 4
    assert_equal(reader[3], clip(3))


def test_an_hour_of_the_released_size_takes_less_than_a_megabyte_of_ids(tmp_path: Path):
    vocabulary = Vocabulary()
    memory = TokenMemory.create(tmp_path / "memory", vocabulary)
    motion = torch.full((135,), vocabulary.motion_range.start)
    for number in range(9):  # a hundredth of an hour
        visual = torch.full((90,), vocabulary.visual_range.start + number)
        one = replace(clip(number), visual_ids=visual, motion_ids=motion, start_seconds=4.0 * number, descriptions=())
        memory.append(one, sync=False)
    assert (tmp_path / "memory" / "ids.bin").stat().st_size == 9 * 229 * 2


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("cut", [1, 7])
def test_a_clip_that_was_not_written_whole_is_forgotten(tmp_path: Path, name: str, cut: int):
    folder = filled(tmp_path / "memory", 4, 6)
    path = folder / name
    os.truncate(path, path.stat().st_size - cut)
    with TokenMemory(folder, append=True) as memory:
        assert len(memory) == 3
        memory.append(clip(3, 6))
    for number, read in enumerate(TokenMemory(folder)):
        assert_equal(read, clip(number, 6))


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_last_whole_clip_are_cut_off(tmp_path: Path, name: str):
    folder = filled(tmp_path / "memory", 2, 6)
    with (folder / name).open("ab") as file:
        file.write(b"left over")
    with TokenMemory(folder, append=True) as memory:
        memory.append(clip(2, 6))
    memory = TokenMemory(folder)
    assert len(memory) == 3
    for number, read in enumerate(memory):
        assert_equal(read, clip(number, 6))


def test_a_clip_for_which_there_was_no_space_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    append = token_memory._append

    def until_full(path: Path, data: bytes, sync: bool) -> None:
        if path.name == "words.bin":
            append(path, data[:3], sync)
            raise OSError(28, "No space left on device")
        append(path, data, sync)

    with TokenMemory(filled(tmp_path / "memory", 1, 6), append=True) as memory:
        monkeypatch.setattr(token_memory, "_append", until_full)
        with pytest.raises(OutputError, match="No space left"):
            memory.append(clip(1, 6))
        monkeypatch.undo()
        assert len(memory) == 1
        memory.append(clip(1, 6))
    for number, read in enumerate(TokenMemory(tmp_path / "memory")):
        assert_equal(read, clip(number, 6))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_told(tmp_path: Path, name: str):
    folder = filled(tmp_path / "memory", 2)
    (folder / name).unlink()
    with pytest.raises(MediaError, match=f"{name}: cannot be read: No such file or directory; read the video again"):
        TokenMemory(folder)[0]


def test_a_home_folder_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert filled(Path("~/memory"), 2) == Path("~/memory")
    assert len(TokenMemory("~/memory")) == len(TokenMemory(tmp_path / "memory")) == 2


def test_a_writer_that_is_killed_leaves_whole_clips(tmp_path: Path):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_token_memory import TokenMemory, VOCABULARY, clip
memory = TokenMemory.create({str(tmp_path / "memory")!r}, VOCABULARY, feature_width=6)
for number in range(10_000):
    memory.append(clip(number, 6), sync=False)
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            process.kill()
            break
    process.wait()
    with TokenMemory(tmp_path / "memory", append=True) as memory:
        assert len(memory) > 20
        for number, read in enumerate(memory):
            assert_equal(read, clip(number, 6))


def test_damaged_descriptions_and_facts_ask_to_read_the_video_again(tmp_path: Path):
    folder = filled(tmp_path / "memory", 3, 6)
    words = bytearray((folder / "words.bin").read_bytes())
    words[1] = 0xFF
    (folder / "words.bin").write_bytes(words)
    with pytest.raises(MediaError, match=r"words\.bin is damaged.*read the video again"):
        TokenMemory(folder).descriptions()
    about = json.loads((folder / "memory.json").read_text())
    for wrong in ({"feature_width": "wide"}, {"vocabulary": {"words": 3}}, {"vocabulary": None}):
        (folder / "memory.json").write_text(json.dumps({**about, **wrong}))
        with pytest.raises(MediaError, match="is damaged"):
            TokenMemory(folder)
    (folder / "memory.json").write_text(json.dumps({k: v for k, v in about.items() if k != "vocabulary"}))
    with pytest.raises(MediaError, match="is damaged"):
        TokenMemory(folder)


@pytest.mark.parametrize(("name", "place"), [("ids.bin", 3), ("features.bin", 5), ("words.bin", 4)])
def test_changed_bytes_are_noticed(tmp_path: Path, name: str, place: int):
    folder = filled(tmp_path / "memory", 3, 6)
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(data)
    memory = TokenMemory(folder)
    with pytest.raises(MediaError, match="clip 0 is damaged"):
        memory[0]
    assert_equal(memory[2], clip(2, 6))


def test_only_one_process_appends(tmp_path: Path):
    folder = filled(tmp_path / "memory", 1)
    with TokenMemory(folder, append=True):
        with pytest.raises(OutputError, match="another process"):
            TokenMemory(folder, append=True)
        assert len(TokenMemory(folder)) == 1
    TokenMemory(folder, append=True).close()


def refusals() -> list[tuple[Callable[[Path], object], type[Exception], str]]:
    def no_place(folder: Path) -> None:
        TokenMemory(folder / "nothing")

    def twice(folder: Path) -> None:
        TokenMemory.create(filled(folder / "twice", 1), VOCABULARY)

    def reading_only(folder: Path) -> None:
        TokenMemory(filled(folder / "reading", 1)).append(clip(1))

    def features(folder: Path) -> None:
        TokenMemory.create(folder / "features", VOCABULARY).append(clip(0, 6))

    def earlier(folder: Path) -> None:
        with TokenMemory(filled(folder / "earlier", 2), append=True) as memory:
            memory.append(clip(1))

    def other_version(folder: Path) -> None:
        (folder / "memory.json").write_text('{"version": 7}')
        TokenMemory(folder)

    return [
        (no_place, MediaError, "holds no memory"),
        (twice, OutputError, "holds a memory already"),
        (reading_only, OutputError, "reading only"),
        (features, MediaError, "features of width 6"),
        (earlier, MediaError, "from second 4.00"),
        (other_version, MediaError, "has version 7 of the format, this package reads up to 2"),
    ]


@pytest.mark.parametrize(("act", "error", "words"), refusals(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_is_refused(tmp_path: Path, act: Callable[[Path], object], error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        act(tmp_path)
