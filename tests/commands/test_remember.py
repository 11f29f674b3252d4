"""Long videos on the command line: read into a memory, asked about, shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
from PIL import Image

from videolavit.cli import main
from videolavit.commands._shared.memories import write_moments
from videolavit.commands.chat import Chat
from videolavit.commands.chat import Config as ChatConfig
from videolavit.data.shapes import render, sample_scene
from videolavit.errors import MediaError
from videolavit.language.prompts import Moment
from videolavit.memory.token_memory import TokenMemory
from videolavit.pipeline import VideoLaVIT
from videolavit.video.io.camera import camera_frames
from videolavit.video.io.write import write_video
from videolavit.vocabulary import Vocabulary

NOTES = ("--ask", "What shape is the object?", "--ask", "What colour is the object?")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips: a star is in the second."""
    scenes: list[np.ndarray] = []
    for seed in range(1000):
        scene, wanted = sample_scene(seed), "star" if len(scenes) == 1 else "circle"
        if len(scene.actors) == 1 and scene.actors[0].shape == wanted and scene.ground.kind == "plain":
            scenes.append(render(scene))
        if len(scenes) == 3:
            break
    return write_video(np.concatenate(scenes), tmp_path_factory.mktemp("film") / "film.mp4", fps=6, crf=5)


@pytest.fixture(scope="module")
def memory(film: Path) -> Path:
    folder = film.with_name("memory")
    assert main(["remember", str(film), "-o", str(folder), *NOTES, "--json"]) == 0
    return folder


