"""Conversations as lists of messages."""

from __future__ import annotations

import pytest

from videolavit.errors import PromptError
from videolavit.pipeline.chat_messages import Asked, is_messages, read_messages


def part(kind: str, value: str) -> dict[str, str]:
    return {"type": kind, kind: value}


def user(*parts: dict[str, str]) -> dict[str, object]:
    return {"role": "user", "content": list(parts)}


def test_media_in_front_and_words_are_a_question_with_its_media():
    assert read_messages([user(part("video", "a.mp4"), part("text", "What moves?"))]) == [
        Asked(question="What moves?", videos=["a.mp4"])
    ]


def test_media_behind_the_words_come_first_as_the_model_was_taught():
    [asked] = read_messages([user(part("text", "What moves?"), part("image", "a.png"))])
    assert (asked.question, asked.images) == ("What moves?", ["a.png"])
    [asked] = read_messages([user(part("text", "What moves?"), part("video", "a.mp4"), part("image", "a.png"))])
    assert asked.question == "<video> <image> What moves?", "in the order in which they were given"
    [asked] = read_messages([user(part("text", "Is this <3"), part("image", "a.png"), part("text", "<3"))])
    assert asked.question == "Is this <3 <image> <3"


def test_media_between_words_stand_where_they_are():
    [asked] = read_messages([user(part("text", "Is"), part("image", "a.png"), part("text", "like it?"))])
    assert (asked.question, asked.images) == ("Is <image> like it?", ["a.png"])


def test_answers_belong_to_the_question_before(caplog):
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What moves?"},
        {"role": "assistant", "content": [part("text", "A ball.")]},
        {"role": "user", "content": "Which way?"},
    ]
    assert read_messages(messages) == [Asked(question="What moves?", answer="A ball."), Asked(question="Which way?")]
    assert "system message" in caplog.text
    assert is_messages(messages)
    assert not is_messages(["What moves?"])
    assert not is_messages([{"question": "What moves?"}])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "two questions in a row"),
        ([{"role": "assistant", "content": "a"}], "role 'assistant' at its place"),
        ([{"role": "tool", "content": "a"}], "role 'tool'"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "no question"),
        ([user({"type": "audio"})], "text, image or video"),
        ([user({"type": "image"})], "expected the image itself"),
        ([{"role": "user", "content": 3}], "int as the content"),
        (
            [user(part("text", "a")), {"role": "assistant", "content": [part("image", "a.png")]}, user()],
            "image in a message of the assistant, expected words",
        ),
        ([user({"type": "text", "text": None})], "expected words"),
        ([user({"type": "text", "content": "a"})], "expected words"),
    ],
)
def test_conversations_that_make_no_sense_are_told(messages, words):
    with pytest.raises(PromptError, match=words):
        read_messages(messages)
