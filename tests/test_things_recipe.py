"""The recipe of the world of things holds together: its commands exist, and each result comes before it is needed."""

from pathlib import Path

import pytest
from scripts import load_script

from videolavit.commands import train
from videolavit.training.presets import THINGS, THINGS_SETTINGS, TINY


@pytest.fixture(scope="module")
def things():
    return load_script("recipes/things.py")


def test_every_trained_step_is_a_stage_with_options_that_exist(things):
    trained = [step for step in things.steps(things.Recipe()) if step.command[0] == "train"]
    for step in trained:
        stage = train._stage(train.parse(step.command[1:]))
        assert type(stage) is type(THINGS[step.command[1]])
    assert "learned_compensation" in {step.name for step in trained}


def test_what_a_step_reads_was_made_before(things):
    recipe = things.Recipe(folder=Path("runs/x"))
    made = set()
    for step in things.steps(recipe):
        read = {word for word in step.command if word.startswith("runs/x/") and word.endswith("export")}
        assert read <= made, step.name
        made.add(str(step.result))


def test_codes_learn_before_anything_is_made_of_them(things):
    steps = {step.name: step for step in things.steps(things.Recipe(folder=Path("runs/x")))}
    order = ["visual_tokenizer", "features", "condition_decoder", "keyframes", "keyframe_detokenizer"]
    assert [name for name in steps if name in order] == order
    decoder, detokenizer = (
        train._stage(train.parse(steps[name].command[1:])) for name in ("condition_decoder", "keyframe_detokenizer")
    )
    assert decoder.trains_codes
    assert (decoder.tokenizer, decoder.data) == (str(steps["visual_tokenizer"].result), "runs/x/features")
    assert (detokenizer.tokenizer, detokenizer.data) == (str(steps["condition_decoder"].result), "runs/x/keyframes")
    assert "--with-features" in steps["features"].command
    for name in ("keyframes", "tokens", "model"):
        command = steps[name].command
        assert command[command.index("--visual-tokenizer") + 1] == str(steps["condition_decoder"].result), name


def test_the_unet_learns_to_draw_in_one_step_as_the_model_does(things):
    steps = {step.name: step for step in things.steps(things.Recipe(folder=Path("runs/x")))}
    names = ("keyframe_detokenizer", "one_step", "sharp")
    first, one_step, sharp = (train._stage(train.parse(steps[name].command[1:])) for name in names)
    assert first.pure_noise == 0
    assert one_step.pure_noise > 0.5
    assert one_step.start_from == str(steps["keyframe_detokenizer"].result)
    assert (first.adversarial_weight, one_step.adversarial_weight) == (0, 0)
    assert sharp.adversarial_weight > 0
    assert sharp.start_from == str(steps["one_step"].result)
    model = steps["model"].command
    assert model[model.index("--keyframe-detokenizer") + 1] == str(steps["sharp"].result)
    assert (THINGS_SETTINGS.keyframe_num_inference_steps, THINGS_SETTINGS.keyframe_guidance_scale) == (1, 1.0)


def test_stages_of_images_agree_on_the_decoder_and_stand_in_order():
    names = ["visual_tokenizer", "condition_decoder", "keyframe_detokenizer"]
    assert [name for name in THINGS if name in names] == names
    [decoder] = {THINGS[name].decoder for name in names}
    assert (decoder.layers, TINY["visual_tokenizer"].decoder.layers) == (5, 3)
    assert THINGS["condition_decoder"].visual == THINGS["visual_tokenizer"].model
    assert set(TINY) < set(THINGS)


def test_finished_steps_are_skipped_and_a_failure_is_told(things, tmp_path, capsys):
    recipe = things.Recipe(folder=tmp_path, node_modules=tmp_path / "none", until="sources")
    assert things.main(recipe) != 0
    assert "goes on from here" in capsys.readouterr().out
    (tmp_path / "sources.npz").write_bytes(b"")
    assert things.main(recipe) == 0


def test_the_last_of_many_shards_does_not_finish_their_step(things, tmp_path):
    steps = {step.name: step for step in things.steps(things.Recipe(folder=tmp_path))}
    for name in ("data", "shapes", "tokens", "autoencoder"):
        steps[name].result.parent.mkdir(parents=True, exist_ok=True)
        steps[name].result.write_bytes(b"")
    assert things.is_finished(steps["autoencoder"], tmp_path)
    for name in ("data", "shapes", "tokens"):
        assert not things.is_finished(steps[name], tmp_path), "others may be missing"
        things.marker(steps[name], tmp_path).parent.mkdir(exist_ok=True)
        things.marker(steps[name], tmp_path).touch()
        assert things.is_finished(steps[name], tmp_path)


def test_a_finished_model_goes_into_the_package(things, tmp_path, monkeypatch):
    from videolavit.training import model_folder

    monkeypatch.setattr(model_folder, "FOLDER", tmp_path / "assets")
    recipe = things.Recipe(folder=tmp_path / "runs", ship=True)
    for step in things.steps(recipe):
        step.result.mkdir(parents=True, exist_ok=True)
        things.marker(step, recipe.folder).parent.mkdir(exist_ok=True)
        things.marker(step, recipe.folder).touch()
    (recipe.folder / "model" / "config.json").write_text("{}")
    (tmp_path / "assets" / "things" / "older.safetensors").parent.mkdir(parents=True)
    (tmp_path / "assets" / "things" / "older.safetensors").write_bytes(b"weights")
    for unfinished in ({"show": True}, {"until": "tokens"}):
        assert things.main(things.Recipe(folder=recipe.folder, ship=True, **unfinished)) == 0
        assert (tmp_path / "assets" / "things" / "older.safetensors").exists()
    assert things.main(recipe) == 0
    assert [path.name for path in (tmp_path / "assets" / "things").iterdir()] == ["config.json"]


def test_compensation_learns_layers_then_turning_then_what_things_look_like(things):
    recipe = things.Recipe(folder=Path("runs/x"))
    steps = {step.name: step for step in things.steps(recipe)}
    layers, turning, looks = (steps[name] for name in ("learned_compensation", "turning", "thing_appearance"))

    def value(step: str, option: str) -> str:
        command = steps[step].command
        return command[command.index(option) + 1]

    assert value("turning", "--from-model") == str(layers.result)
    assert train._stage(train.parse(turning.command[1:])).turning_alone
    assert not train._stage(train.parse(layers.command[1:])).turning_alone
    assert value("plain_things", "--video-compensation") == value("thing_appearance", "--from-model")
    assert value("thing_appearance", "--from-model") == str(turning.result)
    stage = train._stage(train.parse(looks.command[1:]))
    assert stage.drawn_by == str(steps["plain_things"].result)
    assert stage.data == str(steps["sources"].result)
    assert stage.things == recipe.things
    assert value("model", "--video-compensation") == str(looks.result)
    order = [step.name for step in things.steps(recipe)]
    assert order.index("plain_things") < order.index("thing_appearance") < order.index("model")