def test_what_is_remembered_is_told(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "memory"
    assert main(["remember", str(film), "-o", str(folder), "--no-words", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["num_clips"], facts["video_seconds"]) == (3, 12.0)
    assert facts["num_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert main(["remember", str(film), "-o", str(folder), "--no-words", "--append"]) == 0
    assert "6 clips, 24 s of video" in capsys.readouterr().out


def test_info_tells_what_a_memory_holds(memory: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["info", str(memory), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["num_clips"], facts["num_keyframes"], facts["video_seconds"]) == (3, 3, 12.0)
    assert facts["num_ids"] == sum(int(lengths.sum()) for lengths in TokenMemory(memory).lengths())
    assert facts["num_bytes"] == sum(path.stat().st_size for path in memory.iterdir())
    assert facts["videos"] == ["film.mp4"]
    assert facts["metadata"]["model_hash"] == VideoLaVIT.from_pretrained().components.hash
    assert main(["info", str(memory)]) == 0
    shown = capsys.readouterr().out
    assert "memory of a video" in shown
    assert "film.mp4" in shown
    assert f"model       {facts['metadata']['model']}\n" in shown


def test_info_tells_of_a_memory_without_clips_and_of_one_that_does_not_name_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    TokenMemory.create(tmp_path / "empty", Vocabulary(), made_by={"model": "mine"}).close()
    assert main(["info", str(tmp_path / "empty")]) == 0
    shown = capsys.readouterr().out
    assert "clips       0\n" in shown
    assert "model       mine\n" in shown
    about = tmp_path / "empty" / "memory.json"
    values = json.loads(about.read_text())
    del values["made_by"]  # as earlier versions wrote it
    about.write_text(json.dumps(values))
    assert main(["info", str(tmp_path / "empty"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["metadata"], facts["videos"], facts["num_visual_codes"]) == ({}, [], 16384)
    about.write_text("{")
    assert main(["info", str(tmp_path / "empty")]) == 1
    assert "memory.json cannot be read" in capsys.readouterr().err


def test_the_moment_of_an_answer_is_told_and_shown(memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ask = ["answer", "What colour is the star?", "--video", str(memory)]
    assert main([*ask, "--show", str(tmp_path / "moments")]) == 0
    said = capsys.readouterr()
    assert said.out.strip()
    assert "looked at 1 of 3 clips: 0:04 to 0:08" in said.err
    [shown] = (tmp_path / "moments").iterdir()
    assert shown.name == "memory-00001-000m04s.png"
    assert np.asarray(Image.open(shown)).shape == (128, 128, 3)
    questions = ["answer", "What colour is it?", "What shape is the object?", "--video", str(memory)]
    assert main([*questions, "--context", "window", "--max-clips", "2", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [[moment["clip"] for moment in answer["moments"]] for answer in answers] == [[1, 2], [1, 2]]


def test_moments_are_not_written_among_other_files(memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.txt").write_text("x")
    assert main(["answer", "What moves?", "--video", str(memory), "--show", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_moments_of_memories_with_one_name_are_all_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # stand-ins for model and answers
    shades = {"a/memory": 40, "b/memory": 200}
    monkeypatch.setattr(
        "videolavit.pipeline.remembering.moment_image",
        lambda model, moment: np.full((4, 4, 3), shades[moment.source], np.uint8),
    )
    times = {"start_seconds": 0.0, "end_seconds": 4.0}
    moments = tuple(Moment(clip=0, num_clips=1, source=source, **times) for source in shades)
    answers: Any = [SimpleNamespace(moments=moments)]
    write_moments(tmp_path, SimpleNamespace(), answers)
    shown = {path.name: int(np.asarray(Image.open(path))[0, 0, 0]) for path in tmp_path.iterdir()}
    assert shown == {"memory-00000-000m00s.png": 40, "memory-00000-000m00s-2.png": 200}


def test_each_question_of_a_chat_looks_for_moments_of_its_own(memory: Path, capsys: pytest.CaptureFixture[str]):
    chat = Chat(VideoLaVIT.from_pretrained(), ChatConfig(), interactive=False)
    chat.take(f"{memory} What colour is the star?")
    chat.take("What shape is the object?")
    chat.take("/new")
    told = [line for line in capsys.readouterr().err.splitlines() if "looked at" in line]
    assert told[0].startswith("videolavit: looked at 1 of 3 clips: 0:04 to 0:08")
    assert len(told) == 2
    assert chat.num_failed == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["film.mp4"], "-o FOLDER"),
        (["-o", "memory"], "name one video"),
        (["film.mp4", "--camera", "/dev/video0", "-o", "memory"], "name one video"),
        (["film.mp4", "-o", "memory", "--no-words", "--ask", "What?"], "opposites"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(["remember", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_another_scorer_is_named_by_its_folder(memory: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["answer", "What moves?", "--video", str(memory), "--scorer", "gone"]) == 2
    assert "--scorer gone" in capsys.readouterr().err
    assert main(["answer", "What moves?", "--video", str(memory), "--scorer", str(memory)]) == 2
    assert "no CLIP model" in capsys.readouterr().err
    assert main(["answer", "What moves?", "--video", str(memory), "--scorer", "likelihood"]) == 0
    assert "looked at 3 of 3 clips" in capsys.readouterr().err


def test_a_pipe_is_read(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(film.read_bytes())))
    assert main(["remember", "-", "-o", str(tmp_path / "memory"), "--no-words"]) == 0


def test_what_a_camera_shows_is_always_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[bool] = []

    def remembered(source: object, folder: Path, *, append: bool, **_: object) -> TokenMemory:
        asked.append(append)
        return TokenMemory.create(folder / str(len(asked)), Vocabulary())

    model = SimpleNamespace(remember=remembered)
    monkeypatch.setattr("videolavit.commands.remember.open_model", lambda _: model)
    for source in (["--camera", "/dev/video0"], ["film.mp4"], ["film.mp4", "--append"]):
        assert main(["remember", *source, "-o", str(tmp_path), "--json"]) == 0
    assert asked == [True, False, True]


def test_a_camera_gives_an_image_a_tick():
    source = "testsrc=size=64x48:rate=30:duration=2"
    camera = camera_frames(source, device_format="lavfi", fps=6)
    assert camera.is_live
    images = list(camera.images)
    assert [image.shape for image in images] == [(48, 64, 3)] * 12
    slow = list(camera_frames("testsrc=size=64x48:rate=2:duration=2", device_format="lavfi", fps=6).images)
    assert len(slow) == 10  # four images, the last at 1.5 s
    assert np.array_equal(slow[1], slow[2])
    assert not np.array_equal(slow[0], slow[1])


def test_a_camera_that_is_not_there_is_told():
    with pytest.raises(MediaError, match="cannot be read as a camera"):
        next(iter(camera_frames("/dev/no-camera").images))
