"""Plans of runs against what small real runs hold."""

from dataclasses import replace

import pytest
import torch
from training.uneven import UnevenStage

from videolavit.errors import ConfigError
from videolavit.training.blocks import recompute_activations, trained_blocks
from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageModelSizes
from videolavit.training.memory import kept_bytes
from videolavit.training.optimisers import build_optimisers
from videolavit.training.planning import plan
from videolavit.training.presets import stage_names, stage_of
from videolavit.training.sequences import Target
from videolavit.training.stages.instruction_tuning import LoraOptions
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.training_options import TrainingOptions

SIZES = LanguageModelSizes(width=64, mlp_width=128, layers=3, heads=4, context_length=96)


def language_stage(**options):
    training = TrainingOptions(**{"steps": 10, "batch_size": 4, "warmup_steps": 1} | options)
    return PretrainingStage(
        data="", model=SIZES, row_length=96, shares=Shares(words=1), visual_input="discrete", training=training
    )


def full_rows(vocabulary, rows, columns):
    ids = torch.randint(0, vocabulary.num_text, (rows, columns), generator=torch.Generator().manual_seed(0))
    return {
        "ids": ids,
        "targets": torch.full((rows, columns), int(Target.WORDS)),
        "segments": torch.zeros(rows, columns, dtype=torch.long),
        "positions": torch.arange(columns).expand(rows, -1),
        "feature_places": torch.zeros(0, dtype=torch.long),
    }


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_activations_are_those_that_a_real_step_keeps(precision):
    stage = language_stage(precision=precision)
    module = stage.sketch()
    batch = full_rows(module.model.vocabulary, 4, 96)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        real = kept_bytes(module, lambda: module(batch, 0)["loss"])
    assert stage.activation_bytes(4) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_gradients_and_optimiser_are_those_of_a_real_run(name):
    stage = UnevenStage()
    stage = replace(stage, training=replace(stage.training, optimiser=name))
    module, samples = stage.build(), stage.samples()
    optimisers = build_optimisers(module, stage.training)
    module(stage.collate([samples[draw] for draw in range(4)]), 0)["loss"].backward()
    for optimiser in optimisers:
        optimiser.step()
    planned = plan(stage)
    weights = list(module.parameters())
    states = [entry for optimiser in optimisers for entry in optimiser.state.values()]
    state = [value for entry in states for value in entry.values() if value.ndim]
    assert planned.parameter_bytes == sum(weight.nbytes for weight in weights)
    assert planned.gradient_bytes == sum(weight.grad.nbytes for weight in weights)
    assert planned.optimiser_bytes == sum(value.nbytes for value in state)


def test_processes_share_what_is_held_and_hours_add_up():
    stage = language_stage()
    alone, shared = plan(stage), plan(stage, processes=4, tokens_per_second=100.0)
    assert shared.parameter_bytes == pytest.approx(alone.parameter_bytes / 4, abs=1)
    largest = max(sum(weight.numel() for weight in block.parameters()) for block in trained_blocks(stage.sketch()))
    assert (alone.gathered_bytes, shared.gathered_bytes) == (0, 2 * 2 * largest)
    assert shared.tokens_per_step == 4 * 96
    assert shared.gpu_hours == pytest.approx(10 * 4 * 96 / 100 / 3600)
    assert alone.gpu_hours is None
    assert any("GPU-hours" in line for line in shared.lines())


def test_a_running_mean_of_the_weights_takes_its_room():
    stage = UnevenStage()
    with_mean = replace(stage, training=replace(stage.training, ema_decay=0.9))
    assert plan(with_mean).optimiser_bytes == 1.5 * plan(stage).optimiser_bytes


def test_blocks_that_compute_again_keep_less():
    module = language_stage().sketch()
    batch = full_rows(module.model.vocabulary, 2, 96)
    kept = kept_bytes(module, lambda: module.hidden(batch))  # the logits of a small model outweigh its blocks
    recompute_activations(module)
    assert kept_bytes(module, lambda: module.hidden(batch)) < 0.5 * kept


@pytest.mark.parametrize("preset", ["tiny", "things"])
def test_every_stage_of_the_small_presets_can_be_planned(preset):
    for name in stage_names(preset):
        assert plan(stage_of(preset, name)).num_trained > 0, name


def test_a_plan_counts_rows_and_refuses_what_the_run_would_refuse():
    stage = replace(stage_of("tiny", "pretraining"), rows=3)
    assert plan(stage).tokens_per_step == 3 * stage.row_length
    adapted = replace(stage_of("tiny", "instruction_tuning"), lora=LoraOptions(rank=4))
    assert plan(adapted).activation_bytes is None
    with pytest.raises(ConfigError, match="muon with weights spread over processes"):
        plan(stage_of("things", "pretraining"), processes=2)
    with pytest.raises(ConfigError, match="cannot be cut"):
        plan(stage_of("tiny", "video_detokenizer"), processes=8)
