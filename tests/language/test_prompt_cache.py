"""Prompts that begin like the last one are read from where they part."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from videolavit.language import slots
from videolavit.language.forward import LlamaForward
from videolavit.language.generate import stream
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions

BEGINNING = [1, *range(3, 23)]
TEXT, GUIDED_MOTION = Block.text(12), Block.motion(12)
SAMPLING = Sampling(text=SamplingOptions(greedy=True), motion=SamplingOptions(greedy=True, guidance=2.0))


def written(model: LanguageModel, prompts: list[list[int]], cache: PromptCache | None, block: Block = TEXT):
    ids = stream(model, [Prompt.from_ids(prompt) for prompt in prompts], [block], SAMPLING, prompt_cache=cache)
    return [(new.sample, new.id) for new in ids]


class PositionCounter:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, forward = 0, LlamaForward.__call__

        def counted(module: LlamaForward, embeddings: torch.Tensor, place: object) -> torch.Tensor:
            self.count += len(embeddings)
            return forward(module, embeddings, place)

        monkeypatch.setattr(LlamaForward, "__call__", counted)


@pytest.mark.parametrize("block", [TEXT, GUIDED_MOTION], ids=["text", "guided motion"])
@pytest.mark.parametrize(
    "prompts",
    [
        [[*BEGINNING, 30, 31]],
        [[*BEGINNING, 30, 31, 32, 33], [*BEGINNING, 40]],
        [[*BEGINNING, 40], [*BEGINNING[:12], 30, 31]],
        [BEGINNING[:5]],
        [BEGINNING],
        [[50, 51, 52]],
    ],
    ids=["longer", "two of different lengths", "one parts early", "shorter", "the same", "another"],
)
def test_a_prompt_after_another_gets_the_answer_it_would_get_alone(
    talker: LanguageModel, prompts: list[list[int]], block: Block
):
    cache = PromptCache()
    written(talker, [BEGINNING], cache, block)
    assert written(talker, prompts, cache, block) == written(talker, prompts, None, block)


def test_only_what_is_new_is_read(talker: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    cache = PromptCache()
    written(talker, [BEGINNING], cache)
    positions = PositionCounter(monkeypatch)
    steps = len(written(talker, [[*BEGINNING, 30, 31]], cache)) - 1
    assert positions.count == 2 + steps


def test_what_was_read_last_in_a_padded_batch_is_known_again(talker: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    cache = PromptCache()
    written(talker, [[1, 5, 6], BEGINNING], cache)
    positions = PositionCounter(monkeypatch)
    again = written(talker, [[1, 5, 6, 7]], cache)
    assert positions.count == 1 + len(again) - 1
    assert again == written(talker, [[1, 5, 6, 7]], None)


def test_a_cache_that_has_forgotten_knows_nothing(talker: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    cache = PromptCache()
    written(talker, [BEGINNING], cache)
    assert repr(cache) == "PromptCache(21 positions)"
    cache.forget()
    assert repr(cache) == "PromptCache(0 positions)"
    positions = PositionCounter(monkeypatch)
    steps = len(written(talker, [BEGINNING], cache)) - 1
    assert positions.count == len(BEGINNING) + steps


def test_several_prompts_are_remembered_and_the_oldest_is_forgotten(
    talker: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    cache = PromptCache(2)
    for start in (30, 40, 50):
        written(talker, [[start, *BEGINNING]], cache)
    read = {}
    for start in (50, 40, 30):
        positions = PositionCounter(monkeypatch)
        steps = len(written(talker, [[start, *BEGINNING, 60]], cache)) - 1
        read[start] = positions.count - steps
    assert read == {50: 1, 40: 1, 30: 23}


def test_a_prompt_that_another_thread_reads_meanwhile_changes_no_answer(
    talker: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    cache, asked = PromptCache(), [*BEGINNING, 30, 31]
    written(talker, [BEGINNING], cache)
    alone, groups = written(talker, [asked], None), slots._groups

    def grouped_behind_another(*arguments: list[int]) -> list[list[int]]:
        monkeypatch.setattr(slots, "_groups", groups)
        written(talker, [[70, 71, 72, 73]], cache)  # takes the place of what was found
        return groups(*arguments)

    monkeypatch.setattr(slots, "_groups", grouped_behind_another)
    assert written(talker, [asked], cache) == alone


def test_threads_that_share_a_cache_get_their_own_answers(talker: LanguageModel):
    cache = PromptCache()
    prompts = [[*BEGINNING, 30, 31], [*range(40, 60), 32, 33], [*BEGINNING[:10], 41, 42], [70, 71, 72]]
    alone = [written(talker, [prompt], None) for prompt in prompts]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: written(talker, [prompts[number % 4]], cache), range(64)))
    finally:
        sys.setswitchinterval(usual)
    assert found == alone * 16


def test_a_prompt_that_goes_on_from_a_kept_one_takes_its_place(talker: LanguageModel):
    cache = PromptCache(2)
    written(talker, [BEGINNING], cache)
    written(talker, [[*BEGINNING, 60, 61]], cache)
    assert repr(cache) == "PromptCache(23 positions)"
