"""`videolavit data`: prepared folders are checked, counted and put together."""

import json

import pytest
from training.small_language import make_text_tokenizer, make_video, make_vocabulary

from videolavit.commands import data
from videolavit.commands.data import Config, Merge, Stats, Verify
from videolavit.data.prepare_videos import ShapesData, prepare_shapes
from videolavit.data.tokens import TokenReader, TokensMadeBy, write_tokens
from videolavit.errors import ConfigError, MediaError

VOCABULARY = make_vocabulary(make_text_tokenizer())


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    prepare_shapes(ShapesData(num_videos=3), folder, videos_per_shard=2)
    return folder


def tokens(folder, numbers, visual="a"):
    folder.mkdir(exist_ok=True)
    videos = [make_video(number, VOCABULARY) for number in numbers]
    name = f"shard-{len(list(folder.glob('*.tokens.json')))}"
    write_tokens(videos, folder / name, VOCABULARY, TokensMadeBy(tokenizers={"visual": visual}))
    return videos


def test_damage_is_found_in_either_kind(shapes, tmp_path, capsys):
    tokens(tmp_path / "ids", range(3))
    assert data.run(Config(task=Verify(folders=(shapes, tmp_path / "ids")))) == 0
    assert "3 shards checked, 0 damaged" in capsys.readouterr().out
    for path in shapes.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "shapes-00001.index.json").unlink()
    content = bytearray((tmp_path / "shapes-00000.tar").read_bytes())
    content[600] ^= 255  # inside the first file
    (tmp_path / "shapes-00000.tar").write_bytes(content)
    features = tmp_path / "ids" / "shard-0.features.bin"
    features.write_bytes(features.read_bytes()[:-1] + b"x")
    assert data.run(Config(task=Verify(folders=(tmp_path, tmp_path / "ids"), json=True))) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["checked"] == 3
    assert [found["shard"] for found in told["damaged"]] == [
        "shapes-00000.tar",
        "shapes-00001.tar",
        "shard-0.tokens.json",
    ]
    with pytest.raises(MediaError, match="holds no shards"):
        data.run(Config(task=Verify(folders=(tmp_path / "nothing",))))


def test_what_a_folder_holds_is_counted(shapes, tmp_path, capsys):
    videos = tokens(tmp_path / "ids", range(4))
    data.run(Config(task=Stats(folders=(shapes, tmp_path / "ids"), json=True)))
    rendered, ids = json.loads(capsys.readouterr().out).values()
    assert (rendered["shards"], rendered["videos"]) == (2, 3)
    assert ids["token_videos"] == 4
    clips = [clip for video in videos for clip in video.clips]
    assert ids["token_ids"] == sum(len(clip.visual_ids) + len(clip.motion_ids) + 4 for clip in clips)
    assert ids["token_questions"] == sum(len(video.questions) for video in videos)
    data.run(Config(task=Stats(folders=(shapes,))))
    assert "videos" in capsys.readouterr().out


def test_folders_are_merged_and_grow(tmp_path):
    tokens(tmp_path / "a", range(3))
    tokens(tmp_path / "b", range(3, 5))
    merge = Config(task=Merge(folders=(tmp_path / "a", tmp_path / "b"), output=tmp_path / "all"))
    data.run(merge)
    captions = [video.captions for video in TokenReader(tmp_path / "all")]
    assert captions == [make_video(number, VOCABULARY).captions for number in range(5)]
    tokens(tmp_path / "a", range(7, 9))
    data.run(merge)
    assert len(TokenReader(tmp_path / "all")) == 7
    tokens(tmp_path / "c", range(2), visual="other")
    with pytest.raises(ConfigError, match=r"different tokenizers \(visual\)"):
        data.run(Config(task=Merge(folders=(tmp_path / "a", tmp_path / "c"), output=tmp_path / "all")))
    (tmp_path / "d").mkdir()
    tokens(tmp_path / "d" / "a", range(2))
    with pytest.raises(ConfigError, match="different names"):
        data.run(Config(task=Merge(folders=(tmp_path / "a", tmp_path / "d" / "a"), output=tmp_path / "all")))
