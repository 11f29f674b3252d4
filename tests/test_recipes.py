"""The recipes hold together; a quick run of the whole takes minutes."""

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import load_script

from videolavit import cli
from videolavit.commands import train
from videolavit.data.prepare_videos import SHAPES_FRONT_END
from videolavit.training.presets import TINY

RECIPE = Path(__file__).parent.parent / "recipes" / "tiny.py"


@pytest.fixture(scope="module")
def tiny():
    sys.path.insert(0, str(RECIPE.parent))  # as if it was started by its name
    module = load_script("recipes/tiny.py")
    sys.path.remove(str(RECIPE.parent))
    return module


def test_every_option_of_every_command_exists(tiny, tmp_path):
    """Folders may have blanks in their names; a command that is read without complaint has options that exist."""
    for quick in (False, True):
        for step in tiny.steps(tiny.Recipe(quick=quick, folder=tmp_path / "with a blank")):
            if step.command and step.command[0] in ("prepare", "evaluate"):
                name, *options = step.command
                assert cli._parse(name, importlib.import_module(cli.module_name(name)), options)


def test_every_stage_of_the_preset_is_a_step_with_options_that_exist(tiny):
    for quick in (False, True):
        steps = tiny.steps(tiny.Recipe(quick=quick))
        trained = [step for step in steps if step.command[:1] == ["train"]]
        assert {step.name for step in trained} == set(TINY)
        for step in trained:
            stage = train._stage(train.parse(step.command[1:]))
            assert type(stage) is type(TINY[step.name])


def test_every_step_comes_after_what_it_needs(tiny):
    steps = tiny.steps(tiny.Recipe())
    names = [step.name for step in steps]
    for position, step in enumerate(steps):
        assert set(step.needs) <= set(names[:position])


def test_only_what_a_step_needs_is_done_for_it(tiny):
    wanted = tiny._wanted(tiny.Recipe(until="tokens"))
    assert [step.name for step in wanted] == [
        "data",
        "text_tokenizer",
        "motion_tokenizer",
        "vision_encoder",
        "visual_tokenizer",
        "tokens",
    ]


def test_finished_steps_are_skipped_and_a_failure_is_told(tiny, tmp_path, monkeypatch, capsys):
    recipe = tiny.Recipe(folder=tmp_path)
    todo = [
        tiny.Step(name="one", command=["--version"]),
        tiny.Step(name="two", needs=("one",), command=["info", str(tmp_path / "missing.mp4")]),
        tiny.Step(name="three", needs=("two",), command=["--version"]),
    ]
    monkeypatch.setattr(tiny, "_wanted", lambda recipe: todo)
    assert tiny.main(recipe) == 1
    shown = capsys.readouterr().out
    assert "one: done" in shown
    assert "two: failed with code 1" in shown
    assert "missing.mp4: no such file" in shown
    todo[1] = replace(todo[1], command=["--version"])
    assert tiny.main(recipe) == 0
    assert "1 of 3 steps are done" in capsys.readouterr().out
    assert tiny.main(recipe) == 0


def test_a_second_run_in_the_same_folder_is_refused(tiny, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(tiny, "_wanted", lambda recipe: seen.append(tiny.main(recipe)) or [])
    assert tiny.main(tiny.Recipe(folder=tmp_path)) == 0
    assert seen == [1]
    assert "still at work" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_quick_run_makes_a_model_that_draws_and_answers(tmp_path):
    command = [sys.executable, str(RECIPE), "--quick", "--folder", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "| pretraining |" in (tmp_path / "run" / "report.md").read_text()
    from videolavit.pipeline import VideoLaVIT

    model = VideoLaVIT.from_pretrained(tmp_path / "run" / "model")
    size = SHAPES_FRONT_END
    video = model.video("a red circle moves left", keyframe_num_inference_steps=2, height=size.height, width=size.width)
    assert video.frames.shape == (24, size.height, size.width, 3)
    assert (
        model.answer(
            "What colour is the object?", image=video.frames[0], max_new_tokens=4, patch_selection="gumbel"
        ).num_prompt_ids
        > 3
    )
