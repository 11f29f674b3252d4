"""Questions: what is shown is looked at once, media stand where the question says, and conversations go on."""

from __future__ import annotations

import copy
import io
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import jaxtyping
import numpy as np
import pytest
from looks import watched_looks
from PIL import Image
from pipeline.small_model import CONTEXT, image, moving

from videolavit.errors import ConfigError, GenerationError, MediaError, PromptError
from videolavit.language.conversation import Turn
from videolavit.language.prompts import ImageInput, VideoInput
from videolavit.pipeline import VideoLaVIT
from videolavit.pipeline.encoding_cache import EncodingCache, fingerprint
from videolavit.video import Frames
from videolavit.video.io.write import write_video


@pytest.fixture
def looks(monkeypatch, model) -> list[object]:
    """What was taken apart."""
    return watched_looks(monkeypatch, model)


def test_a_video_is_looked_at_once_however_often_it_is_asked_about(model, looks, tmp_path):
    path = write_video(moving(30), tmp_path / "a.mp4")
    first = model.answer("what moves?", video=path, max_new_tokens=4)
    assert first == model.answer("what moves?", video=str(path), max_new_tokens=4)
    model.answer(["which way?", "is it red?"], video=path, max_new_tokens=4)
    model.stream_answer("which way?", video=path, max_new_tokens=4)
    assert len(looks) == 1
    model.answer("what moves?", video=path, max_clips=1, max_new_tokens=4)
    assert len(looks) == 2, "other settings see something else"
    write_video(moving(30)[::-1], path)
    model.answer("what moves?", video=path, max_new_tokens=4)
    assert len(looks) == 3, "the file has changed"


def test_questions_of_a_batch_are_answered_as_if_each_were_alone(model, looks):
    questions = ["what moves?", "which way does it move, to the left or to the right?", "why?"]
    together = model.answer(questions, video=moving(50), max_new_tokens=6)
    assert together == [model.answer(question, video=moving(50), max_new_tokens=6) for question in questions]
    assert len(looks) == 1
    assert [answer.question for answer in together] == questions


def test_a_question_with_its_own_media_may_come_alone(model):
    own = {"question": "what moves?", "video": moving(50)}
    assert model.answer(own, max_new_tokens=6) == model.answer("what moves?", video=moving(50), max_new_tokens=6)
    assert model.answer([own, "why?"], max_new_tokens=6)[0] == model.answer(own, max_new_tokens=6)


