"""What the page says: status, cost, lines that repeat a result, and the words of errors."""

from __future__ import annotations

import asyncio
import os
import shlex

import numpy as np
import pytest
from PIL import Image

from videolavit.demo.cost_strip import cost_strip, facts_table, status_line, told
from videolavit.demo.page_context import chosen_seed, plain_message
from videolavit.demo.repeat_lines import RepeatLines, media_kind, repeat_call, repeat_curl, repeat_python
from videolavit.demo.saved_results import SavedResults


def test_words_of_visitors_are_escaped():
    assert "<script>" not in status_line("<script>alert(1)</script>")
    assert "<b>bold" not in facts_table([("name", "<b>bold")])
    assert "<img" not in cost_strip({"<img>": 1.0}, "<img>")


def test_the_strip_adds_up():
    strip = cost_strip({"generate": 0.5, "frames": 1.5}, "seed 3")
    assert "total <b>2.00 s</b>" in strip
    assert "width:25.00%" in strip
    assert "seed 3" in strip


def test_events_are_told_in_words():
    assert "5 of 10" in told("progress", ("frames", 5, 10))
    assert "2 before you" in told("waiting", 2)
    assert told("waiting", 0) is None
    assert told("preview", ()) is None


def test_a_command_says_only_what_was_chosen():
    line = repeat_call("video", "it's red", output="a b.mp4", seed=1, clips=None, reverse=True, guidance_scale=2.0)
    assert shlex.split(line) == (
        ["videolavit", "video", "it's red", "-o", "a b.mp4", "--seed", "1", "--reverse", "--guidance-scale", "2"]
    )
    assert repeat_call("video", output="a.mp4", guidance_scale=2.1234567).endswith("--guidance-scale 2.1234567")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.PNG", "image"),
        ("a.heic", "image"),
        ("a.bmp", "image"),
        ("a.gif", "video"),
        ("a.mp4", "video"),
        ("a", "video"),
    ],
)
def test_lines_name_the_kind_of_a_file(name, kind):
    assert media_kind(name) == kind


def test_python_lines_compile_and_curl_quotes():
    python = repeat_python("generate_video", repr('say "x"\n'), output="x.mp4", seed=1, candidates=None)
    compile(python, "lines", "exec")
    assert "candidates" not in python
    curl = repeat_curl("http://h:1", "/v1/videos/sync", {"prompt": "it's", "seed": 1}, output="x.mp4")
    words = shlex.split(curl)
    assert words[words.index("-d") + 1] == '{"prompt": "it\'s", "seed": 1}'
    form = shlex.split(repeat_curl("http://h:1", "/v1", {"seed": 1}, output="x", files={"image": "a b.png"}))
    assert "image=@a b.png" in form
    words = {"prompt": "@home; a red circle", "seed": 1}
    form = shlex.split(repeat_curl("http://h:1", "/v1", words, output="x", files={"image": 'a;"b".png'}))
    assert form[form.index("prompt=@home; a red circle") - 1] == "--form-string"
    assert r'image=@"a;\"b\".png"' in form


def test_lines_name_the_model_of_the_page_where_it_is_not_the_one_that_comes_first():
    python = repeat_python("generate_video", repr("VideoLaVIT.from_pretrained()"), output="x.mp4", seed=1)
    lines = RepeatLines(
        command=repeat_call("video", "a dog", output="x.mp4", seed=1), python=python, curl="curl", link="x"
    )
    assert lines.with_model("tiny") == lines
    named = lines.with_model("my things")
    assert shlex.split(named.command)[-2:] == ["--model", "my things"]
    assert "VideoLaVIT.from_pretrained('my things')\n" in named.python
    assert "generate_video('VideoLaVIT.from_pretrained()', seed=1)" in named.python
    assert (named.curl, named.link) == ("curl", "x")
    apart = RepeatLines(command="videolavit decompose a.mp4 -o out", python="from videolavit import decompose")
    assert apart.with_model("things") == apart


