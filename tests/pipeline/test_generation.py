"""Drawing: clip after clip, previews, given keyframes, the best of several, and contexts that are full."""

from __future__ import annotations

from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline.small_model import CONTEXT, SIDE, VOCABULARY, image, moving

from videolavit.errors import ConfigError, OutputError, PromptError, ShapeError
from videolavit.language.generate import generate
from videolavit.language.generation_prompt import generation_prompt
from videolavit.language.prompts import Prompt
from videolavit.nn.random import sample_generators
from videolavit.pipeline import ranking, token_generation
from videolavit.pipeline.outputs import GeneratedVideo
from videolavit.pipeline.ranking import best_of, caption_log_likelihoods
from videolavit.pipeline.token_generation import TokenGenerator, window
from videolavit.progress import Progress
from videolavit.video.io.pixels import resize_image
from videolavit.video.io.write import read_metadata

PROMPT = "a red ball moves left"


def test_clips_come_one_by_one_and_join_to_the_video(model):
    stages: list[str] = []
    parts = model.stream_video(PROMPT, clips=3, seed=2, progress=lambda stage, done, total: stages.append(stage))
    first = next(parts)
    assert stages.count("frames") == 2, "the start and the one step of the first clip"
    rest = list(parts)
    assert [len(part.frames) for part in (first, *rest)] == [24, 23, 23]
    joined, whole = GeneratedVideo.join([first, *rest]), model.video(PROMPT, clips=3, seed=2)
    assert np.array_equal(joined.frames, whole.frames)
    assert torch.equal(joined.ids, whole.ids)
    assert len(whole.tokens) == 3
    assert np.array_equal(model.video(PROMPT, seed=2).frames, first.frames)
    assert np.array_equal(GeneratedVideo.join(model.stream_video(PROMPT, clips=2, seed=2)).frames, whole.frames[:47])
    with pytest.raises(ShapeError, match="at least one part"):
        GeneratedVideo.join([])


