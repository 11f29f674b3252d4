import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training.small_language import COLOURS, MOTION_IDS, QUESTIONS, make_shards, make_video
from transformers import LlamaForCausalLM

from videolavit.data.tokens import TokenReader
from videolavit.errors import CheckpointError, ConfigError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ImageInput, Text, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.stream_answer import answer
from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageModelSizes, build_causal_lm, grow_vocabulary
from videolavit.training.language_parts import load_language, load_text_model
from videolavit.training.loop import train
from videolavit.training.sequences import Target
from videolavit.training.stages.instruction_tuning import InstructionTuningStage, LoraOptions
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.training_options import TrainingOptions

SIZES = LanguageModelSizes(width=48, mlp_width=96, layers=2, heads=2, context_length=128)
EVERYTHING = Shares(
    generate_image=1, generate_video=2, describe_image=1, describe_video=1, answer_image=1, answer_video=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    make_shards(folder)
    return folder


def options(**changes):
    settings = {"steps": 30, "batch_size": 16, "learning_rate": 5e-3, "warmup_steps": 3, "log_every": 1}
    return TrainingOptions(**(settings | {"images_every": 0, "precision": "float32"} | changes))


def pretraining(folder, **changes):
    training = options(**changes.pop("training", {}))
    fields = {"data": str(folder / "tokens"), "text_tokenizer": str(folder / "text"), "model": SIZES}
    fields |= {"shares": EVERYTHING, "row_length": 128, "training": training}
    return PretrainingStage(**(fields | changes))


def tuning(folder, start, **changes):
    training = options(**changes.pop("training", {}))
    fields = {"data": str(folder / "tokens"), "text_tokenizer": str(folder / "text"), "model": SIZES}
    fields |= {"start_from": str(start), "row_length": 128, "training": training}
    return InstructionTuningStage(**(fields | {"shares": Shares(answer_image=1, answer_video=1)} | changes))


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def pretrained(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("pretrained")
    held_out = {"held_out_data": (str(folder / "tokens"),), "held_out_every": 65, "held_out_batches": 2}
    train(pretraining(folder, training={"steps": 130, "images_every": 130, **held_out}), run, quiet=True)
    return run


def test_the_loss_falls_and_every_modality_is_reported(pretrained):
    first, *_, last = [entry for entry in log(pretrained) if "loss" in entry]
    assert last["loss"] < 0.4 * first["loss"]
    half_way, end = [entry for entry in log(pretrained) if "held_out/loss" in entry]
    assert end["held_out/keyframe_nats"] < half_way["held_out/keyframe_nats"]
    # It is the data of training, so the two are near; weights differ by a step.
    assert end["held_out/loss"] == pytest.approx(last["loss"], rel=0.5)
    for name in ("keyframe", "motion", "moving", "caption", "answer"):
        assert last[f"{name}_nats"] < first[f"{name}_nats"], name
        assert last[f"{name}_accuracy"] > 0.3, name
    assert last["motion_of_uniform"] < 0.3
    assert (pretrained / "images" / "words-00000130.png").exists()


def test_what_is_measured_is_no_part_of_what_a_run_remembers(folder):
    stage = pretraining(folder)
    module = stage.build()
    batch = stage.first_batch(module, 4)
    module.train()
    module(batch, 0)
    module.tallies.mul_(0).add_(7)  # a run that has seen something else
    kept = {name: value.clone() for name, value in module.named_buffers()}
    module.eval()
    with torch.no_grad():
        told = module(batch, 0)
    for name, value in module.named_buffers():
        assert torch.equal(value, kept[name]), name
    with torch.no_grad():
        logits = module.model.logits(module.hidden(batch)[:, :-1])
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["ids"][:, 1:].flatten(), reduction="none")
    motion = (batch["targets"][:, 1:] == Target.MOTION).flatten()
    assert told["motion_nats"].item() == pytest.approx(nats[motion].mean().item(), rel=1e-4)
    batch["targets"][batch["targets"] == Target.MOTION] = Target.NONE
    with torch.no_grad():
        assert module(batch, 0)["motion_nats"].isnan(), "of which there is none"


def test_what_is_exported_draws_what_the_caption_says(pretrained):
    start = load_language(pretrained / "export")
    model = LanguageModel(start.causal_lm, start.vocabulary, start.text_tokenizer)
    prompts = [
        assemble([Text(f"a {colour} ball moves left")], start.vocabulary, model.text_tokenizer) for colour in COLOURS
    ]
    greedy = Sampling(keyframe=SamplingOptions(greedy=True), motion=SamplingOptions(greedy=True, guidance=2.0))
    drawn = generate(model, prompts, [Block.keyframe(3, 5), Block.motion(MOTION_IDS)], greedy)
    first = [int(start.vocabulary.visual_codes(one.blocks[0].ids)[0]) for one in drawn]
    assert first == [0, 1, 2, 3]
    assert all(start.vocabulary.motion_codes(one.blocks[1].ids).tolist() == [0, 1, 0, 1, 0] for one in drawn)


def test_what_is_exported_answers_from_features(pretrained):
    start = load_language(pretrained / "export")
    model = LanguageModel(start.causal_lm, start.vocabulary, start.text_tokenizer)
    said = []
    for number in range(100, 104):
        features = make_video(number, start.vocabulary).clips[0].features.float()
        projected = features @ start.projection["weight"].T + start.projection["bias"]
        turn = Turn(question=QUESTIONS[0], media=(ImageInput(features=projected),))
        said += answer(model, [conversation([turn], start.vocabulary, model.text_tokenizer)], max_new_tokens=8)
    assert said == list(COLOURS)


def test_resume_is_exact(folder, tmp_path):
    short = {"steps": 12, "checkpoint_every": 4, "batch_size": 8}
    stage = pretraining(folder, training={**short, "precision": "bf16", "ema_decay": 0.9})
    whole = load_file(train(stage, tmp_path / "whole", quiet=True) / "language_model.safetensors")
    stop_at = [9]

    class Stopping(PretrainingStage):
        def check(self, metrics, step):
            if step in stop_at:
                raise KeyboardInterrupt

    values = {field.name: getattr(stage, field.name) for field in fields(stage)}
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(**values), tmp_path / "stopped", quiet=True)
    resumed = load_file(train(stage, tmp_path / "stopped", quiet=True) / "language_model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_discrete_visual_input_needs_no_features(tmp_path):
    make_shards(tmp_path, features=False)
    stage = pretraining(tmp_path, visual_input="discrete", training={"steps": 3})
    export = train(stage, tmp_path / "run", quiet=True)
    assert load_language(export).projection is None
    with pytest.raises(ConfigError, match="hold no features"):
        train(pretraining(tmp_path, training={"steps": 3}), tmp_path / "continuous", quiet=True)


def test_plain_text_is_learnt_from_a_file(folder, tmp_path):
    (tmp_path / "texts.txt").write_text("the cat sat on the mat\n\nthe dog ran\n")
    stage = pretraining(folder, shares=Shares(words=1), texts=str(tmp_path / "texts.txt"))
    train(stage, tmp_path / "run", quiet=True)
    first, *_, last = log(tmp_path / "run")
    assert last["words_nats"] < 0.5 * first["words_nats"]
    with pytest.raises(ConfigError, match="no file"):
        pretraining(folder, shares=Shares(words=1)).samples()


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 4], ids=["all weights", "LoRA"])
def test_tuning_learns_answers_alone(folder, pretrained, tmp_path, rank):
    stage = tuning(folder, pretrained / "export", lora=LoraOptions(rank=rank))
    export = train(stage, tmp_path, quiet=True)
    first, *_, last = log(tmp_path)
    assert last["answer_nats"] < first["answer_nats"]
    before, after = (load_file(path / "language_model.safetensors") for path in (pretrained / "export", export))
    assert before.keys() == after.keys(), "adapters are merged"
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.layers.1.self_attn.q_proj.weight" in changed
    assert ("model.embed_tokens.weight" in changed) == (rank == 0)


