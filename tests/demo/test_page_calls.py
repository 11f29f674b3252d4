"""Functions of the page, called as a program calls them: through gradio's client, by name."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio_client")
from gradio_client import handle_file

from videolavit.demo.shape_images import shape_image
from videolavit.errors import ConfigError, MediaError, PromptError
from videolavit.server.request_limits import RequestLimits

SMALL = {"keyframe_num_inference_steps": 2, "num_inference_steps": 2}
"""Steps of quick results."""


@pytest.fixture(scope="module")
def circle(tmp_path_factory):
    path = tmp_path_factory.mktemp("circle") / "circle.png"
    path.write_bytes(shape_image("circle"))
    return path


def paths(results: Any, extension: str) -> list[Path]:
    """Files among results, also of components that were shown for it."""
    flat = [one.get("value") if isinstance(one, dict) and "value" in one else one for one in results]
    flat = [one.get("video", one.get("path")) if isinstance(one, dict) else one for one in flat]
    return [Path(one) for one in flat if isinstance(one, str) and one.startswith("/") and one.endswith(extension)]


def said(results: Any) -> str:
    return "\n".join(str(one) for one in results)


def test_the_page_and_the_api_are_one_server(page_url):
    page = httpx.get(page_url, follow_redirects=True)
    assert page.status_code == 200
    assert str(page.url) == f"{page_url}/demo/"
    assert httpx.get(f"{page_url}/v1/models").json()["data"][0]["id"] == "tiny"


def test_every_function_has_a_name_and_says_what_it_does(page_url):
    names = httpx.get(f"{page_url}/demo/gradio_api/info").json()["named_endpoints"]
    expected = ["take_apart", "generate_image", "generate_video", "animate_with_arrow", "animate_with_words", "answer"]
    expected += ["edit_motion", "tokenize", "detokenize", "replace_code", "next_token_probabilities", "reconstruct"]
    expected += ["draw_long_video", "redraw_clip"]
    assert sorted(names) == sorted(f"/{name}" for name in expected)
    assert all(one["description"] for one in names.values())
    parameters = {one["parameter_name"] for one in names["/generate_video"]["parameters"]}
    assert {"keyframe_num_inference_steps", "keyframe_guidance_scale", "num_inference_steps"} <= parameters


def test_a_video_is_taken_apart_by_name(client, square):
    results = client.predict(handle_file(str(square)), api_name="/take_apart")
    assert "128 x 128, 4.0 s" in said(results)
    assert "videolavit decompose square.mp4" in said(results)
    [archive] = paths(results, ".zip")
    assert "motion.npz" in zipfile.ZipFile(archive).namelist()


def test_an_error_says_what_is_wrong_without_a_folder(client, tmp_path):
    words = tmp_path / "words.mp4"
    words.write_text("no video at all")
    with pytest.raises(Exception, match=r"words\.mp4") as caught:
        client.predict(handle_file(str(words)), api_name="/take_apart")
    assert "/tmp" not in str(caught.value)
    with pytest.raises(Exception, match="choose a video first"):
        client.predict(None, api_name="/take_apart")
    with pytest.raises(Exception, match="say what to draw"):
        client.predict(" ", 1, 1, None, None, None, None, api_name="/generate_video")


def test_uploads_pass_the_gate_of_the_server(client, page_url, circle):
    def read() -> float:
        lines = httpx.get(f"{page_url}/metrics").text.splitlines()
        counts = [one for one in lines if "media_decode_seconds_count" in one and 'kind="upload"' in one]
        return sum(float(one.split()[-1]) for one in counts)

    before = read()
    client.predict(handle_file(str(circle)), api_name="/tokenize")
    assert read() == before + 1


def test_an_image_with_holes_reaches_the_library_as_it_is(page_app, tmp_path):
    """Gradio would decode it, and write it again without what is transparent."""
    from gradio.data_classes import ImageData

    from videolavit.demo.page_layout import build_page

    path = tmp_path / "holes.png"
    Image.new("RGBA", (8, 8), (200, 0, 0, 128)).save(path)
    blocks = build_page(page_app.state.services).blocks.values()
    [image] = [one for one in blocks if getattr(one, "elem_id", None) == "animate-image"]
    assert image.preprocess(ImageData(path=str(path), orig_name="holes.png")) == str(path)


@pytest.mark.slow
def test_a_generated_video_is_the_library_s_and_the_api_s_to_the_byte(client, shipped, page_url, tmp_path):
    words = "a red circle moves to the right"
    results = client.predict(words, 5, 1, 1, 2, None, 2, api_name="/generate_video")
    [shown] = paths(results, ".mp4")
    same = shipped.generate_video(words, seed=5, candidates=1, **SMALL)
    same.save(tmp_path / "same.mp4")
    assert shown.read_bytes() == (tmp_path / "same.mp4").read_bytes()
    body = {"prompt": words, "seed": 5, "candidates": 1, **SMALL}
    assert httpx.post(f"{page_url}/v1/videos/sync", json=body, timeout=120).content == shown.read_bytes()
    assert "--seed 5" in said(results)


def test_the_lines_of_a_result_are_run_and_give_the_same_bytes(client, page_url, tmp_path, monkeypatch):
    results = client.predict("a large blue square", 3, 1, 2, None, api_name="/generate_image")
    [shown] = paths(results, ".png")
    python = next(one for one in results if str(one).startswith("from videolavit"))
    curl = next(one for one in results if str(one).startswith("curl"))
    monkeypatch.chdir(tmp_path)
    exec(python, {})  # in this process, which has imported all of it
    assert (tmp_path / "image.png").read_bytes() == shown.read_bytes()
    (tmp_path / "image.png").unlink()
    subprocess.run(["bash", "-c", curl], cwd=tmp_path, check=True, timeout=250)
    pixels = [
        np.asarray(Image.open(io.BytesIO(one))) for one in (shown.read_bytes(), (tmp_path / "image.png").read_bytes())
    ]
    assert np.array_equal(*pixels)


def test_tokens_are_those_of_the_library(client, shipped, square, circle):
    text = shipped.tokenize(video=str(square)).text
    results = client.predict(handle_file(str(square)), api_name="/tokenize")
    assert text in results
    image = client.predict(handle_file(str(circle)), api_name="/tokenize")
    assert shipped.tokenize(image=str(circle)).text in image


def test_an_answer_is_the_library_s(client, shipped, circle):
    question = "What colour is the object?"
    results = client.predict(handle_file(str(circle)), question, 16, api_name="/answer")
    assert results[-1] == shipped.answer(question, image=str(circle), max_new_tokens=16).text
    assert "videolavit answer" in said(results)


def test_an_upload_is_shown_again_only_after_another_one():
    pytest.importorskip("gradio")
    from videolavit.demo.tabs.ask import _unseen

    turns: list[dict[str, Any]] = []
    for path, expected in (("a", "a"), ("a", None), ("b", "b"), ("b", None), (None, None), ("a", "a")):
        assert _unseen(path, turns) == expected
        turns.append({"media": expected})


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"question": "?", "media": None, "answer": "!"}] * 3, "has 5 messages, more than 4; press Begin anew"),
        ([{"question": "?", "media": "a", "answer": "!"}] * 2, "has 2 images and videos, more than 1"),
        ([{"question": "?" * 8, "media": None, "answer": None}], "has 8 characters, more than 7"),
    ],
)
def test_a_conversation_is_as_long_as_a_request_may_be(turns, message):
    pytest.importorskip("gradio")
    from videolavit.demo.tabs.ask import _check_length

    limits = RequestLimits(messages=4, media=1, text_characters=7)
    _check_length(turns[:1] if len(turns) > 1 else [{"question": "?", "media": None, "answer": None}], limits)
    with pytest.raises(PromptError, match=message):
        _check_length(turns, limits)


def test_an_upload_that_was_deleted_meanwhile_is_named_without_a_folder(tmp_path):
    pytest.importorskip("gradio")
    from videolavit.demo.tabs.ask import _request

    with pytest.raises(MediaError, match=r"^gone\.png is no longer here"):
        _request([{"question": "?", "media": str(tmp_path / "gone.png"), "answer": None}], 4)


@pytest.mark.parametrize("media", [None, "/tmp/x/a cat's.png"])
def test_a_question_of_several_lines_is_asked_again_by_curl(media):
    pytest.importorskip("gradio")
    from videolavit.demo.tabs.ask import _curl

    question = 'say "it\'s"\n\ta \\ and $(date)'
    line = _curl([{"question": question, "media": media, "answer": None}], 8, "http://here", needs_key=False)
    body = line.partition(" -d ")[2]
    if media:
        begin, command, end = re.fullmatch(r"(.*)'(\$\(.*\))'(.*)", body, re.DOTALL).groups()
        assert shlex.split(command[2:-1]) == ["base64", "-w0", "a cat's.png"]
        body = f"{begin}AAAA{end}"
    content = json.loads(*shlex.split(body))["messages"][0]["content"]
    assert (content[1]["text"] if media else content) == question
    if media:
        assert content[0]["image_url"]["url"] == "data:image/png;base64,AAAA"


def test_words_and_tokens_of_visitors_are_bounded(page_app):
    from videolavit.demo.model_calls import ModelCalls
    from videolavit.demo.page_context import PageContext

    services = page_app.state.services
    context = PageContext(services=services, calls=ModelCalls(services.engine))
    assert context.check_text(" a circle ") == " a circle "
    with pytest.raises(PromptError, match="got 20001 characters, expected at most 20000"):
        context.check_text("x" * 20_001)


def test_expected_tokens_are_told(client, shipped, circle):
    text = shipped.tokenize(image=str(circle)).text
    results = client.predict("a red circle", text, 2, api_name="/next_token_probabilities")
    assert "was chosen" in said(results)
    assert "bits for each code" in said(results)


@pytest.mark.slow
def test_an_arrow_moves_what_is_under_it(client, shipped, circle):
    results = client.predict(handle_file(str(circle)), 35, 50, 75, 30, "thing", "raw", api_name="/animate_with_arrow")
    from videolavit.pipeline.token_text import parse_tokens

    [tokens] = paths(results, ".txt")
    [shown] = paths(results, ".mp4")
    motion = parse_tokens(tokens.read_text())
    same = shipped.edit(str(circle), motion_of=motion, keyframe="raw")
    same.save(tokens.with_suffix(".mp4"))
    assert shown.read_bytes() == tokens.with_suffix(".mp4").read_bytes()
    red = [np.argwhere((frame[..., 0] > 150) & (frame[..., 1] < 120)).mean(0) for frame in same.frames[[0, -1]]]
    moved = red[1] - red[0]  # rows, columns
    assert moved[1] > 25
    assert moved[0] < -10


@pytest.mark.slow
def test_an_image_is_animated_edited_and_a_video_reconstructed(client, shipped, circle, square, tmp_path):
    words = client.predict(handle_file(str(circle)), "the circle moves left", 4, api_name="/animate_with_words")
    shipped.generate_video("the circle moves left", image=str(circle), seed=4).save(tmp_path / "words.mp4")
    assert paths(words, ".mp4")[0].read_bytes() == (tmp_path / "words.mp4").read_bytes()

    edited = client.predict(
        handle_file(str(circle)),
        handle_file(str(square)),
        False,
        True,
        False,
        1,
        "raw",
        "warp",
        api_name="/edit_motion",
    )
    same = shipped.edit(str(circle), motion_of=str(square), mirror=True, keyframe="raw", detokenizer="warp")
    same.save(tmp_path / "edited.mp4")
    assert paths(edited, ".mp4")[0].read_bytes() == (tmp_path / "edited.mp4").read_bytes()

    again = client.predict(handle_file(str(square)), "raw", "tokens", "warp", api_name="/reconstruct")
    same = shipped.reconstruct(str(square), keyframe="raw", detokenizer="warp")
    assert f"{same.psnr_db:.2f} dB" in said(again)
    assert f"{same.bits_per_second:.0f} per second" in said(again)


@pytest.mark.slow
def test_a_code_is_replaced_and_tokens_are_drawn(client, shipped, circle):
    text = shipped.tokenize(image=str(circle)).text
    results = client.predict(text, 0, 1, 17, api_name="/replace_code")
    changed = next(one for one in results if str(one).startswith("K "))
    assert changed.split()[2] == "17"
    assert changed.split()[3:] == text.split()[3:]
    [shown] = paths(client.predict(changed, api_name="/detokenize"), ".png")[:1]
    assert np.array_equal(np.asarray(Image.open(shown)), shipped.detokenize(changed).frames[0])


@pytest.mark.slow
def test_a_long_video_goes_on_and_one_clip_is_made_again(client, shipped):
    words = ("a red circle moves to the right", "it moves up", "", "")
    first = client.predict(*words, 1, api_name="/draw_long_video")
    [whole, *_] = paths(first, ".mp4")
    same = shipped.generate_video(words[0], seed=1)
    same = shipped.continue_video(same, words[1], seed=1)
    same.save(whole.with_name("same.mp4"))
    assert whole.read_bytes() == whole.with_name("same.mp4").read_bytes()
    again = client.predict(words[0], "it moves down", "", "", 2, api_name="/redraw_clip")
    assert paths(again, ".mp4")[0].read_bytes() != whole.read_bytes()
    assert "it moves down" in said(again)


def test_keys_are_the_passwords_of_the_page(shipped, tmp_path):
    from server.helpers import KEY, running, wait_until_ready

    from videolavit.demo.page_app import PAGE, create_page_app
    from videolavit.server.server_config import ServerConfig

    app = create_page_app(lambda: shipped, ServerConfig(store=tmp_path, keys=(KEY,), page=PAGE, drain_seconds=1))
    with running(app) as url, httpx.Client(base_url=url, follow_redirects=True) as visitor:
        wait_until_ready(url)
        assert visitor.get("/v1/models").status_code == 401
        assert visitor.get("/metrics").status_code == 401
        assert visitor.get("/demo/gradio_api/info").status_code == 401
        wrong = visitor.post("/demo/login", data={"username": "me", "password": "not-a-key"})
        assert wrong.status_code == 400
        right = visitor.post("/demo/login", data={"username": "me", "password": KEY})
        assert right.status_code == 200
        assert visitor.get("/demo/gradio_api/info").status_code == 200
        assert visitor.get("/v1/models").status_code == 401  # a login to the page is no key of the API


def test_tools_are_not_offered_beside_keys(tmp_path):
    """They have no login: their list would be open to all, and none of them could be called."""
    from videolavit.demo.page_app import PAGE, create_page_app
    from videolavit.server.server_config import ServerConfig

    config = ServerConfig(store=tmp_path / "store", keys=("a-key-for-tests-0123456789",), page=PAGE)
    with pytest.raises(ConfigError, match="Model Context Protocol"):
        create_page_app(lambda: None, config, mcp=True)
    assert not config.store.exists()


@pytest.mark.slow
def test_functions_of_the_page_are_tools_of_the_model_context_protocol(shipped, tmp_path):
    """By the protocol's own client, over a socket: the tools with their words, and the image that one of them draws."""
    pytest.importorskip("mcp")
    from server.helpers import running, wait_until_ready

    from videolavit.demo.page_app import PAGE, create_page_app
    from videolavit.server.server_config import ServerConfig

    app = create_page_app(lambda: shipped, ServerConfig(store=tmp_path, page=PAGE, drain_seconds=1), mcp=True)
    steps = {"keyframe_num_inference_steps": 2, "keyframe_guidance_scale": 1}
    asked = {"prompt": "a large blue square", "seed": 3, "candidates": 1, **steps}
    with running(app) as url:
        wait_until_ready(url)
        tools, content = asyncio.run(tool_called(f"{url}/demo/gradio_api/mcp/", "generate_image", asked))
    assert {"take_apart", "generate_image", "answer", "edit_motion", "tokenize", "reconstruct"} <= set(tools)
    assert "The same seed gives the same image." in tools["generate_image"]
    [image] = [Image.open(io.BytesIO(base64.b64decode(one.data))) for one in content if one.type == "image"]
    own = {"keyframe_num_inference_steps": 2, "keyframe_guidance_scale": 1.0}
    expected = shipped.generate_image("a large blue square", seed=3, candidates=1, **own)
    assert np.array_equal(np.asarray(image.convert("RGB")), expected.frames[0])


async def no_matter(*_: Any) -> None:
    """Progress that is not looked at."""


async def tool_called(address: str, tool: str, arguments: dict[str, Any]) -> tuple[dict[str, str], list[Any]]:
    """Descriptions of all tools by the ends of their names, and what one of them gives."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with streamable_http_client(address) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        found = {one.name: one.description or "" for one in (await session.list_tools()).tools}
        # Without a listener to progress gradio gives all outputs as one text, images by their addresses.
        name = next(name for name in found if name.endswith(tool))
        result = await session.call_tool(name, arguments, progress_callback=no_matter)
        assert not result.isError, result.content
        return {name.removeprefix("videolavit_"): text for name, text in found.items()}, result.content
