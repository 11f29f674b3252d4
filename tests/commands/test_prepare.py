"""`videolavit prepare`: rendered videos, one's own, a text tokenizer."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from command_line import videolavit as run
from movies import write_movie
from transformers import PreTrainedTokenizerFast

from videolavit.commands import prepare
from videolavit.commands.prepare import Config, Launch, Shapes, TextTokenizer, Videos
from videolavit.data.prepare_videos import SHAPES_FRONT_END, ShapesData
from videolavit.data.shards import ShardReader
from videolavit.data.user_videos import NamedVideo, named_videos, video_file_records
from videolavit.errors import CheckpointError, ConfigError, MediaError
from videolavit.language.text_tokenizer import load_text_tokenizer

FRONT_END = dataclasses.replace(SHAPES_FRONT_END, height=64, width=96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A video of two clips and a bit with captions, one too short for any, one that is broken."""
    folder = tmp_path_factory.mktemp("own")
    write_movie(folder / "long.mp4", seconds=9)
    (folder / "long.txt").write_text("a square moves right\n\na bright square on noise\n")
    (folder / "deeper").mkdir()
    write_movie(folder / "deeper" / "short.mp4", seconds=1)
    (folder / "broken.mkv").write_text("this is not a video")
    (folder / "notes.md").write_text("neither is this")
    return folder


def own_videos(source, output, **changes):
    return Config(task=Videos(**({"source": source, "output": output, "video_processor": FRONT_END} | changes)))


def test_own_videos_become_samples_and_bad_ones_are_listed(folder, tmp_path, capsys):
    assert prepare.run(own_videos(folder, tmp_path)) == 1
    shown = capsys.readouterr()
    assert "2 samples of 3 videos" in shown.out
    assert [line.split(": ")[1] for line in shown.err.splitlines()] == ["skipped", "skipped"]
    assert "broken.mkv" in shown.err
    assert "short.mp4: is shorter than a sample" in shown.err
    first, second = ShardReader(tmp_path)
    assert first.captions == ("a square moves right", "a bright square on noise")
    assert (first.source, second.source["start_seconds"]) == ({"path": "long.mp4", "start_seconds": 0.0}, 4.0)
    assert first.keyframes.shape == (1, 64, 96, 3)
    assert first.frames.shape == (24, 64, 96, 3)


def test_motion_of_own_videos_is_that_of_the_front_end(folder):
    record = next(video_file_records(NamedVideo(path=folder / "long.mp4"), FRONT_END))
    motion = record.motion_of(0)
    pixels = motion.values * np.array([160 / motion.width, 96 / motion.height]).reshape(2, 1, 1, 1)
    rows, cols = motion.grid
    square = pixels[:, 1:24, int(rows * 40 / 96), int(cols * 30 / 160)]  # the middle of the square at first
    assert np.median(square[0, :6]) == pytest.approx(2.0, abs=0.4)  # 12 pixels a second, 6 frames a second
    assert np.abs(np.median(square[1])) < 0.3
    assert np.abs(np.median(pixels[:, :, -1, -1])) < 0.1


def test_pieces_of_several_clips(folder):
    [piece] = video_file_records(NamedVideo(path=folder / "long.mp4"), FRONT_END, clips_per_piece=2)
    assert piece.num_clips == 2
    assert len(piece.frames) == 48


def test_a_csv_and_a_jsonl_name_videos_with_words(folder, tmp_path):
    (tmp_path / "clips.csv").write_text(
        "path,caption,question,answer\n"
        f"{folder / 'long.mp4'},a square,What moves?,a square\n"
        f'{folder / "long.mp4"},,"Which way, then?",right\n'
    )
    (tmp_path / "clips.jsonl").write_text(
        json.dumps(
            {
                "path": str(folder / "long.mp4"),
                "captions": ["a square"],
                "questions": [["What moves?", "a square"], ["Which way, then?", "right"]],
            }
        )
        + "\n\n"
    )
    expected = NamedVideo(
        path=folder / "long.mp4",
        captions=("a square",),
        questions=(("What moves?", "a square"), ("Which way, then?", "right")),
    )
    for name in ("clips.csv", "clips.jsonl"):
        assert named_videos(tmp_path / name) == [expected]
    assert prepare.run(own_videos(tmp_path / "clips.csv", tmp_path / "out")) == 0
    record = ShardReader(tmp_path / "out")[0]
    assert record.questions == (("What moves?", "a square", ""), ("Which way, then?", "right", ""))
    assert record.about_image == (False, False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "file,caption\nx.mp4,y\n", "columns"),
        ("a.csv", "path,question\nx.mp4,why?\n", "line 2: needs a path, and question and answer"),
        ("a.csv", "path\n", "names no video"),
        ("a.jsonl", '{"path": "x.mp4"}\n{"caption": "y"}\n', "line 2: no path"),
        ("a.jsonl", '{"path": "x.mp4", "captions": "y"}\n', "must be texts"),
        ("a.jsonl", '{"path": "x.mp4", "texts": ["y"]}\n', "unknown keys"),
        ("a.jsonl", "{\n", "line 1"),
        ("a.txt", "x.mp4\n", "neither"),
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaError, match=message):
        named_videos(tmp_path / name)


