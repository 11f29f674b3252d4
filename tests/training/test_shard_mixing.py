"""Several folders of prepared videos in one stage: exact shares, epochs in the log, refusals."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from videolavit.cli import main
from videolavit.data.prepared_clips import ClipFrames
from videolavit.data.shards import Record, ShardReader, write_shard
from videolavit.errors import ConfigError, MediaError
from videolavit.training.batches import Shuffled
from videolavit.training.shard_folders import FolderSamples, open_shard_folders
from videolavit.training.stages.autoencoder import AutoencoderStage
from videolavit.training.stages.learned_compensation import LearnedCompensationStage
from videolavit.training.stages.motion_tokenizer import MotionTokenizerStage
from videolavit.training.stages.video_detokenizer import VideoDetokenizerStage
from videolavit.training.stages.visual_tokenizer import VisualTokenizerStage

SIZE = 32


def grey(value, size=SIZE):
    """A video of one clip whose pixels all have one value, by which its folder is known."""
    motion = np.zeros((1, 2, 24, 4, 4), np.float16)
    frames = np.full((24, size, size, 3), value, np.uint8)
    return Record(keyframes=frames[:1], motion=motion, motion_size=(size, size), frames=frames)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders A, B and C with 6, 2 and 3 videos: dark ones, bright ones, and larger ones."""
    folder = tmp_path_factory.mktemp("folders")
    for name, value, count, size in (("A", 10, 6, SIZE), ("B", 200, 2, SIZE), ("C", 100, 3, 2 * SIZE)):
        (folder / name).mkdir()
        write_shard((grey(value + number, size) for number in range(count)), folder / name / "videos.tar")
    return folder


def mixed(folders, stage, *names, **changed):
    return replace(stage, data=tuple(str(folders / name) for name in names), **changed)


def is_dark(images):
    return float(np.mean(images)) < 100


def test_three_to_one_is_exact_and_counted(folders):
    stage = mixed(folders, VisualTokenizerStage(), "A=3", "B")
    samples = stage.samples()
    drawn = Counter(is_dark(samples[draw]) for draw in range(400))
    assert drawn == {True: 300, False: 100}
    assert stage.seen(400) == {"samples/A": 300, "samples/B": 100, "epochs/A": 50, "epochs/B": 50}
    for draws in (0, 1, 3, 17):
        seen = stage.seen(draws)
        assert seen["samples/A"] + seen["samples/B"] == draws
        assert seen["samples/A"] == sum(is_dark(samples[draw]) for draw in range(draws))


def test_kinds_that_are_drawn_count_for_no_folder(folders):
    stage = mixed(folders, AutoencoderStage(height=SIZE, width=SIZE, shares=(2, 1, 1)), "A", "B=3")
    assert stage.seen(800) == {"samples/A": 100, "samples/B": 300, "epochs/A": pytest.approx(100 / 6), "epochs/B": 150}


def test_one_folder_is_shuffled_as_it_always_was(folders):
    reader = ShardReader(folders / "A")
    before, now = Shuffled(ClipFrames(reader), 5), FolderSamples(open_shard_folders(str(folders / "A")), ClipFrames, 5)
    for draw in range(20):
        assert np.array_equal(before[draw].frames, now[draw].frames)


@pytest.mark.parametrize("kind", [MotionTokenizerStage, LearnedCompensationStage, VideoDetokenizerStage])
def test_batches_of_other_stages_come_from_both(folders, kind):
    stage = mixed(folders, kind(), "A", "B")
    samples = stage.samples()
    batch = stage.collate([samples[draw] for draw in range(4)])
    assert all(len(values) == 4 for values in batch.values() if isinstance(values, torch.Tensor))
    assert stage.seen(4)["samples/B"] == 2


def test_videos_of_two_sizes_are_refused_where_they_meet_in_a_batch(folders):
    with pytest.raises(ConfigError, match="32 x 32 in A, 64 x 64 in C, expected one size"):
        mixed(folders, AutoencoderStage(), "A", "C").samples()
    resized = mixed(folders, VisualTokenizerStage(), "A", "C")  # it makes all images one size
    samples = resized.samples()
    assert len(resized.collate([samples[draw] for draw in range(4)])["images"]) == 4


def test_what_is_no_folder_is_refused(folders):
    with pytest.raises(MediaError, match="holds no shards"):
        mixed(folders, VisualTokenizerStage(), "A", "D").samples()
    with pytest.raises(ConfigError, match="named twice"):
        mixed(folders, VisualTokenizerStage(), "A", "A=2").samples()


def test_latents_do_not_mix_with_videos(folders, tmp_path):
    (tmp_path / "latents").mkdir()
    (tmp_path / "latents" / "latents-00000000-00000001.safetensors").touch()
    stage = replace(VideoDetokenizerStage(), data=(str(folders / "A"), str(tmp_path / "latents")))
    with pytest.raises(ConfigError, match="only one of both kinds"):
        stage.samples()


def test_the_command_mixes_and_logs_epochs(folders, tmp_path, capsys):
    sizes = ["--model.width", "16", "--model.heads", "2", "--model.num-codes", "8", "--model.code-dim", "4"]
    training = ["--training.steps", "3", "--training.warmup-steps", "1", "--training.batch-size", "8"]
    training += ["--training.log-every", "1", "--training.images-every", "0"]
    data = [f"{folders / 'A'}=3", str(folders / "B")]
    command = ["train", "motion_tokenizer", "--data", *data, "-o", str(tmp_path / "run"), "--quiet"]
    assert main([*command, *sizes, *training]) == 0, capsys.readouterr().err
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (last["samples/A"], last["samples/B"], last["epochs/A"], last["epochs/B"]) == (18, 6, 3, 3)


def test_replicate_is_a_short_option(folders, tmp_path, capsys):
    command = ["train", "motion_tokenizer", "--data", str(folders / "A"), "-o", str(tmp_path / "run"), "--quiet"]
    assert main([*command, "--replicate", "0"]) != 0
    assert "replicate=0, expected at least 1" in capsys.readouterr().err
    assert main([*command, "--replicate", "2"]) != 0  # of one process
    assert "2" in capsys.readouterr().err
    assert not (tmp_path / "run" / "export").exists()