def test_seeds_are_those_that_were_given_or_new_ones():
    assert chosen_seed(7) == 7
    assert chosen_seed(-1) != chosen_seed(None)


def test_messages_lose_the_folders_of_the_server():
    assert plain_message(ValueError("/tmp/x/a.mp4: is bad"), "/tmp/x/a.mp4", None) == "a.mp4: is bad"
    elsewhere = ValueError("/tmp/x/a.mp4: no such file; relative paths start at '/home/me/work'")
    assert plain_message(elsewhere, "/tmp/x/a.mp4") == "a.mp4: no such file; relative paths start at '<path>'"


def test_equal_results_have_equal_names():
    files = SavedResults()
    one, same, other = (files.write(data, "x", ".bin") for data in (b"1", b"1", b"2"))
    assert one == same != other
    files.close()


def test_previews_go_with_the_old_results():
    files = SavedResults()
    preview = files.video(np.zeros((2, 16, 16, 3), np.uint8), "preview")
    assert preview.parent == files.folder
    os.utime(preview, (0, 0))
    new = files.write(b"1", "x", ".bin")
    assert list(files.folder.iterdir()) == [new]
    files.close()


class Slow:
    """A model that takes its time: longer than any of the tests, which end it."""

    def work(self, model, progress, emit):
        import time

        for step in range(100_000):
            progress("frames", step, 100_000)
            time.sleep(0.01)


@pytest.fixture
def calls():
    from videolavit.demo.model_calls import ModelCalls
    from videolavit.server.engine import Engine

    class NoAnswers:
        active, slots = 0, 1

        def step(self):
            pass

    engine = Engine(lambda: "model", lambda model: NoAnswers()).start()
    yield ModelCalls(engine)
    engine.drain(1)


def test_results_come_with_their_events(calls):
    def work(model, progress, emit):
        progress("frames", 1, 2)
        emit("preview", np.zeros(1))
        return model

    async def collected():
        return [event async for event in calls.events(work, "one")]

    events = asyncio.run(collected())
    assert [kind for kind, _ in events if kind != "waiting"][-3:] == ["progress", "preview", "done"]
    assert events[-1] == ("done", "model")


def test_stop_ends_the_work_of_one_visitor_alone(calls):
    from videolavit.server.engine import WorkCancelledError

    async def watched():
        first = asyncio.ensure_future(calls.result(Slow().work, "one"))
        second = asyncio.ensure_future(calls.result(lambda *_: "mine", "two"))
        while calls.engine.counts["images"] != (1, 1):
            await asyncio.sleep(0.01)
        assert calls.stop("nobody") == 0
        assert calls.stop("one") == 1
        with pytest.raises(WorkCancelledError):
            await first
        return await second

    assert asyncio.run(asyncio.wait_for(watched(), 120)) == "mine"


def test_a_visitor_who_leaves_ends_the_work(calls):
    async def left():
        events = calls.events(Slow().work, "one")
        async for kind, _ in events:
            if kind == "progress":
                break
        await events.aclose()
        while not calls.engine.idle:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(left(), 120))


def test_the_model_s_errors_reach_the_visitor(calls):
    from videolavit.errors import PromptError

    def work(model, progress, emit):
        raise PromptError("say more")

    with pytest.raises(PromptError, match="say more"):
        asyncio.run(calls.result(work, "one"))


def test_lines_that_repeat_show_a_file_as_the_page_does(tmp_path):
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save(tmp_path / "moves.webp", save_all=True, append_images=frames[1:], duration=200)
    frames[0].save(tmp_path / "still.gif")
    frames[0].save(tmp_path / "still.png")
    assert media_kind(str(tmp_path / "moves.webp")) == "video"
    assert media_kind(str(tmp_path / "still.gif")) == "image"
    assert media_kind(str(tmp_path / "still.png")) == "image"
    assert (media_kind("gone.gif"), media_kind("gone.jpg"), media_kind("gone.mp4")) == ("video", "image", "video")