def test_only_parts_of_one_video_join(model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    video = model.video(PROMPT, keyframe_num_inference_steps=1, num_inference_steps=0)
    with pytest.raises(ShapeError, match=r"got parts of \[6.*, 12\] frames per second"):
        GeneratedVideo.join([video, replace(video, fps=12)])
    for wrong in (video, None, 5):
        with pytest.raises(ShapeError, match=f"got a {type(wrong).__name__}, expected a list of parts"):
            GeneratedVideo.join(wrong)
    with pytest.raises(ShapeError, match="got NoneType, ndarray among the parts"):
        GeneratedVideo.join([video, None, video.frames])


def test_ids_are_prompt_and_clips(model):
    video = model.video(PROMPT, clips=2)
    clips = model.vocabulary.visual_ids(video.tokens[0].keyframe)
    words = generation_prompt(model.language_model, PROMPT)
    assert torch.equal(video.ids[: len(words)], words)
    assert video.ids[len(words)] == VOCABULARY.image_start
    assert torch.equal(video.ids[len(words) + 1 :][: len(clips)], clips)
    assert video.ids[-1] == VOCABULARY.motion_end
    assert (video.ids == VOCABULARY.image_start).sum() == 2


def test_a_preview_comes_before_frames_are_drawn(model):
    seen: list[object] = []
    video = model.video(
        PROMPT,
        clips=2,
        preview=lambda frames, clip: seen.append((clip, frames)),
        progress=lambda stage, done, total: seen.append(stage) if done == 0 else None,
    )
    clip_starts = [i for i, event in enumerate(seen) if isinstance(event, tuple)]
    assert [seen[i][0] for i in clip_starts] == [0, 1]
    for i in clip_starts:
        assert [stage for stage in seen[i - 4 : i] if stage != "load"][-2:] == ["generate", "warp"]
        assert next(stage for stage in seen[i:] if isinstance(stage, str) and stage != "load") == "frames"
    preview = seen[clip_starts[0]][1]
    assert preview.shape == (24, SIDE, SIDE, 3)
    keyframe = model.detokenize([type(video.tokens[0])(keyframe=video.tokens[0].keyframe)]).frames[0]
    assert np.array_equal(preview[0], keyframe), "the first frame is the keyframe itself"


def test_an_image_is_brought_to_the_video_and_the_video_to_a_keyframe(model):
    wide = image(16, 64)
    [codes] = model.tokenize(image=wide)
    squeezed, kept = model.video(PROMPT, image=wide), model.video(PROMPT, keyframe=wide)
    assert squeezed.frames.shape[1:3] == (SIDE, SIDE)
    assert kept.frames.shape[1:3] == (SIDE // 2, 2 * SIDE)
    for video in (squeezed, kept):
        assert torch.equal(video.tokens[0].keyframe, codes.keyframe)
        assert len(video.tokens) == 1
    sized = model.video(PROMPT, keyframe=image(), height=8, width=32)
    assert sized.frames.shape[1:3] == (8, 32)
    assert model.video(image=image()).ids[0] == VOCABULARY.image_start, "an image alone is prompt enough"


def test_an_image_is_shown_as_it_is_in_the_preview(model):
    previews: list[np.ndarray] = []
    model.video(PROMPT, image=image(), preview=lambda frames, clip: previews.append(frames))
    assert np.array_equal(previews[0][0], resize_image(image(), SIDE, SIDE))


def test_candidates_count_behind_another_video_too(model, monkeypatch):
    drafts: list[int] = []

    def rank(model, clips, words):
        drafts.append(len(clips))
        assert words == PROMPT
        return torch.arange(len(clips)).float()

    before = model.video(PROMPT, seed=1)
    monkeypatch.setattr(ranking, "caption_log_likelihoods", rank)
    once = model.continue_video(before, PROMPT, seed=4)
    assert drafts == []
    best = model.continue_video(before, PROMPT, seed=4, candidates=3)
    assert drafts
    assert best.frames.shape == once.frames.shape
    with pytest.raises(ConfigError, match="candidates=0"):
        model.continue_video(before, PROMPT, candidates=0)


def test_images_stand_in_a_prompt_where_it_says(model):
    [codes] = model.tokenize(image=image())
    seen = VOCABULARY.visual_ids(codes.keyframe)
    behind = model.image("a ball like <image>", image=image()).ids
    before = model.image("a ball", image=image()).ids
    assert before[0] == VOCABULARY.image_start
    assert torch.equal(before[1 : 1 + len(seen)], seen)
    place = behind.tolist().index(VOCABULARY.image_start)
    assert place > 1
    assert torch.equal(behind[place + 1 : place + 1 + len(seen)], seen)
    with pytest.raises(PromptError, match="2 times and 1 images"):
        model.image("<image> and <image>", image=image())


def test_only_the_candidate_that_fits_best_is_drawn(model, monkeypatch):
    keyframes: list[int] = []
    monkeypatch.setattr(ranking, "caption_log_likelihoods", lambda m, clips, words: torch.tensor([-3.0, -1.0, -2.0]))
    video = model.video(
        PROMPT,
        candidates=3,
        seed=4,
        progress=lambda stage, done, total: keyframes.append(done) if stage == "keyframe" else None,
    )
    assert keyframes == [0, 1, 2], "one keyframe of two steps"
    context = generation_prompt(model.language_model, PROMPT)
    writer = TokenGenerator(model, Progress())
    drawn = generate(
        model.language_model,
        [Prompt.from_ids(context)] * 3,
        writer.grammar.video(),
        model.settings.sampling,
        sample_generators(4, 3, stream="ids 0"),
    )
    assert torch.equal(video.ids, torch.cat([context, drawn[1].ids]))
    assert not torch.equal(drawn[0].ids, drawn[1].ids)
    assert torch.equal(model.video(PROMPT, seed=4).ids, torch.cat([context, drawn[0].ids])), (
        "the first is the usual one"
    )


def test_the_model_itself_says_which_fits_best(model):
    contents = [
        model.video(PROMPT, seed=seed).ids[len(generation_prompt(model.language_model, PROMPT)) :] for seed in range(3)
    ]
    together = caption_log_likelihoods(model.language_model, contents, PROMPT)
    alone = [float(caption_log_likelihoods(model.language_model, [ids], PROMPT)) for ids in contents]
    assert together.tolist() == pytest.approx(alone, abs=1e-3)
    context, blocks = (
        generation_prompt(model.language_model, PROMPT),
        TokenGenerator(model, Progress()).grammar.video(),
    )
    assert best_of(model.language_model, context, contents, blocks, PROMPT) == int(np.argmax(alone))
    words = generation_prompt(model.language_model, PROMPT).tolist()
    read = [VOCABULARY.text_start, *contents[0].tolist(), *words, VOCABULARY.text_end]
    with torch.no_grad():
        scores = (
            model.language_model.causal_lm(torch.tensor([read])).logits[0, :, : VOCABULARY.num_text].log_softmax(-1)
        )
    begin = len(read) - len(words) - 1
    expected = sum(float(scores[i - 1, read[i]]) for i in range(begin, len(read)))
    assert alone[0] == pytest.approx(expected, abs=1e-3)


def test_drafts_of_motion_are_judged_with_the_keyframe_that_they_move(model, monkeypatch):
    judged: list[list[torch.Tensor]] = []

    def judge(_, clips, words):
        judged.append(list(clips))
        return torch.zeros(len(clips))

    monkeypatch.setattr(ranking, "caption_log_likelihoods", judge)
    video = model.video(PROMPT, image=image(), candidates=2)
    words = generation_prompt(model.language_model, PROMPT)
    [clips] = judged
    assert len(clips) == 2
    assert torch.equal(clips[0], video.ids[len(words) :])
    assert clips[1][0] == VOCABULARY.image_start


def test_a_model_has_a_number_of_drafts_of_its_own(model, monkeypatch):
    three = model.video(PROMPT, seed=4, candidates=3)
    assert model.video(PROMPT, seed=4).metadata["candidates"] == 1
    monkeypatch.setattr(model, "settings", replace(model.settings, candidates=3))
    own = model.video(PROMPT, seed=4)
    assert torch.equal(own.ids, three.ids)
    assert own.metadata["candidates"] == 3
    assert model.video(image=image(), seed=4).metadata["candidates"] == 1, "without words nothing can be compared"
    assert model.image(PROMPT, seed=4).metadata["candidates"] == 3


@pytest.mark.slow
def test_a_long_video_slides_through_a_full_context(model, monkeypatch):
    contexts: list[torch.Tensor] = []
    write = token_generation.stream

    def watched(language_model, prompts, *arguments, **options):
        contexts.extend(prompt.ids for prompt in prompts)
        return write(language_model, prompts, *arguments, **options)

    monkeypatch.setattr(token_generation, "stream", watched)
    video = model.video(PROMPT, clips=18)
    words = generation_prompt(model.language_model, PROMPT)
    assert len(video.ids) > CONTEXT
    assert len(video.tokens) == 18
    assert len(video.frames) == 24 + 17 * 23
    assert len(contexts) > 2
    for context in contexts:
        assert len(context) <= CONTEXT
        assert torch.equal(context[: len(words)], words)
    assert all(context[len(words)] == VOCABULARY.image_start for context in contexts[1:])
    longer = model.continue_video(video)
    assert torch.equal(longer.ids[: len(video.ids)], video.ids)
    assert np.array_equal(longer.frames[: len(video.frames)], video.frames)


def clip_ids(length: int) -> list[int]:
    return [VOCABULARY.image_start, *[VOCABULARY.visual_range.start] * length, VOCABULARY.motion_end]


def ids_of(lengths: list[int]) -> list[int]:
    return [new_id for length in lengths for new_id in clip_ids(length)]


@given(st.integers(0, 5), st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 80), st.integers(0, 2))
def test_a_window_keeps_the_prompt_and_the_last_clips(num_words, lengths, room, num_images):
    prompt = [5] * num_words + ids_of([2] * num_images)
    kept = window(torch.tensor(prompt + ids_of(lengths)), room, len(lengths), VOCABULARY).tolist()
    fitting = [n for n in range(1, len(lengths) + 1) if len(prompt) + len(ids_of(lengths[-n:])) <= room]
    assert kept == prompt + ids_of(lengths[-max(fitting, default=1) :])


def test_a_video_goes_on_with_other_words(model):
    video = model.video(PROMPT)
    turned = model.continue_video(video, "a green square moves right", clips=2)
    assert len(turned.frames) == 24 + 2 * 23
    words = generation_prompt(model.language_model, "a green square moves right")
    assert torch.equal(turned.ids[: len(words)], words)
    assert turned.metadata["task"] == "continue_video"
    assert turned.tokens[0] is video.tokens[0]


def test_a_video_from_elsewhere_goes_on_from_its_last_frame(model):
    after = model.continue_video(moving(30), PROMPT)
    assert after.frames.shape == (24, SIDE, SIDE, 3)
    edited = model.edit(image(), motion_of=moving(24), keyframe="raw", motion="raw", detokenizer="warp")
    assert edited.tokens == ()
    assert len(model.continue_video(edited).frames) == 24 + 23


def test_every_result_says_how_it_was_made(model, tmp_path):
    video = model.video(PROMPT, seed=7, candidates=2, height=16, width=24)
    assert set(video.timings) >= {"generate", "rank", "keyframe", "frames"}
    assert video.seconds == pytest.approx(sum(video.timings.values()))
    assert video.duration_seconds == 4
    for name in ("a.mp4", "a.gif", "a.webp", "a.png"):
        note = read_metadata(video.save(tmp_path / name))
        assert (note["prompt"], note["seed"], note["candidates"], note["options"]["width"]) == (PROMPT, 7, 2, 24)
    with pytest.raises(OutputError, match="exists already"):
        video.save(tmp_path / "a.mp4", overwrite=False)
    image = model.image(PROMPT, generator=torch.Generator())
    assert read_metadata(image.save(tmp_path / "b.png"))["seed"] is None
    with pytest.raises(OutputError, match=r"\.tiff"):
        image.save(tmp_path / "b.tiff")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4", "a.png", "a.webp", "b.png"]


def test_progress_starts_at_nothing_and_ends_at_the_total(model):
    told: list[tuple[str, int, int]] = []
    model.video(PROMPT, candidates=2, progress=lambda *step: told.append(step))
    assert {stage for stage, _, _ in told} == {"load", "generate", "rank", "keyframe", "frames"}
    for stage in ("generate", "rank", "keyframe", "frames"):
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps[0][0] == 0
        assert steps[-1] == (steps[0][1],) * 2
        assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, PromptError, "prompt is empty"),
        ({"prompt": "  \n"}, PromptError, "prompt is empty"),
        ({"prompt": "long " * 500}, PromptError, "context has room for"),
        ({"prompt": "a", "image": 0, "keyframe": 0}, PromptError, "more than one of"),
        ({"prompt": "a", "clips": 0}, ConfigError, "clips=0"),
        ({"prompt": "a", "candidates": 0}, ConfigError, "candidates=0"),
        ({"image": 0, "candidates": 2}, PromptError, "compared by the prompt's words"),
        ({"prompt": "a", "sed": 1}, ConfigError, "unknown option sed"),
    ],
)
def test_what_makes_no_sense_is_refused(model, arguments, error, message):
    given = {name: image() if name in ("image", "keyframe") else value for name, value in arguments.items()}
    with pytest.raises(error, match=message):
        model.video(**given)


def test_an_image_of_one_pixel_comes_to_life(model):
    assert model.video(image=np.full((1, 1, 3), 9, np.uint8)).frames.shape == (24, SIDE, SIDE, 3)
    assert model.video(PROMPT, keyframe=np.full((1, 5000, 3), 9, np.uint8)).frames.shape[1] >= 4