def test_a_resumed_lora_run_is_exact(folder, pretrained, tmp_path):
    stage = tuning(
        folder, pretrained / "export", lora=LoraOptions(rank=2), training={"steps": 8, "checkpoint_every": 4}
    )
    whole = load_file(train(stage, tmp_path / "whole", quiet=True) / "language_model.safetensors")
    for name in ("checkpoints/step-00000008", "export"):
        for path in sorted((tmp_path / "whole" / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / "whole" / name).rmdir()
    resumed = load_file(train(stage, tmp_path / "whole", quiet=True) / "language_model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_text_model_gets_rows_like_those_of_words(folder, tmp_path):
    reader = TokenReader(folder / "tokens")
    torch.manual_seed(0)
    config = build_causal_lm(replace(SIZES, tied=True), reader.vocabulary).config
    config.vocab_size = num_words = reader.vocabulary.num_text
    causal_lm = LlamaForCausalLM(config)
    with torch.no_grad():
        causal_lm.get_input_embeddings().weight.mul_(3).add_(0.5)
    causal_lm.save_pretrained(tmp_path / "text_model")
    grown = load_text_model(tmp_path / "text_model")
    grow_vocabulary(grown, reader.vocabulary)
    table = grown.get_input_embeddings().weight
    words, others = table[:num_words], table[num_words:]
    assert len(table) == reader.vocabulary.size
    assert torch.equal(words, causal_lm.get_input_embeddings().weight)
    assert others.mean().item() == pytest.approx(words.mean().item(), abs=0.01)
    assert others.std().item() == pytest.approx(words.std().item(), rel=0.1)
    assert grown.get_output_embeddings().weight is table
    stage = pretraining(folder, start_from=str(tmp_path / "text_model"), training={"steps": 3})
    assert load_language(train(stage, tmp_path / "run", quiet=True)).vocabulary == reader.vocabulary


def test_a_start_that_does_not_fit_is_refused(folder, pretrained, tmp_path):
    make_shards(tmp_path)
    reader = TokenReader(tmp_path / "tokens")
    other = replace(reader.vocabulary, num_motion_codes=17)
    for about in (tmp_path / "tokens").glob("*.tokens.json"):
        about.write_text(about.read_text().replace('"num_motion_codes": 16', '"num_motion_codes": 17'))
    assert TokenReader(tmp_path / "tokens").vocabulary == other
    with pytest.raises(ConfigError, match=r"num_motion_codes=16.*num_motion_codes=17"):
        tuning(tmp_path, pretrained / "export").build()
    with pytest.raises(CheckpointError, match="no such folder"):
        tuning(tmp_path, tmp_path / "nothing").build()


def test_alarms_tell_what_a_loss_does_not(folder):
    stage = pretraining(folder)
    fine = {"motion_of_uniform": 0.2, "keyframe_of_uniform": 0.9, "motion_nats": 1.0, "moving_as_still": 0.2}
    assert stage.check(fine, 1000) is None
    assert "collapsed" in stage.check(fine | {"moving_as_still": 0.97}, 1000)
    assert "no better than guessing" in stage.check(fine | {"motion_of_uniform": 0.99}, 1000)
    assert stage.check(fine | {"motion_of_uniform": 0.99}, 10) is None


def test_a_model_that_only_says_still_is_seen_in_the_report(folder):
    stage = pretraining(folder, shares=Shares(generate_video=1), prompt_dropout=0.0)
    torch.manual_seed(0)
    module = stage.build()
    with torch.no_grad():  # a head that always says motion code 0
        head = module.model.causal_lm.get_output_embeddings().weight
        head.zero_()
        module.model.causal_lm.get_decoder().norm.weight.zero_()
        head[module.model.vocabulary.motion_range.start] = 1
        module.model.logits = lambda hidden: torch.nn.functional.one_hot(
            torch.full(hidden.shape[:-1], module.model.vocabulary.motion_range.start), module.model.vocabulary.size
        ).float()
    samples = stage.samples()
    report = module(stage.collate([samples[draw] for draw in range(16)]), 0)
    assert report["moving_as_still"] == 1
    assert report["moving_accuracy"] == 0
    assert report["motion_accuracy"] == pytest.approx(0.6)


def test_the_defaults_are_those_of_the_paper():
    stage = PretrainingStage()
    training = stage.training
    assert (training.steps, training.batch_size, training.warmup_steps) == (30_000, 2048, 2000)
    assert (training.learning_rate, training.betas, training.weight_decay) == (2e-5, (0.9, 0.95), 0.1)
    assert (stage.row_length, stage.model.width, stage.model.layers) == (2048, 4096, 32)
    words, media = stage.shares.words, sum((2, 2, 1, 1))
    assert media == 2 * words, "text to vision-language data is advised to be 1:2"
    assert np.isclose(stage.prompt_dropout, 0.1)
