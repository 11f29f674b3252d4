"""The stages of images: vision encoder, visual tokenizer, keyframe detokenizer, each at a tiny size."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from videolavit.checkpoints.artifacts import load_artifact, open_artifact, write_artifact
from videolavit.commands import prepare
from videolavit.data.keyframes import LabelledKeyframes, label_image
from videolavit.data.prepare_videos import ShapesData, shapes_record
from videolavit.data.scene_labels import COLOUR_LABELS, NAME_LABELS, UNKNOWN, unknown_labels
from videolavit.data.shapes.scene import SIZE, sample_scene
from videolavit.data.shards import Record, ShardReader, write_shard
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.errors import CheckpointError, ConfigError
from videolavit.tokenizers.codebook import CodebookConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.training.latents import LatentClips, prepare_latents
from videolavit.training.loop import train
from videolavit.training.presets import THINGS
from videolavit.training.stages.condition_decoder import ConditionDecoderStage
from videolavit.training.stages.keyframe_codes import NO_CODE, codes_and_latents
from videolavit.training.stages.keyframe_detokenizer import KeyframeDetokenizerStage, KeyframeUNetConfig
from videolavit.training.stages.vision_encoder import VisionEncoderStage
from videolavit.training.stages.visual_tokenizer import VisualTokenizerStage, novelty
from videolavit.training.training_options import TrainingOptions

VIT = VisionTransformerConfig(
    image_size=SIZE, patch_size=32, width=32, layers=1, heads=2, mlp_ratio=2.0, unused_head_width=None
)
VISUAL = VisualTokenizerConfig(
    vit=VIT, merger_layers=1, merger_heads=2, merger_mlp_ratio=2.0, num_codes=32, code_dim=8, language_width=16
)
DECODER = ConditionDecoderConfig(
    code_dim=8,
    num_positions=VIT.num_patches,
    width=32,
    layers=1,
    heads=2,
    mlp_ratio=2.0,
    feature_width=32,
    prompt_widths=(16, 16),
    pooled_width=24,
)


def options(**changed):
    values = {"steps": 30, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 3, "log_every": 1} | changed
    return TrainingOptions(**values)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    data = ShapesData(num_videos=8, clips=(1, 2))
    records = (shapes_record(data, number) for number in range(data.num_videos))
    write_shard((record for record in records if record is not None), folder / "shapes.tar")
    return folder


def encoder_stage(shards, **changed):
    return VisionEncoderStage(data=str(shards), model=VIT, training=options(**changed))


def tokenizer_stage(shards, selection="novelty", **changed):
    return VisualTokenizerStage(
        data=str(shards),
        selection=selection,
        model=VISUAL,
        decoder=DECODER,
        codebook=CodebookConfig(warm_up_steps=10, revive_every=10),
        random_choice_steps=10,
        training=options(**changed),
    )


def keyframe_stage(shards, map_channels=4, **changed):
    return KeyframeDetokenizerStage(
        data=str(shards),
        visual=VISUAL,
        decoder=DECODER,
        unet=KeyframeUNetConfig(
            block_out_channels=(16, 32),
            layers_per_block=1,
            transformer_layers_per_block=(1, 1),
            heads=(2, 2),
            addition_time_embed_dim=8,
            norm_num_groups=8,
            map_channels=map_channels,
        ),
        height=64,
        width=64,
        num_inference_steps=2,
        training=options(**changed),
    )


def log(folder):
    """Metrics of each step, without warnings between them."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if "loss" in entry]


def mean(entries, name):
    return np.mean([entry[name] for entry in entries])


def trained_twice(stage, folder, stop_at):
    """Exported folders of a run, and of one that was stopped after a step and resumed."""
    whole = train(stage, folder / "whole", quiet=True)

    class Stopping(type(stage)):
        def check(self, metrics, step):
            if step == stop_at:
                raise KeyboardInterrupt

    stopping = Stopping(**{field.name: getattr(stage, field.name) for field in fields(stage)})
    with pytest.raises(KeyboardInterrupt):
        train(stopping, folder / "stopped", quiet=True)
    return whole, train(stage, folder / "stopped", quiet=True)