def test_finished_shards_are_kept_and_other_videos_refused(folder, tmp_path, capsys):
    prepare.run(own_videos(folder, tmp_path, videos_per_shard=2))
    shards = sorted(tmp_path.glob("*.tar"))
    assert len(shards) == 2
    shards[1].unlink()
    before = shards[0].stat().st_mtime_ns
    prepare.run(own_videos(folder, tmp_path, videos_per_shard=2))
    assert shards[0].stat().st_mtime_ns == before
    assert shards[1].exists()
    with pytest.raises(ConfigError, match="other data or with other options"):
        prepare.run(own_videos(folder, tmp_path, clips_per_piece=2, videos_per_shard=2))


def test_rendered_videos_and_a_text_tokenizer_of_their_words(tmp_path, capsys):
    prepare.run(Config(task=Shapes(output=tmp_path / "data", data=ShapesData(num_videos=3))))
    assert len(ShardReader(tmp_path / "data")) == 3
    task = TextTokenizer(data=(tmp_path / "data",), output=tmp_path / "text", size=300)
    assert prepare.run(Config(task=task)) == 0
    assert len(load_text_tokenizer(tmp_path / "text")) == 300
    assert "300 ids" in capsys.readouterr().out


def test_a_text_tokenizer_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    prepare.run(Config(task=Shapes(output=tmp_path / "data", data=ShapesData(num_videos=3))))
    task = TextTokenizer(data=(tmp_path / "data",), output=tmp_path / "text", size=300)

    def is_interrupted(tokenizer, folder):
        (folder / "tokenizer.json").write_text("half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(PreTrainedTokenizerFast, "save_pretrained", is_interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare.run(Config(task=task))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert prepare.run(Config(task=task)) == 0
    smaller = dataclasses.replace(task, size=280)
    with pytest.raises(ConfigError, match="text holds a text tokenizer; name another folder with -o, or replace it"):
        prepare.run(Config(task=smaller))
    assert len(load_text_tokenizer(tmp_path / "text")) == 300
    assert prepare.run(Config(task=dataclasses.replace(smaller, force=True))) == 0
    assert len(load_text_tokenizer(tmp_path / "text")) == 280
    with pytest.raises(CheckpointError, match="exists already and is not overwritten"):
        prepare.run(Config(task=dataclasses.replace(task, output=tmp_path / "data", force=True)))
    assert len(ShardReader(tmp_path / "data")) == 3


@pytest.mark.slow
def test_workers_find_the_same(folder, tmp_path):
    several = tmp_path / "several"
    several.mkdir()
    for name in "abc":
        shutil.copy(folder / "long.mp4", several / f"{name}.mp4")
    for workers in (1, 2):
        prepare.run(own_videos(several, tmp_path / str(workers), launch=Launch(workers=workers), videos_per_shard=1))
    one, two = (ShardReader(tmp_path / str(workers)) for workers in (1, 2))
    assert len(one) == len(two) == 6
    assert all(np.array_equal(a.motion, b.motion) and a.source == b.source for a, b in zip(one, two, strict=True))


@pytest.mark.slow
def test_real_clips_are_prepared(videos, tmp_path):
    sources = sorted(path for path in videos.iterdir() if path.suffix in (".mp4", ".webm", ".mkv"))[:4]
    lines = [json.dumps({"path": str(path), "captions": ["a film"]}) for path in sources]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    answer = run("prepare", "videos", tmp_path / "list.jsonl", "-o", tmp_path / "out", seconds=600)
    assert "Traceback" not in answer.stderr
    assert len(ShardReader(tmp_path / "out")) >= 1


def test_what_is_missing_is_told_again_and_what_was_repaired_is_taken_in(folder, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(folder / "long.mp4", mine / "good.mp4")
    (mine / "bad.mp4").write_bytes(b"")
    task = own_videos(mine, tmp_path / "out")
    for _ in range(2):
        assert prepare.run(task) == 1
        assert "skipped: " in (told := capsys.readouterr()).err
        assert "bad.mp4: is empty" in told.err
        assert "2 samples of 2 videos" in told.out
    shutil.copy(folder / "long.mp4", mine / "bad.mp4")
    assert prepare.run(task) == 0
    assert "4 samples of 2 videos" in capsys.readouterr().out
    before = (tmp_path / "out" / "videos-00000.tar").stat().st_mtime_ns
    assert prepare.run(task) == 0
    assert (tmp_path / "out" / "videos-00000.tar").stat().st_mtime_ns == before
    (mine / "good.mp4").unlink()
    (mine / "good.mp4").write_bytes((folder / "long.mp4").read_bytes()[:-9000])
    prepare.run(task)
    assert (tmp_path / "out" / "videos-00000.tar").stat().st_mtime_ns != before


def test_videos_that_all_fail_are_told(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert prepare.run(own_videos(tmp_path, tmp_path / "out")) == 1
    told = capsys.readouterr()
    assert "bad.mp4: cannot be read as a video" in told.err
    assert "0 samples of 1 videos" in told.out


def test_rendered_data_with_other_options_is_refused(tmp_path):
    prepare.run(Config(task=Shapes(output=tmp_path, data=ShapesData(num_videos=1))))
    with pytest.raises(ConfigError, match="was made of other data or with other options"):
        prepare.run(Config(task=Shapes(output=tmp_path, data=ShapesData(num_videos=1, first_seed=5))))
