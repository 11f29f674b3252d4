import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from movies import write_movie
from safetensors.torch import save_file
from training.small_language import make_text_tokenizer, make_video, make_vocabulary

from videolavit.checkpoints.artifacts import write_artifact
from videolavit.config import save_config
from videolavit.data.prepare_tokens import TokenizeOptions, tokenize_records, tokenize_shards, tokenize_videos
from videolavit.data.prepare_videos import SHAPES_FRONT_END, ShapesData, shapes_record
from videolavit.data.shards import ShardReader, write_shard
from videolavit.data.tokens import TokenReader, TokenShard, TokensMadeBy, write_tokens
from videolavit.data.video_files import VideoFiles
from videolavit.data.video_lists import named_videos
from videolavit.errors import CheckpointError, ConfigError, MediaError, OutputError
from videolavit.jobs.shard_jobs import JobOptions
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.vocabulary import Vocabulary

VOCABULARY = make_vocabulary(make_text_tokenizer())


def same(one, other):
    words = ("captions", "image_captions", "questions", "about_image")
    return all(getattr(one, name) == getattr(other, name) for name in words) and all(
        torch.equal(a.visual_ids, b.visual_ids)
        and torch.equal(a.motion_ids, b.motion_ids)
        and (a.features is None) == (b.features is None)
        and (a.features is None or torch.equal(a.features, b.features))
        for a, b in zip(one.clips, other.clips, strict=True)
    )


@pytest.mark.parametrize("features", [True, False])
def test_videos_come_back_as_they_were_in_any_order(tmp_path, features):
    videos = [make_video(n, VOCABULARY, clips=1 + n % 3, features=features) for n in range(7)]
    videos[2] = replace(videos[2], captions=("naïve – “words”",), questions=(), about_image=())
    write_tokens(videos[:4], tmp_path / "a", VOCABULARY)
    write_tokens(videos[4:], tmp_path / "b.c", VOCABULARY)
    reader = TokenReader(tmp_path)
    assert len(reader) == 7
    assert reader.vocabulary == VOCABULARY
    assert all(same(reader[n], videos[n]) for n in (6, 0, 3, 4, 2, 1, 5))
    assert reader.with_words("questions").tolist() == [0, 1, 3, 4, 5, 6]
    with pytest.raises(IndexError):
        reader[7]


def without_keyframes(video, *numbers):
    """The video with motion alone in some of its clips."""
    clips = [
        replace(clip, visual_ids=clip.visual_ids[:0], features=None if clip.features is None else clip.features[:0])
        if number in numbers
        else clip
        for number, clip in enumerate(video.clips)
    ]
    return replace(video, clips=tuple(clips))


def version_of(path):
    return json.loads(path.read_text())["version"]


@pytest.mark.parametrize("features", [True, False])
def test_clips_of_motion_alone_come_back_and_the_version_says_that_there_are_some(tmp_path, features):
    whole = [make_video(n, VOCABULARY, clips=3, features=features) for n in range(3)]
    videos = [without_keyframes(whole[0], 1, 2), without_keyframes(whole[1], 2), whole[2]]
    write_tokens(videos, tmp_path / "a", VOCABULARY)
    reader = TokenReader(tmp_path)
    assert all(same(one, other) for one, other in zip(reader, videos, strict=True))
    assert [[clip.has_keyframe for clip in video.clips] for video in reader] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    reader.shards[0].check()
    assert reader.motion_only
    assert version_of(tmp_path / "a.tokens.json") == 2
    (tmp_path / "old").mkdir()
    write_tokens(whole, tmp_path / "old" / "a", VOCABULARY)
    assert version_of(tmp_path / "old" / "a.tokens.json") == 1, "earlier versions of the package read it as well"
    assert not TokenReader(tmp_path / "old").motion_only


