"""Counted operations of a step against what torch counts while it runs."""

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training.small_language import make_shards

from videolavit.training.language_data import Shares
from videolavit.training.language_flops import sequence_lengths
from videolavit.training.language_loss import _ROWS_APART, LanguageModelSizes
from videolavit.training.loop import train
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.training_options import TrainingOptions

SIZES = LanguageModelSizes(width=64, mlp_width=128, layers=2, heads=4, context_length=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flops")
    make_shards(folder, features=False)
    return folder


def stage_of(folder, **options):
    settings = {"steps": 2, "batch_size": 8, "warmup_steps": 1, "images_every": 0, "precision": "float32"}
    return PretrainingStage(
        data=str(folder / "tokens"),
        text_tokenizer=str(folder / "text"),
        model=SIZES,
        shares=Shares(generate_video=1),
        visual_input="discrete",
        row_length=96,
        training=TrainingOptions(**settings | options),
    )


def test_lengths_leave_padding_out():
    segments = torch.tensor([[0, 0, 1, -1], [0, 0, 0, 0], [-1, -1, -1, -1]])
    assert sorted(sequence_lengths(segments).tolist()) == [1, 2, 4]


def test_operations_are_those_that_torch_counts(folder):
    stage = stage_of(folder)
    module, samples = stage.build(), stage.samples()
    batch = stage.collate([samples[draw] for draw in range(8)])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # a form that torch counts
        module(batch, 0)["loss"].backward()
    rows, columns = batch["ids"].shape
    # What runs computes padding as well, of rows and of what is learnt, and scores of all pairs of a row.
    matrices = sum(weight.numel() for weight in module.model.causal_lm.model.layers.parameters() if weight.ndim > 1)
    lengths = sequence_lengths(batch["segments"])
    wasted = 6 * matrices * (rows * columns - int(lengths.sum()))
    learnt = int((module.weights[batch["targets"][:, 1:]] > 0).sum())
    wasted += 6 * module.model.causal_lm.get_output_embeddings().weight.numel() * (-learnt % _ROWS_APART)
    attention = 2 * SIZES.layers * SIZES.width * float(lengths.double().square().sum())
    of_rows = 4 * SIZES.layers * SIZES.width * rows * columns**2
    expected = counter.get_total_flops() - wasted - 3 * (of_rows - attention)
    assert stage.flops(module, batch) == pytest.approx(expected, rel=0.01)


def test_frozen_weights_need_no_gradient_of_their_own(folder):
    stage = stage_of(folder)
    module, samples = stage.build(), stage.samples()
    batch = stage.collate([samples[draw] for draw in range(4)])
    whole = stage.flops(module, batch)
    module.requires_grad_(False)
    assert 0.6 * whole < stage.flops(module, batch) < 0.75 * whole


def test_the_share_of_the_peak_is_logged_where_it_is_known(folder, tmp_path):
    train(stage_of(folder, log_every=1, peak_teraflops=1e-3), tmp_path / "known", quiet=True)
    train(stage_of(folder, log_every=1), tmp_path / "unknown", quiet=True)
    known, unknown = (
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]) for name in ("known", "unknown")
    )
    assert known["mfu"] > 0
    assert "mfu" not in unknown
