"""The commands of the model's tasks around a model that draws at once: options, outputs, messages, and nothing left."""

from __future__ import annotations

import io
import json
import resource
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands.fake_model import NOISE
from PIL import Image

from videolavit import cli
from videolavit.errors import PromptError
from videolavit.video.io.write import read_metadata, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an image, a video and tokens."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(NOISE[0]).save("image.png")
    write_video(NOISE[:3], "video.mp4")
    Path("tokens.txt").write_text("K 1 2 | M 3 4\n")
    return tmp_path


COMMANDS = {
    "image": ["image", "a ball", "-o"],
    "video": ["video", "a ball", "-o"],
    "animate": ["animate", "image.png", "-o"],
    "continue": ["continue", "video.mp4", "-o"],
    "detokenize": ["detokenize", "tokens.txt", "-o"],
    "edit": ["edit", "video.mp4", "--reverse", "--detokenizer", "diffusion", "-o"],
}
"""A call of each command that draws, but for the name of its output."""


@pytest.mark.parametrize(
    ("name", "ending"),
    [*((name, ".png") for name in COMMANDS), ("video", ".mp4"), ("video", ".gif"), ("video", ".webp")],
)
def test_the_extension_names_the_format_and_info_tells_what_made_the_file(name, ending, model, folder, capsys):
    output = f"out{ending}"
    assert cli.main([*COMMANDS[name], output, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["output"] == output
    assert report["num_ids"] == 9
    assert cli.main(["info", output]) == 0
    told = capsys.readouterr().out
    assert "ä ball" in told
    assert "seed 7" in told
    assert cli.main(["info", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"] == report["metadata"] == read_metadata(output)


def test_options_reach_the_model_and_those_left_out_do_not(model, folder):
    draw = [
        "--seed",
        "3",
        "--num-inference-steps",
        "4",
        "--continuation",
        "inversion",
        "--height",
        "64",
        "--width",
        "96",
    ]
    assert cli.main(["video", "a ball", "-o", "a.mp4", "--clips", "2", "--candidates", "5", *draw]) == 0
    assert cli.main(["image", "a", "-o", "a.png", "--image", "image.png", "--image", "b.png"]) == 0
    assert cli.main(["animate", "image.png", "it moves", "-o", "b.mp4"]) == 0
    assert cli.main(["video", "", "-o", "c.mp4", "--keyframe", "image.png"]) == 0
    assert cli.main(["continue", "video.mp4", "up", "-o", "d.mp4", "--clips", "3"]) == 0
    assert cli.main(["edit", "image.png", "-o", "e.mp4", "--motion-of", "video.mp4", "--scale", "-2"]) == 0
    video, image, animate, keyframe, onward, edit = ((args, options) for _, args, options in model.calls)
    assert video[0] == ("a ball",)
    assert (
        video[1].items()
        >= {"seed": 3, "num_inference_steps": 4, "continuation": "inversion", "height": 64, "width": 96}.items()
    )
    assert video[1].items() >= {"clips": 2, "candidates": 5, "image": None, "keyframe": None}.items()
    assert not {"max_guidance_scale", "keyframe_num_inference_steps", "keyframe_guidance_scale"} & set(video[1])
    assert image[1]["image"] == ["image.png", "b.png"]
    assert (animate[0], animate[1]["image"]) == (("it moves",), "image.png")
    assert keyframe[1]["keyframe"] == "image.png"
    assert (onward[0], onward[1]["clips"]) == (("video.mp4", "up"), 3)
    assert edit[0] == ("image.png",)
    assert edit[1].items() >= {"motion_of": "video.mp4", "scale": -2.0, "reverse": False}.items()
    assert (edit[1]["keyframe"], edit[1]["motion"]) == ("tokens", "tokens")


def test_a_negative_prompt_reaches_the_model(model, folder):
    negative = ["--negative-prompt", "a cube"]
    for name in ("image", "video", "animate", "continue"):
        assert cli.main([*COMMANDS[name], f"negative-{name}.png", *negative]) == 0
    assert [options["negative_prompt"] for _, _, options in model.calls] == ["a cube"] * 4
    assert not any("sampling" in options for _, _, options in model.calls)


def test_answers_are_sampled_where_that_is_asked_for(model, folder, capsys):
    chosen = ["--temperature", "0.7", "--top-k", "5", "--top-p", "0.9"]
    assert cli.main(["answer", "what?", *chosen, "--seed", "3"]) == 0
    assert cli.main(["answer", "what is it?", "why?", *chosen]) == 0
    told = capsys.readouterr().err
    assert cli.main(["answer", "what?"]) == 0
    assert "seed" not in capsys.readouterr().err
    seeded, free, greedy = (options for _, _, options in model.calls)
    for options in (seeded, free):
        assert options.items() >= {"temperature": 0.7, "top_k": 5, "top_p": 0.9}.items()
    assert seeded["seed"] == 3
    assert f"seed {free['seed']}" in told
    assert greedy["seed"] == 0
    assert not {"temperature", "top_k", "top_p"} & set(greedy)
    assert cli.main(["answer", "what?", "--top-p", "2"]) == 2
    assert "got --top-p 2, expected more than 0 and at most 1" in capsys.readouterr().err


def test_a_run_is_repeated_from_its_result(model, folder, caplog):
    assert cli.main(["video", "a ball", "-o", "a.mp4"]) == 0
    assert cli.main(["video", "--like", "a.mp4", "-o", "b.mp4"]) == 0
    assert (
        cli.main(["video", "a cube", "--like", "a.mp4", "-o", "c.mp4", "--clips", "3", "--num-inference-steps", "2"])
        == 0
    )
    (_, again), (_, changed) = ((args, options) for _, args, options in model.calls[1:])
    assert [args for _, args, _ in model.calls] == [("a ball",), ("ä ball",), ("a cube",)]
    assert (again["clips"], again["options"].seed) == (2, 7)
    assert "candidates" not in again  # nobody asked for any, then or now
    assert (changed["clips"], changed["num_inference_steps"], changed["options"].seed) == (3, 2, 7)
    assert caplog.messages == []
    model.components = SimpleNamespace(hash="5678")
    assert cli.main(["video", "--like", "a.mp4", "-o", "d.mp4"]) == 0
    assert caplog.messages == ["a.mp4 was made by another model, 1234; this one is 5678"]


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ("generated.png", "was made by image, expected a file that `videolavit video` wrote"),
        ("image.png", "was made by something else"),
        ("tokens.txt", "cannot read metadata"),
        ("from.mp4", "was made from image.png; give it with --image"),
    ],
)
def test_a_run_that_cannot_be_repeated_says_why(like, words, model, folder, capsys):
    assert cli.main(["image", "a", "-o", "generated.png"]) == 0
    assert cli.main(["animate", "image.png", "-o", "from.mp4"]) == 0
    capsys.readouterr()
    assert cli.main(["video", "--like", like, "-o", "again.mp4"]) in (1, 2)
    assert words in capsys.readouterr().err
    assert not Path("again.mp4").exists()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("output", ["out.avi", "out", "none/out.mp4", "nested"])
def test_an_output_that_cannot_be_written_is_told_before_a_model_is_opened(name, output, folder, monkeypatch, capsys):
    monkeypatch.setattr("videolavit.pipeline.VideoLaVIT.from_pretrained", lambda *_, **__: pytest.fail("too late"))
    Path("nested").mkdir()
    before = sorted(folder.iterdir())
    assert cli.main([*COMMANDS[name], output]) == 1
    assert capsys.readouterr().err.startswith(f"videolavit: error: {output}")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["animate", "image.png", "-o", "image.png"],
        ["continue", "video.mp4", "-o", "./video.mp4"],
        ["edit", "video.mp4", "-o", "out.mp4", "--motion-of", "out.mp4", "--reverse"],
        ["video", "a", "-o", "out.mp4", "--preview", "out.mp4"],
        ["tokenize", "tokens.txt", "-o", "tokens.txt"],
    ],
    ids=" ".join,
)
def test_what_a_result_is_made_from_is_never_overwritten(arguments, model, folder, capsys):
    Path("out.mp4").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert cli.main(arguments) == 2
    assert "name" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert model.calls == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_or_an_error_in_the_middle_leaves_nothing(name, model, folder, capsys):
    before = sorted(folder.iterdir())
    for error, code, message in (
        (KeyboardInterrupt(), 130, "interrupted"),
        (PromptError("the words are too long"), 1, "error: the words are too long"),
        (MemoryError(), 1, "error: MemoryError"),
    ):
        model.steps = _raiser(error)
        assert cli.main([*COMMANDS[name], "out.mp4"]) == code
        assert capsys.readouterr().err == f"videolavit: {message}\n"
        assert sorted(folder.iterdir()) == before