def test_a_shard_of_a_newer_version_is_refused_and_one_that_begins_with_motion_is_not_written(tmp_path):
    write_tokens([make_video(0, VOCABULARY)], tmp_path / "a", VOCABULARY)
    about = tmp_path / "a.tokens.json"
    about.write_text(about.read_text().replace('"version": 1', '"version": 3'))
    with pytest.raises(MediaError, match="version 3 of the format, this package reads up to 2; update videolavit"):
        TokenReader(tmp_path)
    with pytest.raises(MediaError, match="video 0 begins with"):
        write_tokens([without_keyframes(make_video(0, VOCABULARY), 0)], tmp_path / "b", VOCABULARY)
    assert not list(tmp_path.glob("b.*"))


def test_ids_take_two_bytes_and_four_where_the_vocabulary_is_large(tmp_path):
    videos = [make_video(n, VOCABULARY) for n in range(3)]
    write_tokens(videos, tmp_path / "a", VOCABULARY)
    num_ids = sum(len(clip.visual_ids) + len(clip.motion_ids) + 4 for video in videos for clip in video.clips)
    assert (tmp_path / "a.ids.bin").stat().st_size == 2 * num_ids
    assert Vocabulary().size < 2**16
    large = replace(VOCABULARY, num_text=150_000)
    shift = 150_000 - VOCABULARY.num_text
    moved = [
        replace(
            video,
            clips=tuple(
                replace(clip, visual_ids=clip.visual_ids + shift, motion_ids=clip.motion_ids + shift)
                for clip in video.clips
            ),
        )
        for video in videos
    ]
    (tmp_path / "large").mkdir()
    write_tokens(moved, tmp_path / "large" / "b", large)
    assert (tmp_path / "large" / "b.ids.bin").stat().st_size == 4 * num_ids
    assert all(same(a, b) for a, b in zip(TokenReader(tmp_path / "large"), moved, strict=True))


def test_a_shard_says_what_made_it_and_finds_damage(tmp_path):
    made_by = TokensMadeBy(tokenizers={"visual": "a" * 64}, made_of="b" * 64)
    write_tokens([make_video(n, VOCABULARY) for n in range(3)], tmp_path / "a", VOCABULARY, made_by)
    shard = TokenShard(tmp_path / "a.tokens.json")
    assert (shard.tokenizers, shard.made_of) == (made_by.tokenizers, made_by.made_of)
    assert TokenReader(tmp_path).tokenizers == made_by.tokenizers
    shard.check()
    ids = bytearray((tmp_path / "a.ids.bin").read_bytes())
    ids[9] ^= 1
    (tmp_path / "a.ids.bin").write_bytes(ids)
    with pytest.raises(MediaError, match=r"a\.ids\.bin: is damaged"):
        TokenShard(tmp_path / "a.tokens.json").check()
    other = TokensMadeBy(tokenizers={"visual": "c" * 64})
    write_tokens([make_video(0, VOCABULARY)], tmp_path / "b", VOCABULARY, other)
    with pytest.raises(ConfigError, match="different tokenizers"):
        TokenReader(tmp_path)


def test_a_shard_is_there_whole_or_not_at_all(tmp_path):
    def breaking():
        yield make_video(0, VOCABULARY)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(breaking(), tmp_path / "a", VOCABULARY)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError):
        write_tokens([make_video(0, VOCABULARY)], tmp_path / "missing" / "a", VOCABULARY)


