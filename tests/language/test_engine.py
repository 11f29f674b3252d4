"""Continuous batching: requests that come and go beside one another get what they would get alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from videolavit.errors import ConfigError, GenerationError, PromptError, VocabularyError
from videolavit.language import fixed_step, static_cache
from videolavit.language.engine import DecodingEngine, GenerationRequest, RunningRequest
from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators

VIDEO = (Block.keyframe(3, 12), Block.motion(5)) * 2
GUIDED = Sampling(
    keyframe=SamplingOptions(guidance=3.0, top_k=8),
    motion=SamplingOptions(guidance=2.0, top_p=0.9, top_k=0),
    text=SamplingOptions(top_k=5),
)
PLAIN = Sampling(keyframe=SamplingOptions(temperature=0.7), motion=SamplingOptions(), text=SamplingOptions(greedy=True))


def request(number: int, **changes: object) -> GenerationRequest:
    """One of a varied row of requests: guided videos, plain keyframes, motion alone and answers."""
    blocks = [VIDEO, (Block.text(9),), (Block.keyframe(1, 6),), (Block.motion(5), Block.keyframe(2, 4))][number % 4]
    [generator] = sample_generators(7, 1, first=number)
    values = {
        "prompt": Prompt.from_ids([3 + number % 9, *range(3, 4 + number % 5)]),
        "blocks": blocks,
        "sampling": GUIDED if number % 3 else PLAIN,
        "negative_prompt": Prompt.from_ids(range(3, 5 + number % 7)) if number % 5 == 2 else None,
        "generator": generator,
    }
    return GenerationRequest(**{**values, **changes})


def alone(model: LanguageModel, number: int) -> list[int]:
    wish = request(number)
    negative = [wish.negative_prompt]
    [drawn] = generate(model, [wish.prompt], wish.blocks, wish.sampling, [wish.generator], negative_prompts=negative)
    return drawn.ids.tolist()


def run(engine: DecodingEngine) -> int:
    steps = 0
    while engine.busy:
        engine.step()
        steps += 1
        assert steps < 1000
    return steps


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("slots", "admit_every"), [(1, 1), (3, 1), (3, 3), (16, 1)])
def test_requests_get_the_same_alone_and_in_company(model: LanguageModel, slots: int, graphs: bool, admit_every: int):
    engine = DecodingEngine(model, slots=slots, graphs=graphs, admit_every=admit_every)
    requests: list[RunningRequest] = []
    for number in range(14):
        requests.append(engine.submit(request(number)))
        engine.step()  # so each one meets the others at another place
    run(engine)
    assert [running.ids for running in requests] == [alone(model, number) for number in range(14)]
    assert all(running.done and running.finished for running in requests)


def test_slots_are_filled_at_every_id_and_never_more_than_there_are(model: LanguageModel):
    engine = DecodingEngine(model, slots=3)
    requests = [engine.submit(request(number)) for number in range(8)]
    assert (len(engine.running), len(engine.waiting)) == (0, 8)
    most = 0
    while engine.busy:
        new = engine.step()
        assert len(new) == len({item.sample for item in new})
        assert [item.sample for item in new] == sorted(item.sample for item in new)
        if engine.waiting:
            assert len(new) == 3
        most = max(most, len(engine.running))
    assert most == 3
    assert all(running.finished for running in requests)
    assert engine.step() == []


def test_requests_that_come_one_by_one_may_begin_together(model: LanguageModel):
    engine = DecodingEngine(model, slots=3, admit_every=3)
    first = engine.submit(request(0))
    engine.step()
    assert engine.running == (first,)  # nothing runs, so nothing is waited for
    second = engine.submit(request(1))
    engine.step()
    third = engine.submit(request(2))
    assert (engine.running, engine.waiting) == ((first,), (second, third))
    engine.step()
    assert (engine.running, engine.waiting) == ((first, second, third), ())
    run(engine)
    assert [one.ids for one in (first, second, third)] == [alone(model, number) for number in range(3)]


def test_a_cancelled_request_frees_its_slot_before_the_next_id(model: LanguageModel):
    engine = DecodingEngine(model, slots=2)
    first, second, third = (engine.submit(request(number)) for number in (0, 4, 1))
    engine.step()
    engine.step()
    engine.cancel(first)
    assert engine.running == (second,)
    assert {new.sample for new in engine.step()} == {second.number, third.number}
    engine.cancel(first)  # once more changes nothing
    run(engine)
    assert first.done
    assert first.cancelled
    assert not first.finished
    assert first.ids == alone(model, 0)[:2]
    assert (second.ids, third.ids) == (alone(model, 4), alone(model, 1))


def test_a_request_can_be_cancelled_while_it_waits(model: LanguageModel):
    engine = DecodingEngine(model, slots=1)
    first, second = engine.submit(request(0)), engine.submit(request(1))
    engine.cancel(second)
    assert engine.waiting == (first,)
    run(engine)
    assert second.ids == []
    assert first.ids == alone(model, 0)


def test_requests_whose_prompts_could_not_be_read_can_be_cancelled(model: LanguageModel, monkeypatch):
    """As where memory is short: they have left the line and have no slot, and the next ones are not disturbed."""
    engine = DecodingEngine(model, slots=3)
    lost = [engine.submit(request(number)) for number in (0, 1)]
    with monkeypatch.context() as patched:
        patched.setattr(engine._slots, "read", lambda prompts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.step()
    for running in lost:
        engine.cancel(running)
    assert all(running.cancelled for running in lost)
    assert not engine.busy
    after = engine.submit(request(2))
    run(engine)
    assert after.ids == alone(model, 2)


def test_a_thousand_come_and_go_without_the_cache_growing(model: LanguageModel):
    engine = DecodingEngine(model, slots=4)
    for number in range(8):
        engine.submit(request(number))
    run(engine)
    size = engine._slots.cache.tensor.shape
    for number in range(200):
        running = engine.submit(request(number, blocks=(Block.motion(2),)))
        engine.step()
        if number % 3 == 0:
            engine.cancel(running)
    run(engine)
    assert engine._slots.cache.tensor.shape == size
    assert engine._slots.running == engine._slots.guided == []


def test_logits_that_are_not_finite_end_the_request_that_has_them(model: LanguageModel):
    motion = model.vocabulary.motion_range
    model.causal_lm.lm_head.weight.data[motion.start : motion.stop] = torch.nan
    engine = DecodingEngine(model, slots=4)
    video, answer = engine.submit(request(0)), engine.submit(request(1))
    run(engine)
    assert isinstance(video.error, GenerationError)
    assert video.done
    assert not video.finished
    assert answer.finished
    assert answer.ids == alone(model, 1)
    with pytest.raises(GenerationError, match="finite"):
        video.result()


def test_one_damaged_row_does_not_end_its_like(model: LanguageModel):
    model.causal_lm.get_input_embeddings().weight.data[11] = torch.nan
    engine = DecodingEngine(model, slots=4)
    block = (Block.motion(5),)
    prompts = [[3, 4], [3, 11], [5, 6]]
    requests = [engine.submit(request(3, prompt=Prompt.from_ids(ids), blocks=block)) for ids in prompts]
    run(engine)
    assert [running.error is None for running in requests] == [True, False, True]
    assert [running.finished for running in requests] == [True, False, True]


def test_what_cannot_run_is_refused_at_once(make_model: Callable[..., LanguageModel]):
    engine = DecodingEngine(make_model(context=30), slots=2)
    with pytest.raises(PromptError, match="context has room"):
        engine.submit(request(0, prompt=Prompt.from_ids([3] * 29)))
    with pytest.raises(VocabularyError, match="from 3 to 99"):
        engine.submit(request(0, prompt=Prompt.from_ids([3, 99])))
    with pytest.raises(PromptError, match="width 8"):
        engine.submit(request(0, prompt=Prompt(parts=(torch.ones(2, 8),))))
    assert not engine.busy
    with pytest.raises(ConfigError, match="0 slots"):
        DecodingEngine(make_model(), slots=0)
    with pytest.raises(ConfigError, match="every 0 steps"):
        DecodingEngine(make_model(), admit_every=0)


def test_log_probabilities_are_those_of_the_model(model: LanguageModel):
    engine = DecodingEngine(model, slots=3)
    asked = engine.submit(request(1, logprobs=3, sampling=PLAIN))
    engine.submit(request(5, sampling=PLAIN))
    run(engine)
    ids = asked.request.prompt.ids.tolist()
    for new in asked.new_ids:
        with torch.no_grad():
            logits = model.causal_lm(torch.tensor([ids])).logits[0, -1]
        allowed = logits[model.vocabulary.text_range.start : model.vocabulary.text_range.stop].log_softmax(-1)
        if new.id == model.vocabulary.text_end and new.logprob == 0.0:
            break  # forced at the end of the block
        best = allowed.topk(3)
        assert new.logprob == pytest.approx(float(allowed[new.id - model.vocabulary.text_range.start]), abs=1e-5)
        assert [id_ for id_, _ in new.top] == [int(column) for column in best.indices]
        assert [value for _, value in new.top] == pytest.approx(best.values.tolist(), abs=1e-5)
        ids.append(new.id)
    assert len(ids) > len(asked.request.prompt) + 2


def test_ids_that_may_not_come_yet_are_no_alternatives(model: LanguageModel):
    engine = DecodingEngine(model)
    asked = engine.submit(request(0, logprobs=100))
    run(engine)
    opening, first, *_ = asked.new_ids
    assert opening.top == ((opening.id, 0.0),)
    assert model.vocabulary.image_end not in [id_ for id_, _ in first.top]
    assert len(first.top) == 24
    assert sum(torch.tensor([value for _, value in first.top]).exp().tolist()) == pytest.approx(1, abs=1e-5)


def test_log_probabilities_change_no_choice(model: LanguageModel):
    engine = DecodingEngine(model)
    with_them = engine.submit(request(0, logprobs=2))
    run(engine)
    assert with_them.ids == alone(model, 0)
    assert all(new.logprob is None for new in engine_without(model).new_ids)


def engine_without(model: LanguageModel) -> RunningRequest:
    engine = DecodingEngine(model)
    running = engine.submit(request(0))
    run(engine)
    return running


def test_prompts_of_one_engine_go_on_from_one_another(model: LanguageModel):
    engine = DecodingEngine(model, slots=2, prompt_cache=PromptCache(4))
    prompts = [[3, 4, 5, 6], [3, 4, 5, 6, 7, 8], [3, 4, 9], [5, 5]]
    requests = [
        engine.submit(request(number, prompt=Prompt.from_ids(ids), blocks=VIDEO)) for number, ids in enumerate(prompts)
    ]
    run(engine)
    for number, (ids, running) in enumerate(zip(prompts, requests, strict=True)):
        wish = request(number, prompt=Prompt.from_ids(ids))
        negative = [wish.negative_prompt]
        [drawn] = generate(model, [wish.prompt], VIDEO, wish.sampling, [wish.generator], negative_prompts=negative)
        assert running.ids == drawn.ids.tolist()


def test_two_engines_of_one_model_do_not_meet(model: LanguageModel):
    engines = [DecodingEngine(model, slots=2) for _ in range(2)]
    requests = [engine.submit(request(number)) for number in range(4) for engine in [engines[number % 2]]]
    while any(engine.busy for engine in engines):
        for engine in engines:
            engine.step()
    assert [running.ids for running in requests] == [alone(model, number) for number in range(4)]


def test_a_training_model_computes_steps_in_evaluation_mode_and_is_put_back(model: LanguageModel):
    model.train()
    engine = DecodingEngine(model)
    engine.submit(request(0))
    run(engine)
    assert model.training
    assert model.causal_lm.training


def test_steps_of_fixed_sizes_are_made_once_for_each_size_and_anew_for_other_weights(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    made: list[tuple[int, int]] = []
    build = fixed_step._FixedPlace.__init__

    def noted(place: Any, cache: Any, rows: int, columns: int) -> None:
        made.append((rows, columns))
        build(place, cache, rows, columns)

    monkeypatch.setattr(fixed_step._FixedPlace, "__init__", noted)
    monkeypatch.setattr(fixed_step, "LEAST_COLUMNS", 8)
    monkeypatch.setattr(static_cache, "COLUMNS_PER_CHUNK", 64)
    engine = DecodingEngine(model, slots=3, graphs=True)
    requests = [engine.submit(request(number)) for number in (1, 5, 9)]
    run(engine)
    assert [running.ids for running in requests] == [alone(model, number) for number in (1, 5, 9)]
    assert len(made) == len(set(made))
    assert set(made) <= {(1, 8), (1, 16), (2, 8), (2, 16), (4, 8), (4, 16)}
    seen = len(made)
    model.causal_lm.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(
        2 * model.causal_lm.model.layers[0].mlp.up_proj.weight.data
    )
    other = engine.submit(request(1))
    run(engine)
    assert other.ids == alone(model, 1)
    assert len(made) > seen


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_graphs_on_a_gpu_give_the_ids_of_eager_steps(model: LanguageModel):
    model.to("cuda")
    engines = [DecodingEngine(model, slots=4, graphs=graphs) for graphs in (False, True)]
    ids = []
    for engine in engines:
        requests = [engine.submit(request(number)) for number in range(9)]
        run(engine)
        ids.append([running.ids for running in requests])
    assert ids[0] == ids[1]
