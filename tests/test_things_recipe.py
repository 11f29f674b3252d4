"""The recipe of the world of things holds together: its commands exist, and each result comes before it is needed."""

import importlib.util
import sys
from pathlib import Path

import pytest

from videolavit.commands import train
from videolavit.training.presets import THINGS

RECIPE = Path(__file__).parent.parent / "recipes" / "things.py"


@pytest.fixture(scope="module")
def things():
    specification = importlib.util.spec_from_file_location("recipes_things", RECIPE)
    module = importlib.util.module_from_spec(specification)
    sys.modules["recipes_things"] = module
    specification.loader.exec_module(module)
    return module


def test_every_trained_step_is_a_stage_with_options_that_exist(things):
    trained = [step for step in things.steps(things.Recipe()) if step.command[0] == "train"]
    for step in trained:
        stage = train._stage(train.parse(step.command[1:]))
        assert type(stage) is type(THINGS[step.name])
    assert "learned_compensation" in {step.name for step in trained}


def test_what_a_step_reads_was_made_before(things):
    recipe = things.Recipe(folder=Path("runs/x"))
    made = set()
    for step in things.steps(recipe):
        read = {word for word in step.command if word.startswith("runs/x/") and word.endswith("export")}
        assert read <= made, step.name
        made.add(str(step.result))


def test_finished_steps_are_skipped_and_a_failure_is_told(things, tmp_path, capsys):
    recipe = things.Recipe(folder=tmp_path, node_modules=tmp_path / "none", until="sources")
    assert things.main(recipe) != 0
    assert "goes on from here" in capsys.readouterr().out
    (tmp_path / "sources.npz").write_bytes(b"")
    assert things.main(recipe) == 0