def test_what_is_no_question_is_refused_in_words(model, looks, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(PromptError, match="got a question of type NoneType, expected a text"):
        model.answer(None)
    with pytest.raises(PromptError, match="got a question of type bytes, expected a text"):
        model.answer(b"why?")
    for wrong in ("before", [{"role": "user", "content": "why?"}], 3):
        with pytest.raises(PromptError, match=r"got a history of type .*, expected the last Answer, or its turns"):
            model.answer("why?", history=wrong, video=moving(50))
    for wrong in ([None], [3, "why?"], [{"question": "why?", "video": moving(50)}, b"why?"], {"role": "user"}):
        with pytest.raises(PromptError, match="expected a text, or one with its own media"):
            model.answer(wrong)
    assert looks == []


def test_pieces_join_to_the_answer(model):
    whole = model.answer("what moves?", image=image(), max_new_tokens=8)
    stream = model.stream_answer("what moves?", image=image(), max_new_tokens=8)
    assert "".join(stream) == whole.text
    assert stream.answer == whole
    early = model.stream_answer("what moves?", image=image(), max_new_tokens=8)
    list(itertools.islice(early, 1))
    assert early.answer == whole
    assert list(early) == []
    assert 1 <= whole.num_ids <= 8
    assert whole.seconds == sum(whole.timings.values()) > 0


def test_a_conversation_goes_on_with_what_was_shown_before(model):
    first = model.answer("what moves?", image=image(), max_new_tokens=4)
    second = model.answer("which way?", history=first, max_new_tokens=4)
    [shown, asked] = second.turns
    assert (shown.question, shown.answer, asked.question, asked.answer) == (
        "what moves?",
        first.text,
        "which way?",
        second.text,
    )
    assert len(shown.media) == 1
    by_hand = model.answer("which way?", history=list(first.turns), max_new_tokens=4)
    assert by_hand == second
    assert second.num_prompt_ids > model.answer("which way?", max_new_tokens=4).num_prompt_ids
    with pytest.raises(PromptError, match="needs an answer"):
        model.answer("why?", history=[Turn(question="what moves?")])


def test_numbers_of_answers_are_those_of_python_or_numpy(model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    plain = {"max_new_tokens": 4, "temperature": 0.5, "top_k": 5, "seed": 3}
    scalars = {"max_new_tokens": np.int64(4), "temperature": np.float64(0.5), "top_k": np.int32(5), "seed": np.int64(3)}
    assert model.answer("what moves?", **scalars) == model.answer("what moves?", **plain)
    for name in ("max_new_tokens", "max_clips"):
        for wrong in (2.5, "2", True):
            with pytest.raises(ConfigError, match=f"got {name}=.*, expected a whole number"):
                model.answer("what moves?", **{name: wrong})


def test_media_stand_where_the_question_says(model):
    media = {"image": [image(), image(8, 8)], "video": moving(24)}
    kinds = lambda question: [type(part) for part in model.answer(question, **media, max_new_tokens=1).turns[-1].media]  # noqa: E731
    assert kinds("what moves?") == [ImageInput, ImageInput, VideoInput]
    assert kinds("is <image> in <video> or <image>?") == [ImageInput, VideoInput, ImageInput]
    with pytest.raises(PromptError, match="names 1 media"):
        kinds("what is in <video>?")
    with pytest.raises(PromptError, match="at place 1, and an image is shown there"):
        model.answer("what is in <video>?", image=image())


def test_several_videos_are_several_and_a_list_of_images_is_one(model, tmp_path):
    paths = [write_video(moving(24), tmp_path / name) for name in ("a.mp4", "b.mp4")]
    count = lambda video: len(model.answer("what?", video=video, max_new_tokens=1).turns[-1].media)  # noqa: E731
    assert count(paths) == 2
    assert count([moving(24), Frames(images=moving(24), fps=12)]) == 2
    assert count(list(moving(24))) == 1
    assert count([list(moving(24)), list(moving(12))]) == 2
    content = [{"type": "video", "video": list(moving(24))}, {"type": "text", "text": "what?"}]
    assert len(model.answer([{"role": "user", "content": content}], max_new_tokens=1).turns[-1].media) == 1
    with pytest.raises(PromptError, match="got 2 videos, expected one"):
        model.continue_video([moving(24), moving(24)])


def test_an_image_that_was_closed_is_told(model, tmp_path):
    Image.fromarray(image()).save(tmp_path / "a.png")
    closed = Image.open(tmp_path / "a.png")
    closed.close()
    with pytest.raises(MediaError, match="the image: cannot be read"):
        model.answer("what?", image=closed, max_new_tokens=1)


def test_what_the_model_drew_can_be_asked_about(model):
    drawn = model.video("a red ball")
    assert model.answer("what?", video=drawn, max_new_tokens=3) == model.answer(
        "what?", video=drawn.frames, max_new_tokens=3
    )
    image = model.image("a red ball")
    assert model.answer("what?", image=image, max_new_tokens=3) == model.answer(
        "what?", image=image.pixels, max_new_tokens=3
    )


def test_an_empty_list_shows_nothing(model):
    assert model.answer("what?", video=[], max_new_tokens=3) == model.answer("what?", max_new_tokens=3)
    assert model.answer("what?", image=(), max_new_tokens=3) == model.answer("what?", max_new_tokens=3)


def test_an_image_that_was_cut_off_is_told(model):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(file, "JPEG")
    for _ in range(2):
        half = Image.open(io.BytesIO(file.getvalue()[:900]))
        assert fingerprint(half) is None
        with pytest.raises(MediaError):
            model.answer("what?", image=half)


@pytest.mark.parametrize("question", ["", "  \n", []])
def test_nothing_asked_is_refused(model, question):
    with pytest.raises(PromptError, match="empty question"):
        model.answer(question, image=image())


def test_more_than_the_context_holds_is_refused(model):
    with pytest.raises(PromptError, match="context has room for"):
        model.answer("what " * 500)


def test_of_a_long_video_as_many_clips_are_shown_as_the_context_has_room_for(model, caplog):
    long = Frames(images=[np.roll(image(), step, 1) for step in range(24 * 30)], fps=6)
    answer = model.answer("what?", video=long, max_clips=30, max_new_tokens=4)
    [shown] = answer.turns[-1].media
    assert 5 < len(shown.clips) < 30
    longest = CONTEXT - 24
    assert longest - 11 < answer.num_prompt_ids <= longest
    assert f"room for {len(shown.clips)} of the 30 clips" in caplog.text
    further = model.answer("and now?", history=answer, max_new_tokens=4)
    assert further.num_prompt_ids <= longest


def test_images_of_any_size_are_seen(model, tmp_path):
    Image.new("RGB", (20_000, 2), (200, 10, 10)).save(tmp_path / "wide.png")
    for source in (np.zeros((1, 1, 3), np.uint8), tmp_path / "wide.png"):
        assert isinstance(model.answer("what?", image=source, max_new_tokens=2).text, str)
    with pytest.raises(MediaError, match="no such file"):
        model.answer("what?", image=[image(), tmp_path / "gone.png"])


def test_memory_keeps_the_last_few_and_knows_content(tmp_path):
    memory, made = EncodingCache(size=2), []

    def recall(source: object, settings: str = "") -> int:
        return memory.recall(source, settings, lambda: made.append(source) or len(made))

    assert recall(image()) == recall(image().copy()) == 1
    assert recall(image(), "other") == 2
    assert recall(moving(3)) == 3
    assert recall(image()) == 4, "two are kept"
    assert recall(iter(moving(3))) != recall(iter(moving(3))), "what is used up by looking is looked at each time"
    assert fingerprint(image()) != fingerprint(image().reshape(32, 24, 3))
    assert fingerprint(Frames(images=moving(2), fps=6)) != fingerprint(Frames(images=moving(2), fps=12))
    assert fingerprint(list(moving(2))) == fingerprint(list(moving(2))) != fingerprint(list(moving(3)))
    assert fingerprint(tmp_path / "gone.mp4") is None
    assert fingerprint(b"abc") == fingerprint(bytearray(b"abc")) != fingerprint(b"abd")
    red, blue = Image.new("P", (4, 4)), Image.new("P", (4, 4))
    red.putpalette([255, 0, 0])
    blue.putpalette([0, 0, 255])
    assert fingerprint(red.copy()) == fingerprint(red) != fingerprint(blue)
    flipped = Image.fromarray(image())
    assert fingerprint(flipped) == fingerprint(Image.fromarray(image()))


def test_what_was_looked_at_is_given_back_though_others_took_its_place_meanwhile():
    memory = EncodingCache(size=1)

    def look() -> str:
        memory.recall(b"other", "", lambda: "other")
        return "first"

    assert memory.recall(b"first", "", look) == "first"

    def recall(number: int) -> int:
        return memory.recall(b"%d" % (number % 3), "", lambda: number % 3)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(recall, range(3000))) == [number % 3 for number in range(3000)]
    finally:
        sys.setswitchinterval(usual)
    assert copy.deepcopy(memory).size == 1


def test_whatever_is_answered_is_answered_piece_by_piece(model):
    own = {"question": "what moves?", "video": moving(24)}
    content = [{"type": "video", "video": moving(24)}, {"type": "text", "text": "what moves?"}]
    asked = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"}]
    for question in (own, [*asked, {"role": "user", "content": content}]):
        stream = model.stream_answer(question, max_new_tokens=4)
        assert stream.answer == model.answer(question, max_new_tokens=4)
        assert stream.answer.turns[-1].question == "what moves?"
    with pytest.raises(PromptError, match="messages bring along"):
        model.stream_answer([{"role": "user", "content": "what?"}], image=image())


@pytest.mark.parametrize("several", [["what?", "why?"], [], None, 5])
def test_an_answer_that_comes_piece_by_piece_is_that_of_one_question(model, monkeypatch, several):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(PromptError, match="expected one question; answer takes several together"):
        model.stream_answer(several)


def test_an_answer_that_was_interrupted_is_not_taken_for_a_whole_one(model, monkeypatch):
    def interrupted(*arguments: object) -> object:
        raise KeyboardInterrupt

    stream = model.stream_answer("what moves?", max_new_tokens=8)
    next(stream)
    with monkeypatch.context() as patch:
        patch.setattr(model.answering.language_model, "logits", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(stream)
    for ask in (lambda: next(stream), lambda: stream.answer):
        with pytest.raises(GenerationError, match=r"the answer was cut off after .* characters; ask again"):
            ask()


def test_an_answer_can_be_closed(model):
    stream = model.stream_answer("what moves?", max_new_tokens=8)
    next(stream)
    stream.close()
    assert list(stream) == []
    with pytest.raises(GenerationError, match="the answer was closed after"):
        _ = stream.answer
    whole = model.stream_answer("what moves?", max_new_tokens=8)
    pieces = list(whole)
    whole.close()
    assert whole.answer.text == "".join(pieces)
    never_begun = model.stream_answer("what moves?", max_new_tokens=8)
    never_begun.close()
    assert list(never_begun) == []


def test_stopping_by_progress_leaves_the_model_usable(model: VideoLaVIT):
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "generate" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.answer("what moves?", max_new_tokens=8, progress=stop)
    assert model.answer("what moves?", max_new_tokens=8).text == "".join(
        model.stream_answer("what moves?", max_new_tokens=8)
    )
