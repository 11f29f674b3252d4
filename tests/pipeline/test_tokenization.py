"""Tokens and back: round trips, reconstruction with and without networks, and edited motion."""

from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest
import torch
from pipeline.small_model import SIDE, VOCABULARY, image, moving, small_model

from videolavit.checkpoints.components import ModelComponents
from videolavit.errors import ConfigError, LimitError, MediaError, OutputError, PromptError, VocabularyError
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.encoding import ids_as_tokens, tokens_as_ids
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.pipeline.token_text import is_token_text, parse_tokens, read_note
from videolavit.video.io.pixels import resize_image
from videolavit.video.io.write import write_video


def test_ids_text_and_tokens_are_the_same_video(model, tmp_path):
    tokens = model.tokenize(video=moving(50))
    assert [clip.num_frames for clip in tokens] == [24, 24, 2]
    assert torch.equal(tokens_as_ids(ids_as_tokens(tokens.ids, VOCABULARY), VOCABULARY), tokens.ids)
    frames = model.detokenize(tokens).frames
    assert frames.shape == (50, SIDE, SIDE, 3)
    assert np.array_equal(model.detokenize(tokens.text).frames, frames)
    assert np.array_equal(model.detokenize(list(tokens)).frames, frames)
    whole = model.detokenize(tokens.ids).frames
    assert len(whole) == 72, "ids do not say how long a clip is shown"
    assert np.array_equal(whole[:24], frames[:24])
    assert np.array_equal(model.detokenize(tokens.ids.tolist()).frames, whole)
    text = tokens.save(tmp_path / "tokens.txt").read_text()
    assert [clip.keyframe.tolist() for clip in parse_tokens(text)] == [clip.keyframe.tolist() for clip in tokens]
    assert read_note(text)["task"] == "tokenize"
    with pytest.raises(OutputError, match=r"\.mp4"):
        tokens.save(tmp_path / "tokens.mp4")
    with pytest.raises(OutputError, match="exists already"):
        tokens.save(tmp_path / "tokens.txt", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.txt"]


def test_words_before_the_clips_are_left_out(model):
    video = model.video("a red ball", clips=2)
    clips = ids_as_tokens(video.ids, VOCABULARY)
    assert [clip.motion.tolist() for clip in clips] == [clip.motion.tolist() for clip in video.tokens]


K, M = (
    [VOCABULARY.image_start, 302, VOCABULARY.image_end],
    [VOCABULARY.motion_start, 330, 330, 330, VOCABULARY.motion_end],
)


@pytest.mark.parametrize(
    "ids", [M, [*M, *K, *M], K[:-1], [*K, 5], [302, *K], [*K, *M[:-1]], [*K[:1], 5, *K[1:]], [*K, 302], [99999, *K]]
)
def test_ids_that_make_no_clips_are_refused(ids):
    with pytest.raises(VocabularyError):
        ids_as_tokens(torch.tensor(ids), VOCABULARY)


@pytest.mark.parametrize("name", ["Warp", "foo", None, True])
def test_detokenizers_that_do_not_exist_are_refused(model, monkeypatch, name):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(ConfigError, match=f"got detokenizer={name!r}, expected 'diffusion' or 'warp'"):
        model.detokenize("K 1", detokenizer=name)


def test_nothing_to_draw_is_refused(model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    for nothing in ([], [5], torch.tensor([5, 6]), torch.tensor([], dtype=torch.long)):
        with pytest.raises(PromptError, match="got tokens without clips, expected what tokenize returned"):
            model.detokenize(nothing)
    with pytest.raises(PromptError, match="got a text without clips"):
        model.detokenize("")
    with pytest.raises(PromptError, match="got an empty list of images"):
        model.tokenize(image=[])
    with pytest.raises(VocabularyError, match="24"):
        model.detokenize("K 24")


def test_what_is_no_tokens_is_refused_in_words(model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    for wrong, kinds in ((5.5, "float"), (5, "int"), (b"K 1", "bytes"), (["K 1"], "str"), ([1, None], "NoneType, int")):
        with pytest.raises(PromptError, match=f"got tokens of type {kinds}, expected what tokenize returned"):
            model.detokenize(wrong)
    tokens = model.tokenize(image=image())
    assert np.array_equal(model.detokenize(tokens.ids.numpy()).frames, model.detokenize(tokens).frames)


def test_an_image_has_no_options_of_motion(model):
    for options in ({"motion_layers": 2}, {"keyframes": "adaptive"}):
        with pytest.raises(ConfigError, match="for an image, which has no motion"):
            model.tokenize(image=image(), **options)
    assert len(model.tokenize(image=image(), keyframes="every")) == 1


def test_a_video_is_compared_with_itself_at_the_size_that_is_drawn(model):
    again = model.reconstruct(moving(50))
    assert again.frames.shape == again.original.shape == (50, SIDE, SIDE, 3)
    assert np.array_equal(again.original[49], resize_image(moving(50)[49], SIDE, SIDE))
    num_ids = sum(len(clip.keyframe) + 3 for clip in again.tokens)
    assert again.num_ids == num_ids
    assert again.ids_per_second == pytest.approx(num_ids * 6 / 50)
    bits = sum(len(clip.keyframe) * math.log2(24) + 3 * math.log2(16) for clip in again.tokens)
    assert again.bits_per_second == pytest.approx(bits * 6 / 50)
    assert -1 <= again.ssim <= 1
    assert np.array_equal(again.frames, model.detokenize(model.tokenize(video=moving(50))).frames)


def test_without_tokens_no_part_of_the_model_is_needed():
    empty = VideoLaVIT(ModelComponents(vocabulary=VOCABULARY, settings=small_model().settings))
    still = np.repeat(moving(1), 30, axis=0)
    again = empty.reconstruct(still, keyframe="raw", motion="raw", detokenizer="warp")
    assert repr(again).endswith("fps, no tokens)")
    assert again.num_ids == 0
    assert again.tokens == ()
    assert again.psnr_db > 25
    assert again.num_bits >= 2 * 8 * SIDE * SIDE * 3


@pytest.mark.parametrize("keyframe", ["tokens", "raw"])
@pytest.mark.parametrize("motion", ["tokens", "raw"])
@pytest.mark.parametrize("detokenizer", ["diffusion", "warp"])
def test_every_way_to_reconstruct_differs_in_what_it_says(model, keyframe, motion, detokenizer):
    again = model.reconstruct(moving(24), keyframe=keyframe, motion=motion, detokenizer=detokenizer)
    assert again.frames.shape == (24, SIDE, SIDE, 3)
    assert (again.metadata["keyframe"], again.metadata["motion"]) == (keyframe, motion)
    assert ("frames" in again.timings) == (detokenizer == "diffusion")
    assert (again.num_ids > 0) == ("tokens" in (keyframe, motion))
    assert bool(again.tokens) == (keyframe == motion == "tokens")


def test_videos_that_are_too_long_or_seen_once_only_are_refused(model, tmp_path):
    with pytest.raises(LimitError, match="more than 1 clips, and max_clips=1"):
        model.reconstruct(moving(50), max_clips=1)
    path = write_video(moving(60), tmp_path / "long.mp4")
    with pytest.raises(LimitError, match="10 s, clips of 4 s, and max_clips=1"):
        model.edit(path, freeze=True, max_clips=1)
    with pytest.raises(MediaError, match="read once only"):
        model.reconstruct(iter(moving(24)))


def edited(model: VideoLaVIT, video: object, **change: object) -> np.ndarray:
    return model.edit(video, **change, keyframe="raw", motion="raw", detokenizer="warp").frames


def test_frozen_clips_stand_still(model):
    frames = edited(model, moving(48), freeze=True)
    assert len(frames) == 48
    assert (frames[:24] == frames[0]).all()
    assert (frames[24:] == frames[24]).all()
    assert not np.array_equal(frames[0], frames[24])


def test_a_reversed_video_starts_with_its_last_frame(model):
    frames = edited(model, moving(30), reverse=True)
    assert len(frames) == 30
    assert np.array_equal(frames[0], resize_image(moving(30)[29], SIDE, SIDE))


@pytest.mark.parametrize("num_frames", [24, 30, 36, 47])
def test_a_reversed_video_shows_every_frame_backwards(model, num_frames):
    video = moving(num_frames)
    frames = edited(model, video, reverse=True)
    wanted = np.stack([resize_image(frame, SIDE, SIDE) for frame in video[::-1]]).astype(int)
    assert len(frames) == num_frames
    assert (frames[1:] != frames[:-1]).any((1, 2, 3)).all(), "none stands still, however short its clip is"
    first = slice(1, num_frames % 24 or 24)  # frames of the video's last clip, which comes first
    assert np.abs(frames[first] - wanted[first]).mean() < 0.6 * np.abs(wanted[0] - wanted[first]).mean()


def test_motion_moves_another_image(model):
    target = np.zeros((SIDE, SIDE, 3), np.uint8)
    target[4:12, 4:8] = 255
    frames = edited(model, target, motion_of=moving(24))
    centre = lambda frame: float((frame[..., 0].sum(0) * np.arange(SIDE)).sum() / max(1, frame[..., 0].sum()))  # noqa: E731
    assert np.array_equal(frames[0], target)
    assert centre(frames[4]) > centre(frames[0]) + 0.5, "what moved to the right in one moves it to the right here"
    opposite = edited(model, target, motion_of=moving(24), scale=-1)
    assert centre(opposite[4]) < centre(opposite[0])


def test_longer_motion_carries_an_image_on(model):
    frames = edited(model, image(), motion_of=moving(48))
    assert len(frames) == 24 + 23
    assert np.abs(frames[24].astype(int) - frames[23]).mean() < 40, "it goes on from the last frame"


def test_tokens_are_edited_as_tokens(model):
    tokens = model.tokenize(video=moving(24))
    other = model.tokenize(video=moving(24)[::-1])
    swapped = model.edit(tokens, motion_of=other)
    assert torch.equal(swapped.tokens[0].keyframe, tokens[0].keyframe)
    assert torch.equal(swapped.tokens[0].motion, other[0].motion)
    untouched = model.edit(tokens)
    assert np.array_equal(untouched.frames, model.detokenize(tokens).frames)
    frozen = model.edit(tokens, freeze=True)
    assert frozen.tokens[0].motion.shape == (3,)
    drawn = model.video("a red ball")
    assert np.array_equal(model.edit(drawn).frames, drawn.frames)
    assert model.edit(drawn, reverse=True).metadata["edit"] == {
        "reverse": True,
        "scale": 1.0,
        "freeze": False,
        "mirror": False,
    }


def test_tensors_of_pixels_and_text_of_tokens_are_edited_as_what_they_are(model):
    frames = torch.from_numpy(moving(24)).permute(0, 3, 1, 2)
    assert np.array_equal(model.edit(frames, reverse=True).frames, model.edit(moving(24), reverse=True).frames)
    still = torch.from_numpy(image()).permute(2, 0, 1)
    carried = model.edit(still, motion_of=frames)
    assert np.array_equal(carried.frames, model.edit(image(), motion_of=moving(24)).frames)
    tokens = model.tokenize(video=moving(24))
    assert np.array_equal(model.edit(tokens.text, freeze=True).frames, model.edit(tokens, freeze=True).frames)
    assert np.array_equal(model.edit(tokens.ids, freeze=True).frames, model.edit(tokens, freeze=True).frames)


@pytest.mark.parametrize("wrong", [torch.zeros(1, 7, dtype=torch.long), torch.rand(5), torch.zeros(3, 16, 16)])
def test_tensors_that_are_no_row_of_ids_are_refused_by_their_shape(model, wrong):
    with pytest.raises(PromptError, match=r"got tokens of shape .* expected one row of whole numbers"):
        model.detokenize(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("K 1 2 | M 3", True),
        ("# a note\n\nM 3 4\n", True),
        ("  K 5\n", True),
        ("K 1.mp4", False),
        ("K", False),
        ("video.mp4", False),
        ("# notes.mp4", False),
    ],
)
def test_text_of_tokens_is_told_from_names_of_files(text, expected):
    assert is_token_text(text) is expected


def test_edits_that_make_no_sense_are_refused(model):
    with pytest.raises(PromptError, match="something that moves"):
        model.edit(moving(24), motion_of=model.tokenize(image=image()))
    for still in (image(), model.tokenize(image=image())):
        with pytest.raises(PromptError, match="an image has no motion to edit; give motion_of="):
            model.edit(still, freeze=True)
    with pytest.raises(ConfigError, match="motion_layers=2, expected 1 to 1"):
        model.reconstruct(moving(24), motion_layers=2)
    with pytest.raises(ConfigError, match="motion that is kept has no layers"):
        model.reconstruct(moving(24), motion="raw", motion_layers=2)
    with pytest.raises(ConfigError, match="scale="):
        model.edit(moving(24), scale=float("nan"))
    with pytest.raises(MediaError):
        model.edit("gone.mp4", freeze=True)


def test_numbers_of_another_type_are_taken_or_refused_in_words(model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    for wrong in ("2", None, True):
        with pytest.raises(ConfigError, match=r"got scale=.*, expected a number"):
            model.edit(moving(24), scale=wrong)
    assert MotionEdit(scale=np.float32(2)) == MotionEdit(scale=2.0)
    for name, wrong in (("clips", 2.5), ("clips", "2"), ("candidates", "3"), ("candidates", 1.5)):
        with pytest.raises(ConfigError, match=f"got {name}=.*, expected a whole number"):
            model.video("a red ball", **{name: wrong})
    video = model.video("a red ball", clips=np.int64(1), candidates=np.int64(1), seed=np.int64(2))
    assert type(video.metadata["seed"]) is int
    assert np.array_equal(video.frames, model.video("a red ball", clips=1, candidates=1, seed=2).frames)


@pytest.mark.slow
def test_a_saved_model_does_every_task_alike(model, tmp_path):
    model.save_pretrained(tmp_path / "native")
    again = VideoLaVIT.from_pretrained(tmp_path / "native")
    results = [
        (
            one.video("a red ball", clips=2).frames,
            one.reconstruct(moving(30)).frames,
            one.edit(moving(24), scale=2).frames,
        )
        for one in (model, again)
    ]
    for one, other in zip(*results, strict=True):  # where weights lie in memory decides how some CPUs round
        differences = np.abs(one.astype(int) - other)
        assert differences.max() <= 1
        assert (differences > 0).mean() < 1e-3
    for name in ("language_model", "video_unet"):
        stored = again.components.module(name).state_dict()
        for key, value in model.components.module(name).state_dict().items():
            assert torch.equal(stored[key], value), key
    assert again.answer("what?", video=moving(24), max_new_tokens=4) == model.answer(
        "what?", video=moving(24), max_new_tokens=4
    )
    note = again.video("a red ball").metadata
    assert note["model_hash"] is not None
    assert note["model"] == "native"  # its name, not where on somebody's disk it lies