def _raiser(error: BaseException):
    def step(stage: str, done: int, total: int) -> None:
        if done == 1:
            raise error

    return step


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_told_and_leaves_nothing(name, model, folder, capsys):
    before = sorted(folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        code = cli.main([*COMMANDS[name], "out.png"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 1
    assert capsys.readouterr().err.startswith("videolavit: error: out.png cannot be written: ")
    assert sorted(folder.iterdir()) == before


def test_the_preview_is_the_first_clip_before_its_frames(model, folder):
    assert cli.main(["video", "a", "-o", "a.mp4", "--preview", "soon.png"]) == 0
    with Image.open("soon.png") as sheet:
        assert sheet.size in {(128, 128), (192, 64)}  # three frames of 64 x 64
    assert read_metadata("soon.png")["task"] == "preview"


def test_a_preview_is_written_over_another_file_only_when_asked(model, folder, capsys):
    Path("soon.png").write_bytes(b"mine")
    for command in (["video", "a"], ["continue", "video.mp4"]):
        assert cli.main([*command, "-o", "a.mp4", "--preview", "soon.png"]) == 2
        assert "soon.png exists; name another file with --preview, or replace it with -f" in capsys.readouterr().err
    assert Path("soon.png").read_bytes() == b"mine"
    assert model.calls == []
    assert cli.main(["video", "a", "-o", "a.mp4", "--preview", "soon.png", "-f"]) == 0
    assert read_metadata("soon.png")["task"] == "preview"


def test_continue_puts_the_video_in_front_when_asked(model, folder, capsys):
    assert cli.main(["continue", "video.mp4", "-o", "a.png", "--whole"]) == 0
    assert capsys.readouterr().out.startswith("a.png: 27 frames of 64 x 64 in ")
    assert cli.main(["continue", "video.mp4", "-o", "a.png", "-f", "--whole", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["num_frames"], told["whole"]) == (27, True)
    with Image.open("a.png") as sheet:
        assert sheet.size == (6 * 64, 5 * 64)  # 3 + 24 frames
        first = np.asarray(sheet)[:64, :64].astype(int)
    assert np.abs(first - NOISE[0]).mean() < np.abs(first - NOISE[5]).mean() / 2


def test_tokens_go_to_stdout_or_into_a_file(model, folder, capsys):
    assert cli.main(["tokenize", "image.png"]) == 0
    assert capsys.readouterr().out == "K 5 6 | M 7 8\n"
    assert cli.main(["tokenize", "video.mp4", "-o", "new.txt"]) == 0
    assert capsys.readouterr().out == "new.txt: 1 clip, 6 ids\n"
    assert Path("new.txt").read_text().splitlines()[1:] == ["K 5 6 | M 7 8"]
    assert cli.main(["tokenize", "image.png", "-o", "new.txt"]) == 2
    assert "new.txt exists; name another file with -o, or replace it with -f" in capsys.readouterr().err
    assert cli.main(["tokenize", "video.mp4", "-o", "new.txt", "-f"]) == 0
    assert capsys.readouterr().out == "new.txt: 1 clip, 6 ids\n"
    assert cli.main(["tokenize", "video.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"] == [0, 1, 2, 3, 4, 5]
    assert [set(options) - {"seed"} for _, _, options in model.calls] == [
        {"image"},
        {"video", "keyframes", "motion_layers"},
        {"video", "keyframes", "motion_layers"},
        {"video", "keyframes", "motion_layers"},
    ]


def test_info_tells_what_a_file_of_tokens_holds(model, folder, capsys):
    assert cli.main(["tokenize", "video.mp4", "-o", "new.txt"]) == 0
    capsys.readouterr()
    assert cli.main(["info", "new.txt"]) == 0
    shown = capsys.readouterr().out
    assert "2 of keyframes, 2 of motion" in shown
    assert "task        tokenize" in shown
    Path("two.txt").write_text("K 1 2 3 | M 4 5\nK 6\n")
    assert cli.main(["info", "two.txt", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"source": "two.txt", "keyframe_codes": [3, 1], "motion_codes": [2, 0], "metadata": {}}
    Path("marked.txt").write_bytes(b"\xef\xbb\xbfK 1 2 | M 3\r\nK 4")  # as some editors write a text
    assert cli.main(["info", "marked.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keyframe_codes"] == [2, 1]
    Path("bad.txt").write_text("hello\n")
    assert cli.main(["info", "bad.txt"]) == 1
    assert "expected a line such as" in capsys.readouterr().err


def test_tokens_come_from_a_file_or_stdin(model, folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"K 9\n")))
    assert cli.main(["detokenize", "-", "-o", "a.png"]) == 0
    assert cli.main(["detokenize", "tokens.txt", "-o", "b.png", "--detokenizer", "warp"]) == 0
    assert cli.main(["edit", "tokens.txt", "-o", "c.png", "--freeze"]) == 0
    first, second, third = model.calls
    assert [clip.keyframe.tolist() for clip in first[1][0]] == [[9]]
    assert second[2]["detokenizer"] == "warp"
    for [clip] in (second[1][0], third[1][0]):
        assert (clip.keyframe.tolist(), clip.motion.tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["edit", "video.mp4", "-o", "a.mp4"], 2, "nothing to change"),
        (["edit", "video.mp4", "-o", "a.mp4", "--scale", "nan"], 2, "scale"),
        (["detokenize", "image.png", "-o", "a.mp4"], 1, "is no text"),
        (["detokenize", "gone.txt", "-o", "a.mp4"], 1, "gone.txt: no such file"),
        (["edit", "bad.txt", "-o", "a.mp4", "--freeze"], 1, "bad.txt: line 2: got 'X 2'"),
        (["tokenize", "video.mp4", "-o", "a.json"], 1, "unknown extension '.json', expected one of .txt"),
        (["answer"], 2, "ask at least one question"),
        (["tokenize", "image.png", "--motion-layers", "2"], 2, "--motion-layers: image.png is an image, which has no"),
        (["tokenize", "image.png", "--keyframes", "adaptive"], 2, "--keyframes adaptive: image.png is an image"),
        (["edit", "tokens.txt", "-o", "a.mp4", "--reverse", "--speed", "2"], 2, "and a file of tokens makes new ones"),
        (
            ["reconstruct", "video.mp4", "-o", "a.mp4", "--detokenizer", "warp", "--motion-layers", "2"],
            2,
            "--motion-layers is for tokens of motion, and none are made",
        ),
        (
            ["reconstruct", "video.mp4", "-o", "a.mp4", "--motion-from", "raw", "--motion-layers", "2"],
            2,
            "--motion-layers is for tokens of motion, and none are made",
        ),
        (["reconstruct", "video.mp4", "-o", "a.mp4", "--slices", "2"], 2, "leave out those options"),
        (
            ["reconstruct", "video.mp4", "-o", "a.mp4", "--detokenizer", "warp", "--num-inference-steps", "2"],
            2,
            "uses no model",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_told_and_nothing_drawn(arguments, code, words, model, folder, capsys):
    Path("bad.txt").write_text("K 1\nX 2\n")
    assert cli.main(arguments) == code
    assert words in capsys.readouterr().err
    assert not Path("a.mp4").exists()
    assert model.calls == []


def test_an_answer_is_printed_as_it_comes_and_several_with_their_questions(model, folder, capsys):
    assert cli.main(["answer", "why", "--image", "a.png", "--video", "b.mp4", "--video", "c.mp4"]) == 0
    assert capsys.readouterr().out == "WHY!\n"
    assert cli.main(["answer", "why is it", "how", "--max-new-tokens", "9"]) == 0
    assert capsys.readouterr().out == "why is it\n  WHY IS IT!\nhow\n  HOW!\n"
    assert cli.main(["answer", "why", "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert (answer["question"], answer["answer"], answer["timings"]) == ("why", "WHY!", {"generate": 0.5})
    assert cli.main(["answer", "\x1b[2J \n"]) == 0
    assert capsys.readouterr().out == "\\x1b[2J \n!\n"
    (_, _, one), (_, _, two), *_ = model.calls
    assert (one["image"], one["video"]) == (["a.png"], ["b.mp4", "c.mp4"])
    assert (two["image"], two["max_new_tokens"]) == (None, 9)


def test_a_device_that_is_not_there_is_bad_usage(folder, capsys):
    assert cli.main(["image", "a", "-o", "a.png", "--device", "quantum"]) == 2
    assert "--device quantum: cannot be used here" in capsys.readouterr().err
    assert not Path("a.png").exists()
