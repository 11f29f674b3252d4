"""The API over real sockets with the small model: by OpenAI's own client, and by plain HTTP for the rest."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
import logging
import socket
import time
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
import pytest
from looks import watched_looks
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from server.helpers import KEY, data_url, png, wait_for

from videolavit.server import middleware
from videolavit.server.api_error import ApiError
from videolavit.server.app import create_app
from videolavit.server.middleware import OriginCheck
from videolavit.server.server_config import ServerConfig

QUESTION = "Which colour is it?"


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=120) as one:
        yield one


@pytest.fixture(scope="module")
def asked(video_file):
    """A message with a video, as a client sends it, and the same for Python."""
    parts = [{"type": "video_url", "video_url": {"url": data_url(video_file, "video/mp4")}}]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]


# Chat


def test_an_answer_is_that_of_python(client, shipped, asked, video_file):
    expected = shipped.answer(QUESTION, video=video_file)
    answer = client.chat.completions.create(model="tiny", messages=asked)
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == expected.num_prompt_ids
    assert answer.usage.completion_tokens == expected.num_ids
    assert answer.usage.total_tokens == expected.num_prompt_ids + expected.num_ids
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"


def test_what_was_shown_before_is_not_looked_at_again(client, shipped, asked, monkeypatch):
    looks = watched_looks(monkeypatch, shipped)
    first = client.chat.completions.create(model="tiny", messages=asked).choices[0].message.content
    more = [*asked, {"role": "assistant", "content": first}, {"role": "user", "content": QUESTION}]
    client.chat.completions.create(model="tiny", messages=more)
    client.chat.completions.create(model="tiny", messages=asked, seed=5)
    assert len(looks) == 1


def test_a_long_video_that_was_read_before_is_named(client, shipped, app, video_file):
    folder = app.state.services.memories / "film"
    shipped.remember(video_file, folder, describe=False)

    def ask(name, **options):
        parts = [{"type": "video_url", "video_url": {"url": f"memory:{name}"}}, {"type": "text", "text": QUESTION}]
        return client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}], **options)

    answer = ask("film")
    assert answer.choices[0].message.content == shipped.answer(QUESTION, video=folder).text
    [moment] = answer.moments
    assert (moment["source"], moment["clip"], moment["start_seconds"], moment["end_seconds"]) == ("film", 0, 0.0, 4.0)
    *_, last = ask("film", stream=True, stream_options={"include_usage": True}, extra_body={"context": "window"})
    assert last.moments[0]["score"] is None
    for name in ("none", "../film", "film/../film", "", "a" * 300):
        with pytest.raises(openai.NotFoundError, match="no memory"):
            ask(name)


def test_a_stream_joins_to_the_answer(client, asked):
    whole = client.chat.completions.create(model="tiny", messages=asked)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="tiny", messages=asked, stream=True, stream_options=options))
    *rest, last = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in rest) == whole.choices[0].message.content
    assert rest[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in rest] == [None] * (len(rest) - 1) + ["stop"]
    assert last.choices == []
    assert last.usage == whole.usage
    assert {chunk.usage for chunk in rest} == {None}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_what_a_stream_looks_like_on_the_wire(http, asked):
    answer = http.post("/v1/chat/completions", json={"messages": asked, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    lines = answer.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(line.removeprefix("data: "))["object"] == "chat.completion.chunk" for line in lines[:-2])


def test_a_conversation_about_an_image(client, shipped):
    first = "Which shape is it?"
    messages = [
        {"role": "user", "content": [image_part(), {"type": "text", "text": first}]},
        {"role": "assistant", "content": "circle"},
        {"role": "user", "content": QUESTION},
    ]
    answer = client.chat.completions.create(model="tiny", messages=messages)
    picture = np.asarray(Image.open(io.BytesIO(png())))
    history = shipped.answer(first, image=picture).turns
    expected = shipped.answer(QUESTION, history=[dataclasses.replace(history[0], answer="circle")])
    assert answer.choices[0].message.content == expected.text
    assert answer.usage.prompt_tokens == expected.num_prompt_ids
    details = answer.usage.prompt_tokens_details
    assert details.image_tokens > 2
    assert details.text_tokens + details.image_tokens == answer.usage.prompt_tokens


def image_part() -> dict:
    return {"type": "image_url", "image_url": {"url": data_url(png(), "image/png"), "detail": "auto"}}


def test_seeded_sampling_gives_the_same_alone_and_in_company(client, asked):
    open_question = [asked[0]["content"][0], {"type": "text", "text": "What happens here?"}]
    messages = [{"role": "user", "content": open_question}]

    def ask(seed, n=1):
        made = client.chat.completions.create(model="tiny", messages=messages, temperature=2, seed=seed, n=n)
        return [choice.message.content for choice in made.choices]

    alone = ask(7)
    assert ask(7) == alone
    assert ask(7, n=4)[0] == alone[0]
    assert len({*ask(7, n=4), *ask(8, n=4), *ask(9, n=4)}) > 1, "sampling that always gives the same is none"


def test_length_limits_and_stop_strings(client, asked):
    short = client.chat.completions.create(model="tiny", messages=asked, max_completion_tokens=1)
    assert short.choices[0].finish_reason == "length"
    assert short.usage.completion_tokens == 1
    whole = client.chat.completions.create(model="tiny", messages=asked).choices[0].message.content
    stopped = client.chat.completions.create(model="tiny", messages=asked, stop=[whole[1:3]])
    assert stopped.choices[0].message.content == whole[:1]
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a <image> here"}]}, "messages[0].content[0]"),
        ({"temperature": 3}, "temperature"),
        ({"n": 1000}, "n"),
        ({"seed": 2**80}, "seed"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"stop": ["a"] * 5}, "stop"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(http, change, param):
    body = {"messages": [{"role": "user", "content": QUESTION}], **change}
    answer = http.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert isinstance(error["code"], str)


def test_errors_are_those_of_openais_client(client):
    message = [{"role": "user", "content": QUESTION}]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-5", messages=message)
    with pytest.raises(openai.BadRequestError, match="knows none of the words"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "Quousque tandem"}])
    with pytest.raises(openai.BadRequestError, match="knows none of the words"):
        list(
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "Quousque tandem"}], stream=True
            )
        )
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model="tiny", messages=message)


def test_scores_of_ids(client, asked):
    whole = client.chat.completions.create(model="tiny", messages=asked, logprobs=True, top_logprobs=3)
    scores = whole.choices[0].logprobs.content
    assert "".join(score.token for score in scores).strip() == whole.choices[0].message.content
    for score in scores:
        assert score.token == score.top_logprobs[0].token, "greedy takes the likeliest"
        assert 0 >= score.logprob == score.top_logprobs[0].logprob
        logprobs = [one.logprob for one in score.top_logprobs]
        assert (len(logprobs), logprobs) == (3, sorted(logprobs, reverse=True))
    streamed = client.chat.completions.create(model="tiny", messages=asked, logprobs=True, stream=True)
    told = [score for chunk in streamed if chunk.choices[0].logprobs for score in chunk.choices[0].logprobs.content]
    assert [(one.token, one.logprob) for one in told] == [(one.token, one.logprob) for one in scores]


def test_fields_without_effect_are_taken(client, asked):
    extra = {"user": "me", "metadata": {"a": "b"}, "store": False, "service_tier": "auto"}
    assert client.chat.completions.create(model="tiny", messages=asked, **extra).choices


# Images


def test_an_image_is_that_of_python(client, shipped):
    answer = client.images.generate(model="tiny", prompt="a red circle", n=2, extra_body={"seed": 3})
    for number, one in enumerate(answer.data):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.b64_json))))
        assert np.array_equal(pixels, shipped.image("a red circle", seed=3 + number).pixels)
    assert (answer.size, answer.output_format) == ("128x128", "png")


def test_a_negative_prompt_is_that_of_python(client, shipped):
    body = {"seed": 3, "negative_prompt": "a blue square"}
    answer = client.images.generate(model="tiny", prompt="a red circle", extra_body=body)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))))
    assert np.array_equal(pixels, shipped.image("a red circle", **body).pixels)
    assert not np.array_equal(pixels, shipped.image("a red circle", seed=3).pixels)


def test_an_edited_image_is_that_of_python(client, http, shipped):
    given = png(128, 128)
    answer = client.images.edit(
        model="tiny", image=("a.png", given, "image/png"), prompt="a blue square", extra_body={"seed": 4}
    )
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))))
    assert np.array_equal(pixels, shipped.generate_image("a blue square", image=given, seed=4).pixels)
    body = {"prompt": "a blue square", "image": data_url(given, "image/png"), "seed": 4}
    by_json = http.post("/v1/images/edits", json=body)
    assert by_json.json()["data"][0]["b64_json"] == answer.data[0].b64_json


@pytest.mark.parametrize(
    ("files", "data"),
    [
        ({}, {"prompt": "a"}),
        ({"image": ("a.png", b"not an image")}, {"prompt": "a"}),
        ({"image": ("a.png", b"x"), "mask": ("m.png", b"x")}, {"prompt": "a"}),
        ({"image": ("a.png", b"x")}, {}),
        ({"image": ("a.png", b"x")}, {"prompt": "a", "n": "11"}),
    ],
)
def test_edits_of_images_within_bounds(http, files, data):
    answer = http.post("/v1/images/edits", files=files or None, data=data)
    assert answer.status_code in (400, 415), answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "change",
    [
        {"n": 11},
        {"size": "huge"},
        {"size": "99999x99999"},
        {"response_format": "url"},
        {"prompt": ""},
        {"num_inference_steps": 900},
    ],
)
def test_images_within_bounds(http, change):
    answer = http.post("/v1/images/generations", json={"prompt": "a red circle", **change})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


# Videos


@pytest.mark.slow
def test_videos_that_wait_together_are_made_together_and_are_what_each_is_alone(engine, shipped):
    """Four that came while an image held the engine."""
    import threading

    from videolavit.server.engine import Task
    from videolavit.server.model_tasks import VideoRequest, video_task

    batches: list[int] = []
    own = {"keyframe_num_inference_steps": 2, "num_inference_steps": 2}

    def counted(model, tasks, progress):
        batches.append(len(tasks))
        return task.run(model, tasks, progress)

    held = threading.Event()
    first = engine.submit_task(Task(lane="images", cost=1, run=lambda *_: [held.wait(60)]))
    tickets = []
    for seed in range(4):
        task = video_task(VideoRequest(prompt="a red circle moves up", seed=seed, options=own), steps=4)
        tickets.append(
            engine.submit_task(Task(lane="videos", cost=4, run=counted, batch_key=task.batch_key, params=task.params))
        )
    held.set()
    first.result(60)
    videos = [ticket.result(250) for ticket in tickets]
    assert batches == [4]
    for seed in (0, 3):
        alone = shipped.generate_video("a red circle moves up", seed=seed, **own)
        assert alone.ids.tolist() == videos[seed].ids.tolist()
        assert np.abs(alone.frames.astype(int) - videos[seed].frames.astype(int)).max() <= 1


@pytest.fixture(scope="module")
def job(http):
    """A finished video of two steps."""
    started = http.post("/v1/videos", json={"prompt": "a red circle moves right", "seed": 5, "seconds": "4"})
    assert started.status_code == 200, started.text
    assert started.headers["openai-poll-after-ms"] == "1000"
    return finished(http, started.json()["id"])


def finished(http, job_id: str, seconds: float = 120) -> dict:
    seen = []

    def look():
        job = http.get(f"/v1/videos/{job_id}").json()
        seen.append(job)
        return job if job["status"] in ("completed", "failed") else None

    done = wait_for(look, seconds)
    assert [job["progress"] for job in seen] == sorted(job["progress"] for job in seen)
    assert all(job["progress"] < 100 for job in seen if job["status"] != "completed")
    return done


def frames_of(data: bytes) -> np.ndarray:
    from videolavit.video.clips.timeline import images_on_ticks

    return np.stack(list(images_on_ticks(data)))


def test_a_job_has_all_that_a_client_expects(job):
    assert set(job) == {
        "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt", "size",
        "seconds", "remixed_from_video_id", "error",
    }  # fmt: skip
    assert (job["object"], job["status"], job["progress"], job["error"]) == ("video", "completed", 100, None)
    assert (job["size"], job["seconds"], job["model"]) == ("128x128", "4", "tiny")


def test_the_video_is_that_of_python(http, job, shipped, tmp_path):
    data = http.get(f"/v1/videos/{job['id']}/content")
    assert data.headers["content-type"] == "video/mp4"
    assert data.headers["x-content-type-options"] == "nosniff"
    assert "attachment" in data.headers["content-disposition"]
    expected = shipped.video("a red circle moves right", seed=5).save(tmp_path / "video.mp4")
    assert data.content == expected.read_bytes()


def test_parts_of_a_video_can_be_asked_for(http, job):
    path = f"/v1/videos/{job['id']}/content"
    whole = http.get(path).content
    part = http.get(path, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert http.get(path, headers={"Range": "bytes=-5"}).content == whole[-5:]
    assert http.get(path, headers={"Range": "bytes=999999999-"}).status_code == 416


def test_thumbnail_and_sheet(http, job):
    for variant, size in (("thumbnail", (128, 128)), ("spritesheet", (768, 512))):
        answer = http.get(f"/v1/videos/{job['id']}/content", params={"variant": variant})
        assert answer.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(answer.content)).size == size
    assert http.get(f"/v1/videos/{job['id']}/content", params={"variant": "other"}).status_code == 400


@pytest.mark.slow
def test_openais_client_makes_and_loads_a_video(client):
    if not hasattr(client, "videos"):
        pytest.skip("this version of the client has no videos")
    video = client.videos.create_and_poll(model="tiny", prompt="a blue square moves left", seconds="4", size="128x128")
    assert video.status == "completed"
    assert frames_of(client.videos.download_content(video.id).read()).shape == (24, 128, 128, 3)
    assert video.id in [one.id for one in client.videos.list(limit=5)]
    assert client.videos.delete(video.id).deleted


@pytest.mark.slow
def test_a_remix_has_the_same_seed_and_other_words(http, job, shipped, tmp_path):
    started = http.post(f"/v1/videos/{job['id']}/remix", json={"prompt": "a blue square moves left"}).json()
    assert started["remixed_from_video_id"] == job["id"]
    done = finished(http, started["id"])
    expected = shipped.video("a blue square moves left", seed=5).save(tmp_path / "video.mp4")
    assert http.get(f"/v1/videos/{done['id']}/content").content == expected.read_bytes()


@pytest.mark.slow
def test_a_form_with_a_file_starts_with_that_image(http):
    form = {"prompt": "it moves left", "seconds": "4", "num_inference_steps": "1"}
    started = http.post("/v1/videos", data=form, files={"input_reference": ("../../x.png", png(128, 128), "image/png")})
    assert started.status_code == 200, started.text
    done = finished(http, started.json()["id"])
    frames = frames_of(http.get(f"/v1/videos/{done['id']}/content").content)
    assert np.abs(frames[0].astype(int).mean((0, 1)) - (200, 30, 30)).max() < 12
    assert http.post(f"/v1/videos/{done['id']}/remix", json={"prompt": "a circle"}).status_code == 400


@pytest.mark.slow
def test_an_extension_goes_on_from_the_end(http, job):
    started = http.post("/v1/videos/extensions", json={"video": {"id": job["id"]}, "num_inference_steps": 1})
    done = finished(http, started.json()["id"])
    before = frames_of(http.get(f"/v1/videos/{job['id']}/content").content)
    after = frames_of(http.get(f"/v1/videos/{done['id']}/content").content)
    assert len(after) > len(before) + 20
    assert np.abs(after[: len(before)].astype(int) - before).mean() < 4


@pytest.mark.slow
def test_an_edit_gives_other_motion(http, video_file):
    body = {"video": {"video_url": data_url(video_file, "video/mp4")}, "reverse": True, "detokenizer": "warp"}
    done = finished(http, http.post("/v1/videos/edits", json=body).json()["id"])
    frames = frames_of(http.get(f"/v1/videos/{done['id']}/content").content)
    assert done["status"] == "completed"
    assert frames.shape == (24, 128, 128, 3)


def test_a_video_is_sent_as_a_file_of_a_form(http, video_file):
    form = {"reverse": "true", "detokenizer": "warp", "keyframe": "raw"}
    for part in ("video", "motion_of"):
        image = [("input_reference", ("i.png", png(128, 128)))] if part == "motion_of" else []
        fields = form if part == "video" else {"detokenizer": "warp", "keyframe": "raw"}
        path = "/v1/videos/edits" if part == "video" else "/v1/videos"
        sent = [(part, ("v.mp4", video_file, "video/mp4")), *image]
        started = http.post(path, data=fields, files=sent)
        assert started.status_code == 200, started.text
        done = finished(http, started.json()["id"])
        assert done["status"] == "completed", done
        assert done["seconds"] == "4"
    broken = http.post("/v1/videos/edits", data=form, files=[("video", ("v.mp4", b"\xff\xfe no video"))])
    assert broken.status_code == 400
    assert broken.json()["error"]["param"] == "video"


@pytest.mark.parametrize(
    "body",
    [
        {"from_tokens": "K 1 2 3 | M 1 1 1 1 1 1 1 1 | show 1000\n" * 8, "size": "1024x1024"},
        {"from_tokens": "K 1 2 3 | M 1 1 1 1 1 1 1 1 | show 1001"},
        {"from_tokens": "nonsense"},
        {"from_tokens": "# a note alone"},
    ],
)
def test_tokens_of_more_frames_than_memory_holds_or_of_none_are_refused(http, body):
    answer = http.post("/v1/videos", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"


@pytest.mark.slow
def test_a_video_at_once(http):
    body = {"prompt": "a red circle moves right", "num_inference_steps": 1, "seed": 1}
    answer = http.post("/v1/videos/sync", json=body)
    assert answer.headers["content-type"] == "video/mp4"
    assert frames_of(answer.content).shape == (24, 128, 128, 3)


@pytest.mark.slow
def test_tokens_there_and_back(http, shipped, video_file):
    answer = http.post("/v1/tokens", json={"video": data_url(video_file, "video/mp4")}).json()
    expected = shipped.tokenize(video=video_file)
    assert answer["text"] == expected.text
    assert answer["ids"] == expected.ids.tolist()
    back = http.post("/v1/videos/sync", json={"from_tokens": answer["text"], "detokenizer": "warp"})
    assert back.status_code == 400, "tokens alone"
    back = http.post("/v1/videos/sync", json={"from_tokens": answer["text"], "num_inference_steps": 1})
    assert frames_of(back.content).shape == (24, 128, 128, 3)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {}),
        ("", {"prompt": "a circle", "seconds": "5"}),
        ("", {"prompt": "a circle", "num_frames": 25}),
        ("", {"prompt": "a circle", "clips": 1000}),
        ("", {"prompt": "a circle", "clips": 1, "seconds": "4"}),
        ("", {"prompt": "a circle", "size": "128x"}),
        ("", {"prompt": "a circle", "candidates": 100}),
        ("", {"prompt": "a circle", "extra_params": "{"}),
        ("", {"prompt": "a circle", "extra_params": {"prompt": "two"}}),
        ("", {"prompt": "a circle", "negative_prompt": "square " * 10_000}),
        ("", {"prompt": "a circle", "negative_prompt": 7}),
        ("", {"prompt": "a circle", "input_reference": {"file_id": "x"}}),
        ("", {"prompt": "a circle", "video": "video_" + "0" * 32}),
        ("", {"from_tokens": "nonsense", "prompt": "a circle"}),
        ("", {"from_tokens": "K 1 2 3", "clips": 2}),
        ("", {"from_tokens": "K 1 2 3", "candidates": 2}),
        ("", {"from_tokens": "K 1 2 3\n" * 9}),
        ("/edits", {"prompt": "it moves left"}),
        ("/edits", {"video": "video_" + "0" * 32, "reverse": True}),
        ("/extensions", {"prompt": "it moves left"}),
    ],
)
def test_videos_that_make_no_sense(http, path, body):
    answer = http.post(f"/v1/videos{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("edits", {"reverse": True, "clips": 2}),
        ("edits", {"reverse": True, "seconds": "8"}),
        ("extensions", {"candidates": 2}),
    ],
)
def test_fields_that_a_video_has_no_use_for_are_refused_by_name(http, video_file, path, change):
    body = {"video": {"video_url": data_url(video_file, "video/mp4")}, **change}
    answer = http.post(f"/v1/videos/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == list(change)[-1]


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("K 1 2 3 | M 1 1 1 1 1 1 1 1", "32"), ("K 1 2 3 | M 1 1 1 1 1 1 1 1 | show 3", "4"), ("K 1 2 3", "1.33333")],
)
def test_a_video_of_tokens_is_as_long_as_they_say(http, line, seconds):
    """As many clips as are allowed, behind a note and an empty line that are none."""
    text = "# from elsewhere\n\n" + f"{line}\n" * 8
    started = http.post("/v1/videos", json={"from_tokens": text, "num_inference_steps": 1})
    assert started.status_code == 200, started.text
    assert started.json()["seconds"] == seconds
    assert http.delete(f"/v1/videos/{started.json()['id']}").json()["deleted"]


def test_pages_of_jobs(http, job):
    listed = http.get("/v1/videos", params={"limit": 1, "order": "asc"}).json()
    assert (listed["object"], len(listed["data"])) == ("list", 1)
    assert listed["first_id"] == listed["last_id"] == listed["data"][0]["id"]
    rest = http.get("/v1/videos", params={"after": listed["last_id"], "order": "asc"}).json()
    assert listed["last_id"] not in [one["id"] for one in rest["data"]]
    assert http.get("/v1/videos", params={"limit": 101}).status_code == 400


def test_a_deleted_job_stops_and_is_gone(http, engine):
    body = {"prompt": "a red circle moves right", "clips": 8, "num_inference_steps": 200}
    job_id = http.post("/v1/videos", json=body).json()["id"]
    wait_for(lambda: engine.counts["videos"] == (0, 1))
    wait_for(lambda: http.get(f"/v1/videos/{job_id}").json()["status"] == "in_progress")
    assert http.get(f"/v1/videos/{job_id}/content").status_code == 409
    assert http.delete(f"/v1/videos/{job_id}").json() == {"id": job_id, "object": "video.deleted", "deleted": True}
    assert http.get(f"/v1/videos/{job_id}").status_code == 404
    wait_for(lambda: engine.idle, 10)


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "video_1", "video_" + "0" * 32, "%00", "video_" + "A" * 32])
def test_ids_that_are_none(http, name):
    for path in (f"/v1/videos/{name}", f"/v1/videos/{name}/content"):
        assert http.get(path).status_code == 404
    assert http.delete(f"/v1/videos/{name}").status_code == 404


# Clients that leave


@pytest.mark.slow
def test_a_client_that_leaves_frees_the_engine(http, url, engine, asked):
    """A plain request and a stream: both end their work."""
    host, port = urlsplit(url).netloc.split(":")
    for path, body in (
        ("/v1/videos/sync", {"prompt": "a red circle moves right", "clips": 8, "num_inference_steps": 200}),
        ("/v1/images/generations", {"prompt": "a red circle", "n": 10, "num_inference_steps": 200}),
    ):
        with socket.create_connection((host, int(port))) as connection:
            send(connection, path, body)
            wait_for(lambda: sum(map(sum, engine.counts.values())) == 1)
        wait_for(lambda: engine.idle, 10)


def test_a_client_that_leaves_in_the_middle_of_its_form_is_no_fault_of_the_server(http, url):
    def ends(status: str) -> float:
        families = text_string_to_metric_families(http.get("/metrics").text)
        samples = [one for family in families for one in family.samples]
        requests = [one for one in samples if one.name == "videolavit:http_requests_total"]
        return sum(one.value for one in requests if (one.labels["handler"], one.labels["status"]) == (path, status))

    path = "/v1/videos"
    before = ends("499"), ends("500")
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
    wait_for(lambda: ends("499") == before[0] + 1)
    assert ends("500") == before[1]


def send(connection: socket.socket, path: str, body: dict) -> None:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    )
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)


# What stands before all routes


def test_every_route_but_health_needs_a_key(app, url):
    checked = 0
    for template, methods in app.openapi()["paths"].items():
        path = template.replace("{video_id}", "video_" + "0" * 32).replace("{model_id}", "tiny")
        for method in map(str.upper, methods):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
                answer = httpx.request(method, url + path, headers=headers)
                if path == "/health":
                    assert answer.status_code in (200, 405)
                    continue
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                checked += 1
    assert checked == 3 * (sum(map(len, app.openapi()["paths"].values())) - 1) > 40
    for path in ("/nothing", "/docs", "/openapi.json", "//health", "/health/"):
        assert httpx.get(url + path).status_code == 401


def test_all_work_is_refused_at_the_door_where_there_is_no_room(app):
    """Also what is added later: every route that takes a POST belongs to a lane."""
    posts = [path for path, methods in app.openapi()["paths"].items() if "post" in methods]
    assert len(posts) >= 9
    for template in posts:
        asked, sent = [], []
        path = template.replace("{video_id}", "video_" + "0" * 32)
        door = middleware.Admission(_let_in, refusal=lambda lane, asked=asked: asked.append(lane) or _NOT_READY)
        asyncio.run(door({"type": "http", "method": "POST", "path": path, "headers": []}, _no_body, _kept(sent)))
        assert asked in (["answers"], ["images"], ["videos"]), path
        assert sent[0]["status"] == 503, path
    with pytest.raises(AssertionError, match="let in"):
        asyncio.run(door({"type": "http", "method": "GET", "path": path, "headers": []}, _no_body, _kept([])))


_NOT_READY = ApiError("the model is being loaded", status=503, code="not_ready")


async def _let_in(*_):
    raise AssertionError("let in")


async def _no_body():
    return {"type": "http.request", "body": b""}


def _kept(sent: list):
    async def send(message):
        sent.append(message)

    return send


def test_other_hosts_are_refused(url):
    headers = {"Authorization": f"Bearer {KEY}"}
    for host in ("evil.test", "evil.test:80", "127.0.0.1.evil.test", ""):
        assert httpx.get(f"{url}/v1/models", headers={**headers, "Host": host}).status_code in (400, 403)
    assert httpx.get(f"{url}/v1/models", headers={**headers, "Host": "localhost:1"}).status_code == 200


def test_pages_elsewhere_cannot_post_to_a_server_without_keys():
    served = []

    async def app(scope, receive, send):
        served.append(scope["method"])

    def status(method: str, origin: str | None) -> int | None:
        headers = [(b"host", b"localhost:8000")] + ([(b"origin", origin.encode())] if origin is not None else [])
        sent: list[dict] = []
        scope = {"type": "http", "method": method, "headers": headers}
        asyncio.run(OriginCheck(app, ["https://ours.test/"])(scope, None, _kept(sent)))
        return sent[0]["status"] if sent else None

    for origin in ("https://evil.test", "null", "http://localhost:9000", "http://localhost:8000.evil.test"):
        assert [status(method, origin) for method in ("POST", "DELETE", "PUT")] == [403] * 3
        assert status("GET", origin) is None, "a browser does not show the page what comes back"
    assert served == ["GET"] * 4
    for origin in (None, "http://localhost:8000", "HTTP://LOCALHOST:8000", "https://ours.test"):
        assert status("POST", origin) is None


@pytest.mark.parametrize(("keys", "expected"), [((), 403), (("a-key",), 401)])
def test_only_servers_without_keys_look_at_origins(keys, expected, tmp_path):
    app = create_app(lambda: None, ServerConfig(store=tmp_path, keys=keys))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")

    async def post() -> httpx.Response:
        return await client.post("/v1/tokens", json={}, headers={"Origin": "https://evil.test"})

    answer = asyncio.run(post())
    assert answer.status_code == expected
    if not keys:
        assert answer.json()["error"]["code"] == "invalid_origin"


def test_pages_elsewhere_are_not_invited(http):
    answer = http.get("/v1/models", headers={"Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in answer.headers


def test_bodies_are_counted_as_they_come(http, url):
    def endless():
        for _ in range(1000):
            yield bytes(1_000_000)

    started = time.monotonic()
    try:
        answer = http.post("/v1/chat/completions", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    except httpx.WriteError:  # the server answered and closed while this end was still sending
        pass
    assert time.monotonic() - started < 120
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        connection.sendall(f"{head}Content-Length: 100000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(1000), "refused before it came"


def test_all_bodies_together_are_bounded():
    async def statuses():
        answer = asyncio.Event()

        async def app(scope, receive, send):
            assert len((await receive())["body"]) == 100
            await answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def receive():
            return {"type": "http.request", "body": bytes(100)}

        sent: list[list] = [[], [], []]
        limit = middleware.BodyLimit(app, max_bytes=100, together=150, seconds=60)
        first, second, third = (limit({"type": "http", "headers": []}, receive, _kept(one)) for one in sent)
        first = asyncio.ensure_future(first)
        while not limit.held:
            await asyncio.sleep(0.001)
        await second  # while the first waits for its answer
        answer.set()
        await first
        await third
        return [one[0]["status"] for one in sent], limit.held

    assert asyncio.run(statuses()) == ([200, 429, 200], 0)


def test_a_body_that_does_not_come_is_not_waited_for(url, monkeypatch):
    begin = middleware._Body.__init__

    def begin_without_patience(self, receive, limit):
        begin(self, receive, limit)
        self._until -= limit.seconds - 1

    monkeypatch.setattr(middleware._Body, "__init__", begin_without_patience)
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        assert b" 408 " in connection.recv(1000)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"null", b'{"messages": ' + b"[" * 100_000, b""])
def test_bodies_that_are_no_json(http, body):
    for path in ("/v1/chat/completions", "/v1/videos"):
        answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text


def test_forms_that_make_no_sense(http):
    many = [("prompt", (None, "x"))] * 100
    for files in (many, [("video", ("v", b"x"))] * 5, [("prompt", ("p.txt", b"x"))], [("seed", ("s", b"1"))]):
        assert http.post("/v1/videos", files=files).status_code == 400
    twice = http.post("/v1/videos", files=[("prompt", (None, "a")), ("prompt", (None, "b"))])
    assert "came twice" in twice.json()["error"]["message"]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb", b"--y--"):
        assert http.post("/v1/videos", content=body, headers=headers).status_code == 400
    assert http.post("/v1/videos", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_full_lane_says_when_to_come_back(http, engine, app):
    line = engine._lines["images"]
    config = line.config
    line.config = dataclasses.replace(config, max_cost=1)
    try:
        line.running[object.__new__(type("Ticket", (), {"cost": 5}))] = 5
        answer = http.post("/v1/images/generations", json={"prompt": "a red circle"})
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "queue_full"
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        line.config = config
        line.running.clear()


def test_messages_tell_nothing_of_the_server(http):
    answers = [
        http.post("/v1/tokens", json={"image": data_url(b"x", "image/png")}),
        http.post("/v1/tokens", json={"video": data_url(b"x", "video/mp4")}),
        http.post("/v1/videos/sync", json={"from_tokens": "K 999999"}),
    ]
    for answer in answers:
        assert answer.status_code == 400
        for word in ("/root", "/home", "/usr", "/tmp", "site-packages", "0x", "Traceback"):
            assert word not in answer.text


def test_words_of_clients_are_not_logged(http, shipped, caplog):
    caplog.set_level(logging.WARNING)
    question = "Which colour is the wug?"
    shipped.answer(question, max_new_tokens=1)
    assert "wug" in caplog.text, "the library says what it does not know"
    caplog.clear()
    asked = {"messages": [{"role": "user", "content": question}], "max_completion_tokens": 1}
    assert http.post("/v1/chat/completions", json=asked).status_code == 200
    drawn = {"prompt": "a red wug", "num_inference_steps": 1}
    assert http.post("/v1/images/generations", json=drawn).status_code == 200
    assert "wug" not in caplog.text


# Measures


def test_measures_add_up(http, asked):
    def measures():
        families = text_string_to_metric_families(http.get("/metrics").text)
        return {
            (one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples
        }

    def change(name, **labels):
        key = (f"videolavit:{name}", tuple(sorted({**labels, "model_name": "tiny"}.items())))
        return after.get(key, 0) - before.get(key, 0)

    before = measures()
    usage = [http.post("/v1/chat/completions", json={"messages": asked}).json()["usage"] for _ in range(3)]
    http.post("/v1/chat/completions", json={"messages": []})
    http.post("/v1/images/generations", json={"prompt": "a red circle", "n": 2})
    after = measures()
    chat = {"handler": "/v1/chat/completions", "method": "POST"}
    assert change("http_requests_total", **chat, status="200") == 3
    assert change("http_requests_total", **chat, status="400") == 1
    assert change("http_request_duration_seconds_count", handler=chat["handler"]) == 4
    assert change("request_success_total", finished_reason="stop") == 3
    assert change("prompt_tokens_total") == sum(one["prompt_tokens"] for one in usage)
    assert change("generation_tokens_total") == sum(one["completion_tokens"] for one in usage)
    assert change("time_to_first_token_seconds_count") == 3
    assert change("e2e_request_latency_seconds_count", lane="answers") == 3
    assert change("work_total", lane="images", end="done") == 1
    assert change("media_decode_seconds_count", kind="video") == 3
    for lane in ("answers", "images", "videos"):
        assert after["videolavit:num_requests_running", (("lane", lane), ("model_name", "tiny"))] == 0


def test_what_a_server_says_of_itself(client, http, url):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "videolavit"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other/model")
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    from videolavit import __version__

    assert http.get("/version").json() == {"version": __version__}
    assert http.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert http.get("/v1/chat/completions").status_code == 405