def same_weights(one, other):
    one, other = load_file(one), load_file(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_labels_say_which_patches_show_the_object_and_where_its_centre_is():
    scene = sample_scene(3)
    [actor] = scene.actors
    labels = label_image(scene, 0, 16)
    shown = labels.patches[:, 1] != UNKNOWN
    x, y = actor.start
    centre_patch = int(y // 16) * 8 + int(x // 16)
    assert shown[centre_patch]
    assert 2 <= shown.sum() <= 25
    assert labels.patches[centre_patch, 0] == NAME_LABELS.index(actor.shape)
    assert (labels.patches[~shown, 0] == len(NAME_LABELS)).all()
    assert labels.image[1] == COLOUR_LABELS.index(actor.colour)
    patch_x = (np.flatnonzero(shown) % 8 + 0.5) * 16 - 0.5
    np.testing.assert_allclose(patch_x + labels.offsets[shown, 0] * SIZE, x, atol=1e-3)


def test_labels_of_a_mirrored_image_are_mirrored_labels():
    scene = sample_scene(5)
    labels, mirrored = label_image(scene, 0, 16), label_image(scene, 0, 16, mirror=True)
    assert np.array_equal(mirrored.patches.reshape(8, 8, 4), labels.patches.reshape(8, 8, 4)[:, ::-1])


def test_own_videos_have_no_labels(shards, tmp_path):
    record = ShardReader(shards)[0]
    own = Record(keyframes=record.keyframes, motion=record.motion, motion_size=record.motion_size, frames=record.frames)
    write_shard([own], tmp_path / "own.tar")
    _, labels = LabelledKeyframes(ShardReader(tmp_path), 32)[0, 0]
    assert (labels.patches == UNKNOWN).all()
    assert (labels.image == UNKNOWN).all()


@pytest.mark.slow
def test_the_vision_encoder_learns_and_resumes_exactly(shards, tmp_path):
    stage = encoder_stage(shards, steps=40, checkpoint_every=16, images_every=40)
    whole, resumed = trained_twice(stage, tmp_path, stop_at=33)
    entries = log(tmp_path / "whole")
    assert mean(entries[-5:], "loss") < 0.8 * mean(entries[:5], "loss")
    assert (tmp_path / "whole" / "images" / "pixels-00000040.png").exists()
    assert same_weights(whole / "vision_encoder.safetensors", resumed / "vision_encoder.safetensors")
    assert load_artifact("vision_encoder", whole).config == VIT


@pytest.mark.slow
def test_the_visual_tokenizer_learns_quantises_late_and_keeps_its_encoder(shards, tmp_path):
    encoder = train(encoder_stage(shards, steps=3), tmp_path / "encoder", quiet=True)
    stage = replace(tokenizer_stage(shards, steps=120, images_every=120), encoder=str(encoder))
    export = train(stage, tmp_path / "run", quiet=True)
    entries = log(tmp_path / "run")
    assert mean(entries[-10:], "cosine_distance") < 0.7 * mean(entries[:5], "cosine_distance")
    assert entries[5]["perplexity"] == 0  # not quantised yet
    assert entries[-1]["perplexity"] > 3
    assert 0.1 < mean(entries[-10:], "kept") < 0.6  # on its way to a third, from 0 or 1
    assert (tmp_path / "run" / "images" / "kept-00000120.png").exists()
    tokenizer, decoder = load_artifact("visual_tokenizer", export), load_artifact("condition_decoder", export)
    trained_vit = load_artifact("vision_encoder", encoder).state_dict()
    assert all(torch.equal(value, trained_vit[name]) for name, value in tokenizer.vit.state_dict().items())
    assert decoder.config == DECODER


def test_codes_learn_to_tell_their_own_patch(shards, tmp_path):
    """From features that hold the place, in few steps; the reader of single codes is not exported."""
    stage = replace(tokenizer_stage(shards), own_patch_weight=1.0, random_choice_steps=1000)
    module, samples = stage.build(), stage.samples()
    batch = stage.collate([samples[draw] for draw in range(8)])
    plain = replace(stage, own_patch_weight=0.0).build()
    assert "own_distance" not in plain(batch, 0)
    assert all(name.startswith("own_patch.") for name in module.state_dict().keys() - plain.state_dict().keys())
    optimiser = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 3e-3)
    distances = []
    for step in range(40):
        scalars = module(batch, step)
        optimiser.zero_grad()
        scalars["loss"].backward()
        optimiser.step()
        distances.append(scalars["own_distance"].item())
    assert distances[-1] < 0.7 * distances[0]


def test_the_tokenizer_keeps_in_use_what_it_kept_in_training(shards):
    stage = tokenizer_stage(shards)
    module = stage.build()
    samples = stage.samples()
    batch = stage.collate([samples[draw] for draw in range(4)])
    step = stage.random_choice_steps  # the first in which the selector decides
    keep = module._choice(module.tokenizer.selector(module.tokenizer.vit(batch["images"])[:, 1:]), step)
    tokens = module.tokenizer.encode(batch["images"], patch_selection=stage.patch_selection)
    assert torch.equal(keep > 0, tokens.keep)


def test_a_resumed_tokenizer_run_has_the_same_weights_and_codebook(shards, tmp_path):
    stage = tokenizer_stage(shards, steps=24, checkpoint_every=8, ema_decay=0.9, batch_size=4)
    whole, resumed = trained_twice(stage, tmp_path, stop_at=19)
    for name in ("visual_tokenizer", "condition_decoder"):
        assert same_weights(whole / f"{name}.safetensors", resumed / f"{name}.safetensors")


def test_a_collapsed_selector_or_codebook_raises_an_alarm(shards):
    stage = tokenizer_stage(shards)
    healthy = {"kept": 0.3, "perplexity": 9.0}
    assert stage.check(healthy, step=500) is None
    assert "selector has collapsed: it keeps 0.020" in stage.check(healthy | {"kept": 0.02}, step=500)
    assert "selector has collapsed" in stage.check(healthy | {"kept": 0.9}, step=500)
    assert "codebook has collapsed: perplexity 1.10 of 32" in stage.check(healthy | {"perplexity": 1.1}, step=500)
    assert stage.check({"kept": 0.02, "perplexity": 0.0}, step=5) is None  # nothing is decided yet


def test_the_loss_teaches_the_selector_the_rate(shards):
    stage = tokenizer_stage(shards, "gradient")
    module, samples = stage.build(), stage.samples()
    batch = stage.collate([samples[draw] for draw in range(8)])
    optimiser = torch.optim.Adam(module.tokenizer.selector.parameters(), 3e-3)
    for _ in range(60):
        scalars = module(batch, stage.random_choice_steps)
        optimiser.zero_grad()
        scalars["loss"].backward()
        assert all(torch.isfinite(part.grad).all() for part in module.tokenizer.selector.parameters())
        optimiser.step()
    assert 0.15 < scalars["kept"] < 0.6


def test_what_differs_from_its_surroundings_is_new():
    features = torch.randn(1, 16, 8).expand(3, -1, -1).clone()  # the same in all images: known without being told
    features[1, 5] += 4.0
    values = novelty(features)
    assert values[1].argmax() == 5
    assert values[1, 5] > 1.5 * values[[0, 2]].max()
    uniform = torch.randn(2, 1, 8).expand(-1, 16, -1)  # images of one colour each
    assert novelty(uniform).max() < 1e-5


def test_tokenizer_and_decoder_must_fit(shards):
    with pytest.raises(ConfigError, match="make them equal"):
        replace(tokenizer_stage(shards), decoder=replace(DECODER, code_dim=16))


def test_parts_of_another_stage_are_missed_with_a_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"no condition_decoder; train the stage .* first \(visual_tokenizer\)"):
        load_artifact("condition_decoder", tmp_path)
    with pytest.raises(CheckpointError, match=r"no keyframe_unet; train the stage .* first \(keyframe_detokenizer\)"):
        load_artifact("keyframe_unet", tmp_path)
    with pytest.raises(CheckpointError, match="no vision_encoder"):
        load_artifact("vision_encoder", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("map_channels", [4, 0])
def test_the_keyframe_detokenizer_learns(shards, tmp_path, map_channels):
    stage = keyframe_stage(shards, map_channels, steps=40, images_every=40)
    export = train(stage, tmp_path, quiet=True)
    entries = log(tmp_path)
    assert mean(entries[-10:], "loss") < 0.9 * mean(entries[:3], "loss")
    assert (tmp_path / "images" / "drawn-00000040.png").exists()
    unet = load_artifact("keyframe_unet", export)
    assert unet.config["in_channels"] == 8
    assert [8 * side for side in unet.config["sample_size"]] == [64, 64]
    assert open_artifact(export).scheduler("keyframe_scheduler")["_class_name"] == "DDIMScheduler"


def test_keyframe_training_changes_the_condition_but_not_the_decoded_features_unless_asked(shards):
    decoder = "detokenizer.condition_decoder."
    for whole in (False, True):
        module = replace(keyframe_stage(shards), whole_decoder=whole).build()
        trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
        of_decoder = {name.removeprefix(decoder).split(".")[0] for name in trained if name.startswith(decoder)}
        parts = {name.split(".")[0] for name, _ in module.detokenizer.condition_decoder.named_parameters()}
        assert of_decoder == (parts if whole else {"prompt_projs", "pool"})
        assert not any(name.startswith(("tokenizer.", "detokenizer.vae.")) for name in trained)


def test_a_keyframe_stage_goes_on_from_an_export(shards, tmp_path):
    export = train(keyframe_stage(shards, steps=4), tmp_path, quiet=True)
    stage = replace(keyframe_stage(shards), start_from=str(export), condition_decoder=str(export))
    module = stage.build()
    for name, part in (("keyframe_unet", module.detokenizer.unet), ("condition_decoder", None)):
        stored = load_file(export / f"{name}.safetensors")
        own = (part or module.detokenizer.condition_decoder).state_dict()
        assert all(torch.equal(own[key], stored[key].float()) for key in stored)


def test_a_keyframe_stage_goes_on_with_the_condition_of_its_unet_and_refuses_another(shards, tmp_path):
    stage = keyframe_stage(shards)
    module = stage.build()
    written = {"keyframe_unet": module.detokenizer.unet, "condition_decoder": module.detokenizer.condition_decoder}
    write_artifact(tmp_path, written, schedulers={"keyframe_scheduler": stage.scheduler()})
    going_on = replace(stage, start_from=str(tmp_path)).build().detokenizer.condition_decoder.state_dict()
    assert all(torch.equal(going_on[key], value) for key, value in written["condition_decoder"].state_dict().items())
    with pytest.raises(ConfigError, match="its UNet has prediction 'epsilon', and this stage 'v_prediction'"):
        replace(stage, start_from=str(tmp_path), prediction="v_prediction").build()
    wider = ConditionDecoder(replace(DECODER, prompt_widths=(16, 32)))
    write_artifact(tmp_path / "wider", {"condition_decoder": wider})
    with pytest.raises(ConfigError, match="width of the condition 32, and this stage 48"):
        replace(stage, start_from=str(tmp_path), condition_decoder=str(tmp_path / "wider")).build()


def test_a_condition_decoder_of_another_tokenizer_is_refused(shards):
    for stage in (keyframe_stage(shards), condition_decoder_stage(shards)):
        with pytest.raises(ConfigError, match=r"\(code_dim, num_positions\) = \(4, 16\).*\(8, 16\)"):
            replace(stage, decoder=replace(DECODER, code_dim=4)).build()


def test_a_keyframe_run_from_before_there_was_a_stage_for_its_decoder_goes_on(shards, tmp_path):
    stage = keyframe_stage(shards, steps=3, batch_size=2)
    export = train(stage, tmp_path, quiet=True)
    before = load_file(export / "keyframe_unet.safetensors")
    later = ("start_from", "condition_decoder", "whole_decoder", "object_weight", "unet.map_upscale")
    for file in (tmp_path / "checkpoints").glob("*/run.json"):
        note = json.loads(file.read_text())
        note["options"] = {name: text for name, text in note["options"].items() if name not in later}
        file.write_text(json.dumps(note))
    after = load_file(train(stage, tmp_path, quiet=True) / "keyframe_unet.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(CheckpointError, match="whole_decoder: False -> True"):
        train(replace(stage, whole_decoder=True), tmp_path, quiet=True)


def test_a_map_has_at_least_one_place_to_a_patch():
    with pytest.raises(ConfigError, match="map_upscale=0"):
        KeyframeUNetConfig(map_channels=4, map_upscale=0)


def condition_decoder_stage(shards, **changed):
    return ConditionDecoderStage(
        data=str(shards), visual=VISUAL, decoder=DECODER, height=64, width=64, training=options(**changed)
    )


@pytest.mark.slow
def test_a_condition_decoder_learns_what_codes_say_of_pixels_and_the_keyframe_stage_takes_it(shards, tmp_path):
    stage = replace(condition_decoder_stage(shards, steps=40, images_every=40), object_weight=4.0)
    export = train(stage, tmp_path / "run", quiet=True)
    entries = log(tmp_path / "run")
    assert mean(entries[-5:], "unread") < 0.9 * mean(entries[:3], "unread")
    assert mean(entries[-5:], "unread_of_objects") < 0.9 * mean(entries[:3], "unread_of_objects")
    assert (tmp_path / "run" / "images" / "read-00000040.png").exists()
    trained = load_file(export / "condition_decoder.safetensors")
    taken = replace(keyframe_stage(shards), condition_decoder=str(export)).build().detokenizer.condition_decoder
    for name, weights in taken.state_dict().items():
        assert torch.equal(weights, trained[name].float())


def test_a_resumed_condition_decoder_run_has_the_same_weights(shards, tmp_path):
    stage = condition_decoder_stage(shards, steps=5, checkpoint_every=2, ema_decay=0.9, batch_size=4)
    whole, resumed = trained_twice(stage, tmp_path, stop_at=3)
    assert same_weights(whole / "condition_decoder.safetensors", resumed / "condition_decoder.safetensors")


def test_what_is_unread_is_told_of_images_with_codes(shards):
    stage = condition_decoder_stage(shards)
    module, samples = stage.build(), stage.samples()
    batch = module.prepared(stage.collate([samples[draw] for draw in range(2)]))
    batch["codes"].zero_()  # a code for each patch, whatever an untrained tokenizer keeps
    with torch.no_grad():
        told = module(batch, 0)
        one = module({name: value[:1] for name, value in batch.items()}, 0)
        again = {name: torch.cat([value[:1], value[:1]]) for name, value in batch.items()}
        again["codes"][1] = NO_CODE
        half = module(again, 0)
    assert told["without_codes"] == 0
    assert half["without_codes"] == 0.5
    torch.testing.assert_close(half["unread"], one["unread"])
    torch.testing.assert_close(half["unread_of_objects"], one["unread_of_objects"])


def test_codes_learn_what_patches_look_like_from_latents_with_features(shards, tmp_path):
    torch.manual_seed(0)
    stage = replace(
        condition_decoder_stage(shards, steps=40, learning_rate=5e-3),
        trains_codes=True,
        codebook=CodebookConfig(warm_up_steps=5, revive_every=10, decay=0.9),
    )
    module = stage.build()
    with torch.no_grad():
        module.tokenizer.selector.out_proj.bias.copy_(torch.tensor([5.0, -5.0]))  # keeps nearly every patch
    write_artifact(
        tmp_path / "codes", {"visual_tokenizer": module.tokenizer, "condition_decoder": module.condition_decoder}
    )
    write_artifact(tmp_path / "vae", {"keyframe_vae": module.vae})
    stage = replace(stage, tokenizer=str(tmp_path / "codes"), autoencoder=str(tmp_path / "vae"))
    prepare_latents(stage, tmp_path / "latents", 16)
    prepared = replace(stage, data=str(tmp_path / "latents"))
    export = train(prepared, tmp_path / "run", quiet=True)
    entries = log(tmp_path / "run")
    assert mean(entries[-5:], "unread") < 0.9 * mean(entries[:3], "unread")
    assert entries[-1]["perplexity"] > 2
    before, after = (load_artifact("visual_tokenizer", folder) for folder in (tmp_path / "codes", export))
    moved = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert {name.split(".")[0] for name in moved} == {"code_head", "quantizer"}
    # Codes of the module in training are those of the tokenizer that it exports.
    kept = LatentClips(tmp_path / "latents", prepared.frozen())
    keyframes = prepared.collate([kept[number, 0] for number in range(4)])
    trained = replace(prepared, tokenizer=str(export), data=str(shards)).build()
    images = stage.collate([stage.samples()[draw] for draw in range(4)])["images"]
    found = trained.codes(codes_and_latents(keyframes, trained.tokenizer, trained.vae))
    with torch.autocast("cpu", torch.bfloat16):
        direct = trained.tokenizer.encode(images).codes
    same = [(row[: len(codes)] == codes).float().mean().item() for row, codes in zip(found, direct, strict=True)]
    assert np.mean(same) > 0.9  # features in half precision
    with pytest.raises(ConfigError, match="not those of this autoencoder"):
        replace(prepared, trains_codes=False).samples()


def test_the_command_keeps_features_for_presets_with_a_stage_that_trains_codes(shards, tmp_path):
    parts = tmp_path / "parts"
    task = prepare.Latents(
        data=shards,
        output=tmp_path / "latents",
        autoencoder=parts,
        visual_tokenizer=parts,
        with_features=True,
        num_clips=2,
    )
    with pytest.raises(ConfigError, match="give --preset things"):
        prepare.run(prepare.Config(task=task))
    assert not task.output.exists()
    module = THINGS["condition_decoder"].build()
    write_artifact(
        parts,
        {
            "visual_tokenizer": module.tokenizer,
            "condition_decoder": module.condition_decoder,
            "keyframe_vae": module.vae,
        },
    )
    assert prepare.run(prepare.Config(task=replace(task, preset="things"))) == 0
    stage = replace(THINGS["condition_decoder"], tokenizer=str(parts), autoencoder=str(parts), data=str(task.output))
    sample = stage.samples()[0]
    vit = module.tokenizer.config.vit
    assert sample["merged"].shape == (vit.num_patches, vit.width)
    assert ((sample["merged"] != 0).any(1) == (sample["codes"] != NO_CODE)).all()


def test_the_condition_decoder_needs_whole_latents_to_a_patch(shards):
    with pytest.raises(ConfigError, match="9 x 9 for 4 x 4 patches, expected multiples of 4"):
        replace(condition_decoder_stage(shards), height=72, width=72).build()


def test_latents_of_keyframes_are_trained_on_as_the_images_are(shards, tmp_path):
    stage = keyframe_stage(shards, steps=3)
    module = stage.build()
    codes = {"visual_tokenizer": module.tokenizer, "condition_decoder": module.detokenizer.condition_decoder}
    write_artifact(tmp_path / "codes", codes)
    write_artifact(tmp_path / "vae", {"keyframe_vae": module.detokenizer.vae})
    stage = replace(stage, tokenizer=str(tmp_path / "codes"), autoencoder=str(tmp_path / "vae"))
    prepared = replace(stage, data=str(tmp_path / "latents"))
    assert len(prepare_latents(stage, tmp_path / "latents", 6)) == 6
    module = stage.build()
    samples = stage.samples()
    with torch.autocast("cpu", torch.bfloat16):
        made = module.prepared(stage.collate([samples[draw] for draw in range(6)]))
    kept = LatentClips(tmp_path / "latents", stage.frozen())
    assert made["codes"].shape == (6, VIT.num_patches)
    for name, values in made.items():
        stored = torch.stack([kept[number, 0][name] for number in range(6)])
        torch.testing.assert_close(stored.float(), values.float(), atol=2e-2, rtol=2e-2)
    train(prepared, tmp_path / "run")
    assert load_artifact("keyframe_unet", tmp_path / "run" / "export")
    with pytest.raises(ConfigError, match="not those of this autoencoder"):
        replace(prepared, height=2 * prepared.height).samples()
    (tmp_path / "latents" / "made_by.txt").write_text("of features, as earlier versions stored them")
    with pytest.raises(ConfigError, match=r"an earlier version made them; .* remove the folder and prepare them anew"):
        prepared.samples()


def test_errors_where_objects_are_weigh_more(shards):
    losses = {}
    for weight in (0.0, 4.0):
        stage = replace(keyframe_stage(shards), object_weight=weight)
        torch.manual_seed(0)
        module, samples = stage.build(), stage.samples()
        batch = stage.collate([samples[draw] for draw in range(8)])
        shown = batch["objects"].float().mean()
        assert batch["objects"].shape == (8, 16, 16)
        assert 0 < shown < 0.5  # one shape on its ground, in each
        torch.manual_seed(1)
        losses[weight] = module(batch, 0)
    plain, of_objects = losses[0.0]["loss"], losses[0.0]["error_of_objects"]
    expected = (plain + 4 * shown * of_objects) / (1 + 4 * shown)
    torch.testing.assert_close(losses[4.0]["loss"], expected)
    nothing = stage.collate([(np.zeros((64, 64, 3), np.uint8), unknown_labels((64, 64), 8))])
    assert not nothing["objects"].any()
    with pytest.raises(ConfigError, match="object_weight"):
        KeyframeDetokenizerStage(object_weight=-1.0)


def test_latents_are_of_one_tokenizer(shards, tmp_path):
    task = prepare.Latents(data=shards, output=tmp_path / "latents", autoencoder=tmp_path)
    for both in ({}, {"motion_tokenizer": tmp_path, "visual_tokenizer": tmp_path}):
        with pytest.raises(ConfigError, match="expected one"):
            prepare.run(prepare.Config(task=replace(task, **both)))
    assert not (tmp_path / "latents").exists()


@pytest.mark.slow
def test_a_resumed_keyframe_run_has_the_same_weights(shards, tmp_path):
    stage = keyframe_stage(shards, steps=5, checkpoint_every=2, ema_decay=0.9, batch_size=4)
    whole, resumed = trained_twice(stage, tmp_path, stop_at=3)
    for name in ("keyframe_unet", "condition_decoder"):
        assert same_weights(whole / f"{name}.safetensors", resumed / f"{name}.safetensors")


def few_steps(shards, **changed):
    return replace(keyframe_stage(shards, batch_size=4, **changed), prediction="v_prediction")


def test_pure_noise_is_what_drawing_begins_with(shards):
    latents = torch.full((64, 4, 8, 8), 3.0)
    noisy, noise, timesteps, signal = replace(few_steps(shards), pure_noise=1.0).build()._noised(latents)
    assert timesteps.unique().tolist() == [999]
    assert torch.equal(noisy, noise)
    assert 0 < signal.max() < 0.01, "the scheduler has a trace of the image left there"
    noisy, noise, timesteps, _ = replace(few_steps(shards), pure_noise=0.5).build()._noised(latents)
    pure = (noisy == noise).all((1, 2, 3))
    assert 12 < pure.sum() < 52
    assert (timesteps[pure] == 999).all()
    assert timesteps[~pure].unique().numel() > 8
    _, _, timesteps, _ = few_steps(shards).build()._noised(latents)
    assert (timesteps == 999).sum() < 3


def test_what_the_image_looks_like_counts(shards):
    """With equal random numbers two losses differ by what is asked for, and by nothing else."""
    module = few_steps(shards).build()
    batch = few_steps(shards).first_batch(module, 4)

    def scalars(**asked):
        module.stage = replace(few_steps(shards), pure_noise=1.0, **asked)
        torch.manual_seed(0)
        return module(batch, 0)

    plain, pixels, both = scalars(), scalars(pixel_weight=0.5), scalars(pixel_weight=0.5, feature_weight=2.0)
    assert "pixels" not in plain
    assert 0 < pixels["pixels"] < 2
    assert (pixels["loss"] - plain["loss"]).item() == pytest.approx(0.5 * pixels["pixels"].item(), abs=1e-5)
    assert 0 < both["features"] < 4
    assert (both["loss"] - pixels["loss"]).item() == pytest.approx(2 * both["features"].item(), abs=1e-5)
    near = scalars(distance_weight=1.0)["loss"] - plain["loss"]
    assert 0.1 < near.item() < (plain["loss"].item() + 2e-3) ** 0.5, "the mean of roots is below the root of the mean"


def test_an_image_that_is_true_has_no_errors(shards):
    module = replace(few_steps(shards), pixel_weight=1.0, feature_weight=1.0, object_weight=4.0).build()
    latents, objects = torch.randn(2, 8, 8, 8), torch.zeros(2, 8, 8)
    seen = module._seen(latents, latents, objects)
    assert seen["pixels"] == 0
    assert seen["features"] == 0
    other = latents.clone()
    other[:, :, :4] += 1
    objects[:, :4] = 1
    here = module._seen(other, latents, objects)
    there = module._seen(other, latents, 1 - objects)
    for name in ("pixels", "features"):
        assert here[name] > there[name] > 0, "what differs counts more where the object is"


def test_a_stage_for_one_step_trains_and_exports(shards, tmp_path):
    asked = {"pure_noise": 0.8, "pixel_weight": 1.0, "feature_weight": 1.0, "whole_decoder": True}
    stage = replace(few_steps(shards, steps=3), adversarial_weight=0.5, **asked)
    exported = train(stage, tmp_path / "run", quiet=True)
    assert {"pixels", "features", "discriminator", "adversarial"} < set(log(tmp_path / "run")[-1])
    load_artifact("keyframe_unet", exported)
    load_artifact("condition_decoder", exported)
    assert set(open_artifact(exported).held()) == {"keyframe_unet", "condition_decoder", "keyframe_scheduler"}


def test_the_discriminator_learns_ahead_of_what_it_teaches(shards):
    """At first the UNet learns as without it; its weight grows then, and ends at what was asked for."""
    stage = replace(few_steps(shards), pure_noise=1.0, adversarial_weight=0.5)
    module = stage.build()
    batch = stage.first_batch(module, 4)

    def scalars(step):
        torch.manual_seed(0)
        return {name: value.item() for name, value in module(batch, step).items()}

    discriminator, module.discriminator = module.discriminator, None
    errors = scalars(0)["loss"]
    module.discriminator = discriminator
    for step, share in ((0, 0), (100, 0), (150, 0.5), (200, 1), (5000, 1)):
        told = scalars(step)
        assert told["loss"] - errors == pytest.approx(
            told["discriminator"] + share * 0.5 * told["adversarial"], abs=1e-4
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pure_noise": 1.5}, "pure_noise=1.5, expected 0 to 1"),
        ({"pixel_weight": -0.1}, "expected at least 0"),
        ({"feature_weight": float("-inf")}, "expected at least 0"),
        ({"adversarial_weight": -1.0}, "adversarial_weight=-1.0, expected at least 0"),
        ({"error_weight": 0.0}, "and more of one"),
        ({"prediction": "epsilon", "pure_noise": 0.5}, "train with v_prediction"),
    ],
)
def test_training_for_one_step_refuses_what_makes_no_sense(shards, changed, message):
    with pytest.raises(ConfigError, match=message):
        replace(few_steps(shards), **changed)


def test_images_without_codes_raise_an_alarm(shards):
    for stage in (keyframe_stage(shards), condition_decoder_stage(shards)):
        assert "50% of the images have no code" in stage.check({"without_codes": 0.5}, step=1)
        assert stage.check({"without_codes": 0.0}, step=1) is None


def test_an_image_without_codes_is_drawn_without_condition(shards):
    stage = keyframe_stage(shards)
    module = stage.build()
    selector = module.tokenizer.selector.out_proj
    with torch.no_grad():
        selector.weight.zero_()
        selector.bias.copy_(torch.tensor([-5.0, 5.0]))  # drops every patch
    samples = stage.samples()
    batch = stage.collate([samples[draw] for draw in range(2)])
    assert module(batch, 0)["without_codes"] == 1