def test_damaged_and_mixed_shards_are_refused(tmp_path):
    with pytest.raises(MediaError, match="holds no token shards"):
        TokenReader(tmp_path)
    write_tokens([make_video(0, VOCABULARY)], tmp_path / "a", VOCABULARY)
    write_tokens([make_video(0, VOCABULARY, features=False)], tmp_path / "b", VOCABULARY)
    with pytest.raises(ConfigError, match="different tokenizers"):
        TokenReader(tmp_path)
    (tmp_path / "b.ids.bin").write_bytes(b"\0" * 6)
    with pytest.raises(MediaError, match=r"b\.tokens\.json: files have \[6"):
        TokenReader(tmp_path)
    (tmp_path / "b.tokens.json").write_text("[]")
    with pytest.raises(MediaError, match="cannot be read"):
        TokenReader(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Shards of six videos of one and two clips, and small random tokenizers."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    data = ShapesData(num_videos=6, clips=(1, 2))
    records = [record for number in range(6) if (record := shapes_record(data, number)) is not None]
    write_shard(records[:2], folder / "data" / "x.tar")
    write_shard(records[2:], folder / "data" / "y.tar")
    torch.manual_seed(0)
    vit = VisionTransformerConfig(
        image_size=32, patch_size=8, width=16, layers=1, heads=2, mlp_ratio=2.0, unused_head_width=None
    )
    visual = VisualTokenizer(
        VisualTokenizerConfig(vit=vit, merger_layers=1, merger_heads=2, num_codes=24, code_dim=4, language_width=8)
    ).eval()
    motion = MotionTokenizer(
        MotionTokenizerConfig(
            rows=16,
            cols=16,
            patch=(2, 4, 4),
            strides=((2, 1, 1), (2, 1, 1)),
            blocks=(1, 1),
            width=16,
            heads=2,
            num_codes=16,
            code_dim=4,
        )
    ).eval()
    write_artifact(folder / "visual", {"visual_tokenizer": visual})
    (folder / "motion").mkdir()  # as an earlier version exported it
    save_config(motion.config, folder / "motion" / "config.json")
    save_file(motion.state_dict(), folder / "motion" / "motion_tokenizer.safetensors")
    return folder, records, visual, motion


def test_ids_are_those_of_the_tokenizers(prepared):
    _, records, visual, motion = prepared
    for record, video in zip(records, tokenize_records(records, visual, motion, VOCABULARY, batch_size=4), strict=True):
        seen = visual.encode(visual.preprocess(list(record.keyframes)))
        assert [clip.visual_ids.tolist() for clip in video.clips] == [
            VOCABULARY.visual_ids(codes).tolist() for codes in seen.codes
        ]
        for clip, features in zip(video.clips, seen.features, strict=True):
            torch.testing.assert_close(clip.features, features)
        moved = np.stack([record.motion_of(i).for_tokenizer(16, 16) for i in range(record.num_clips)])
        codes = motion.encode(torch.from_numpy(moved))
        assert torch.equal(torch.stack([clip.motion_ids for clip in video.clips]), VOCABULARY.motion_ids(codes))
        assert video.captions == record.captions
        assert len(video.image_questions) == sum(record.about_image)


def test_motion_alone_is_made_of_records_that_say_so(prepared, tmp_path):
    _, records, visual, motion = prepared
    marked = [replace(record, motion_only=(1,)) if record.num_clips > 1 else record for record in records]
    write_shard(marked, tmp_path / "x.tar")
    read = list(ShardReader(tmp_path))
    assert [record.motion_only for record in read] == [record.motion_only for record in marked]
    told = tokenize_records(read, visual, motion, VOCABULARY, batch_size=4)
    for video, whole in zip(told, tokenize_records(records, visual, motion, VOCABULARY), strict=True):
        clips = range(1, len(whole.clips))
        assert same(video, without_keyframes(whole, *clips))


def options(folder, **changes):
    fields = {"visual_tokenizer": str(folder / "visual"), "motion_tokenizer": str(folder / "motion")}
    return TokenizeOptions(**(fields | {"num_text": VOCABULARY.num_text} | changes))


def test_a_folder_is_tokenized_once(prepared, tmp_path):
    folder, records, *_ = prepared
    reader = tokenize_shards(folder / "data", tmp_path, options(folder))
    assert len(reader) == len(records)
    assert reader.vocabulary == VOCABULARY
    assert reader[len(reader) - 1].captions == records[-1].captions
    kept = tmp_path / "x.ids.bin"
    before = kept.stat().st_mtime_ns, kept.read_bytes()
    (tmp_path / "y.tokens.json").unlink()
    again = tokenize_shards(folder / "data", tmp_path, options(folder))
    assert (kept.stat().st_mtime_ns, kept.read_bytes()) == before
    assert all(same(a, b) for a, b in zip(reader, again, strict=True))


def test_discrete_shards_have_no_features_and_chance_is_seeded(prepared, tmp_path):
    folder, *_ = prepared
    plain = tokenize_shards(folder / "data", tmp_path / "plain", options(folder, features=False))
    assert plain.feature_width == 0
    assert plain[0].clips[0].features is None
    drawn = [
        tokenize_shards(folder / "data", tmp_path / name, options(folder, patch_selection="gumbel", seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert all(same(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not all(same(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))


def test_a_collapsed_selector_stops_the_work(prepared, tmp_path):
    folder, _, visual, _ = prepared

    broken = VisualTokenizer(visual.config)
    broken.load_state_dict(visual.state_dict())
    with torch.no_grad():
        last = [layer for layer in broken.selector.modules() if isinstance(layer, torch.nn.Linear)][-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-9.0, 9.0]))
    write_artifact(tmp_path / "visual", {"visual_tokenizer": broken})
    changed = options(folder, visual_tokenizer=str(tmp_path / "visual"))
    for _ in range(2):  # nothing is left behind that would pass for a finished shard
        with pytest.raises(CheckpointError, match="keeps nothing"):
            tokenize_shards(folder / "data", tmp_path / "tokens", changed)
    with pytest.raises(ConfigError, match="other tokenizers or options"):
        tokenize_shards(folder / "data", tmp_path / "tokens", options(folder))
    with pytest.raises(CheckpointError, match="holds no motion_tokenizer; train the stage"):
        tokenize_shards(folder / "data", tmp_path / "tokens", options(folder, motion_tokenizer=str(tmp_path)))


@pytest.mark.slow
def test_workers_write_the_same_shards(prepared, tmp_path):
    folder, *_ = prepared
    one = tokenize_shards(folder / "data", tmp_path / "one", options(folder))
    two = tokenize_shards(folder / "data", tmp_path / "two", options(folder), jobs=JobOptions(workers=2))
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_where_records_lie_is_known(prepared):
    folder, records, *_ = prepared
    shards = ShardReader(folder / "data").shards()
    assert {path.name: list(numbers) for path, numbers in shards.items()} == {
        "x.tar": [0, 1],
        "y.tar": list(range(2, len(records))),
    }
    assert json.loads((folder / "data" / "x.index.json").read_text())


@pytest.mark.slow
def test_files_become_the_same_ids_in_one_pass_as_by_way_of_shards(prepared, tmp_path):
    folder, *_ = prepared
    (tmp_path / "movies").mkdir()
    for name in ("a", "b"):
        write_movie(tmp_path / "movies" / f"{name}.mp4", seconds=9)
    (tmp_path / "movies" / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "movies" / "b.txt").write_text("a square moves")
    files = VideoFiles(videos=(), video_processor=SHAPES_FRONT_END)
    videos = named_videos(tmp_path / "movies")
    reader, problems = tokenize_videos(videos, tmp_path / "ids", options(folder), files, videos_per_shard=2)
    assert [problem.split(": ")[0].rpartition("/")[2] for problem in problems] == ["bad.mp4"]
    (tmp_path / "shards").mkdir()
    records = files.of(tuple(videos)).records({})
    write_shard(records, tmp_path / "shards" / "x.tar")
    by_way = tokenize_shards(tmp_path / "shards", tmp_path / "by_way", options(folder))
    assert len(reader) == len(by_way) == 4
    assert all(same(one, other) for one, other in zip(reader, by_way, strict=True))
    assert reader[3].captions == ("a square moves",)
    assert {path.suffix for path in (tmp_path / "ids").iterdir()} == {".bin", ".jsonl", ".npy", ".json", ".txt"}
    _, again = tokenize_videos(videos, tmp_path / "ids", options(folder), files, videos_per_shard=2)
    assert again == problems
