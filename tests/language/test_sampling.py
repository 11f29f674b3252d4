"""Guidance, temperature, top-k, top-p and random streams."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from videolavit.errors import ConfigError, GenerationError, PromptError
from videolavit.language.sampling import candidates, choose, guided
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators


def some_scores(batch: int = 3, ids: int = 40) -> torch.Tensor:
    return 3 * torch.randn(batch, ids, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0.7, top_k=0),
        SamplingOptions(temperature=1.3, top_k=7),
        SamplingOptions(top_k=0, top_p=0.6),
        SamplingOptions(temperature=2.0, top_k=11, top_p=0.8),
        SamplingOptions(top_k=1000, top_p=0.01),
    ],
)
def test_probabilities_are_those_of_transformers_processors(options: SamplingOptions):
    scores = some_scores().round()  # many ties
    processors = LogitsProcessorList([TemperatureLogitsWarper(options.temperature)])
    if options.top_k:
        processors.append(TopKLogitsWarper(options.top_k))
    if options.top_p < 1:
        scores = some_scores()  # how a sort orders ties is not defined
        processors.append(TopPLogitsWarper(options.top_p))
    expected = processors(torch.zeros(3, 1).long(), scores.clone()).softmax(-1)
    probabilities, columns = candidates(scores, options)
    torch.testing.assert_close(torch.zeros_like(scores).scatter(-1, columns, probabilities), expected)


def test_guidance_needs_no_normalisers():
    conditional, unconditional = some_scores(2), some_scores(4)[2:]
    expected = unconditional.log_softmax(-1) + 4.0 * (conditional.log_softmax(-1) - unconditional.log_softmax(-1))
    actual = guided(conditional, unconditional, 4.0)
    torch.testing.assert_close(actual.softmax(-1), expected.softmax(-1))
    assert torch.equal(actual.argmax(-1), expected.argmax(-1))


def test_guidance_of_one_is_the_conditional_branch():
    conditional, unconditional = some_scores(2), some_scores(4)[2:]
    assert torch.equal(guided(conditional, unconditional, 1.0), conditional)


def test_samples_have_the_probabilities():
    scores = torch.tensor([[0.0, 1.0, 2.0, -torch.inf, 0.5]])
    options = SamplingOptions(top_k=0)
    drawn = choose(scores.expand(20000, 5), options, sample_generators(0, 20000))
    shares = drawn.bincount(minlength=5) / 20000
    assert (shares - scores[0].softmax(-1)).abs().max() < 0.012  # 3.5 standard deviations of the largest share
    assert shares[3] == 0


def test_a_samples_stream_does_not_depend_on_the_batch():
    scores, options = some_scores(), SamplingOptions(top_k=5)
    together = choose(scores, options, sample_generators(7, 3))
    alone = [choose(scores[i : i + 1], options, sample_generators(7, 1, first=i)).item() for i in range(3)]
    assert together.tolist() == alone


def test_the_largest_random_number_draws_a_possible_id(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "rand", lambda batch: torch.full((batch,), 1 - 2**-24))
    scores = torch.tensor([[0.1, 0.3, 0.2, -torch.inf, -torch.inf]])
    assert choose(scores, SamplingOptions(top_k=0)).item() == 2


def test_greedy_takes_the_best_and_draws_nothing():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    scores = some_scores(1)
    assert torch.equal(choose(scores, SamplingOptions(greedy=True), [generator]), scores.argmax(-1))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("damage", [torch.nan, torch.inf])
@pytest.mark.parametrize("greedy", [True, False])
def test_logits_that_are_not_finite_are_an_error(damage: float, greedy: bool):
    scores = some_scores()
    scores[1, 5] = damage
    with pytest.raises(GenerationError, match="finite"):
        choose(scores, SamplingOptions(greedy=greedy))


def test_generators_are_counted():
    with pytest.raises(PromptError, match="2 generators for 3 samples"):
        choose(some_scores(), SamplingOptions(), sample_generators(0, 2))


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"guidance": -1.0},
        {"guidance": float("inf")},
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(values))):
        SamplingOptions(**values)


def test_options_of_another_type_are_taken_or_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    assert SamplingOptions(temperature=np.float32(0.5), top_k=np.int64(5)) == SamplingOptions(temperature=0.5, top_k=5)
    wrong: Any
    for name, wrong in (("temperature", "hot"), ("top_k", 2.5), ("top_k", True), ("top_p", None)):
        with pytest.raises(ConfigError, match=f"got {name}={wrong!r}, expected a (whole )?number"):
            SamplingOptions(**{name: wrong})


def test_text_cannot_be_guided():
    with pytest.raises(ConfigError, match="unconditional"):
        Sampling(text=SamplingOptions(guidance=2.0))


def test_defaults_are_the_releases():
    text_to_video, image_to_video = Sampling(), Sampling.image_to_video()
    assert (text_to_video.keyframe.guidance, text_to_video.motion.guidance) == (4.0, 7.0)
    assert (text_to_video.motion.greedy, image_to_video.motion.greedy) == (True, False)
    assert text_to_video.keyframe.top_k == 200
