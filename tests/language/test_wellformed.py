"""Nothing malformed can be generated, whatever the weights and options."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

import jaxtyping
import pytest
import torch

from videolavit.language.generate import generate
from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators
from videolavit.vocabulary import Vocabulary

BATCH = 250


def letters(ids: Sequence[int], vocabulary: Vocabulary) -> str:
    """One letter an id: v and m for codes, brackets for marks, $ for the end of text, t for other text."""
    marks = {
        vocabulary.image_start: "[",
        vocabulary.image_end: "]",
        vocabulary.motion_start: "(",
        vocabulary.motion_end: ")",
        vocabulary.text_end: "$",
    }
    kinds = {**dict.fromkeys(vocabulary.text_range, "t"), **dict.fromkeys(vocabulary.visual_range, "v")}
    kinds |= dict.fromkeys(vocabulary.motion_range, "m")
    return "".join((kinds | marks)[new_id] for new_id in ids)


def pattern(blocks: Sequence[Block]) -> str:
    shapes = {Modality.KEYFRAME: r"\[v{%d,%d}\]", Modality.MOTION: r"\(m{%d,%d}\)", Modality.TEXT: r"t{%d,%d}\$"}
    return "".join(shapes[block.modality] % (block.min_ids, block.max_ids) for block in blocks)


def some_options(chance: random.Random, guided: bool = True) -> SamplingOptions:
    return SamplingOptions(
        greedy=chance.random() < 0.1,
        temperature=chance.choice([0.3, 1.0, 5.0]),
        top_k=chance.choice([0, 1, 5, 200]),
        top_p=chance.choice([0.2, 0.9, 1.0]),
        guidance=chance.choice([0.0, 1.0, 4.0, 30.0]) if guided else 1.0,
    )


def some_blocks(chance: random.Random) -> list[Block]:
    least = chance.randint(1, 6)
    keyframe = Block.keyframe(least, chance.randint(least, 12))
    clips = [keyframe, Block.motion(chance.randint(1, 8))] * chance.randint(1, 2)
    return chance.choice([clips, clips[1:], [*clips, Block.text(5)], [Block.text(9)], [Block.text(3), *clips]])


@pytest.fixture(autouse=True)
def _without_shape_checks() -> Iterator[None]:
    """Other tests check shapes; here they would take most of the time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_a_thousand_sequences_are_well_formed(make_model: Callable[..., LanguageModel]):
    for seed in range(100, 104):
        check_batch(seed, make_model)


@pytest.mark.slow  # 6 s on an idle core, 26 s on a busy one
def test_ten_thousand_sequences_are_well_formed(make_model: Callable[..., LanguageModel]):
    lengths = set()
    for seed in range(10_000 // BATCH):
        lengths |= check_batch(seed, make_model)
    assert len(lengths) > 30, "a check of a few lengths only would show little"


def check_batch(seed: int, make_model: Callable[..., LanguageModel]) -> set[int]:
    chance = random.Random(seed)
    blocks = some_blocks(chance)
    longest_prompt = 6
    shortest = sum(block.shortest for block in blocks)
    model = make_model(seed, context=longest_prompt + shortest + chance.choice([0, 3, 100]), dtype=torch.float32)
    prompts = [
        Prompt.from_ids(chance.choices(range(model.vocabulary.size), k=chance.randint(1, longest_prompt)))
        for _ in range(BATCH)
    ]
    sampling = Sampling(
        keyframe=some_options(chance), motion=some_options(chance), text=some_options(chance, guided=False)
    )
    drawn = generate(model, prompts, blocks, sampling, sample_generators(seed, BATCH))
    expected = re.compile(pattern(blocks))
    for prompt, sample in zip(prompts, drawn, strict=True):
        assert expected.fullmatch(letters(sample.ids.tolist(), model.vocabulary)), (seed, sample)
        assert len(prompt) + len(sample.ids) <= model.context_length
        assert sample.finished
        assert torch.equal(torch.cat([block.ids for block in sample.blocks]), without_marks(sample.ids, blocks, model))
    return {len(sample.ids) for sample in drawn}


def without_marks(ids: torch.Tensor, blocks: Sequence[Block], model: LanguageModel) -> torch.Tensor:
    marks = {mark for block in blocks for mark in (block.opening(model.vocabulary), block.closing(model.vocabulary))}
    return torch.tensor([new_id for new_id in ids.tolist() if new_id not in marks], dtype=torch.long)
