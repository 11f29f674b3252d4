"""Decoding: prompts in, ids out, one forward per step for the whole batch (reference section 7).

Lists of prompts that are continued together, on top of `videolavit.language.engine`, which says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from videolavit.errors import PromptError
from videolavit.language.engine import DecodingEngine, GenerationRequest, RunningRequest, evaluating
from videolavit.language.grammar import Block, Generated, GeneratedBlock, NewId
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling

__all__ = ["Generated", "GeneratedBlock", "NewId", "generate", "stream"]


def generate(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    blocks: Sequence[Block],
    sampling: Sampling | None = None,
    generators: Sequence[torch.Generator] | None = None,
    should_stop: Callable[[NewId], bool] | None = None,
    negative_prompts: Sequence[Prompt | None] | None = None,
) -> list[Generated]:
    """Write `blocks` after every prompt; takes and raises what `stream` does."""
    engine, requests = _start(model, prompts, blocks, sampling, generators, None, negative_prompts)
    for _ in _run(engine, requests, should_stop):
        pass
    return [request.result() for request in requests]


def stream(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    blocks: Sequence[Block],
    sampling: Sampling | None = None,
    generators: Sequence[torch.Generator] | None = None,
    should_stop: Callable[[NewId], bool] | None = None,
    prompt_cache: PromptCache | None = None,
    negative_prompts: Sequence[Prompt | None] | None = None,
) -> Iterator[NewId]:
    """Write `blocks` after every prompt and give each id as it comes, special tokens included.

    Where the context comes to its end, keyframes and texts are kept short enough for all later blocks to fit.

    Args:
        model: the language model; it is in evaluation mode while this runs.
        prompts: one or more, of any lengths; special tokens open keyframes and motion, so a prompt ends before.
        blocks: what to write, the same for every prompt.
        sampling: how ids are chosen; by default as the released model does for text to video.
        generators: one per prompt, the only source of randomness of that prompt; None takes torch's global one.
        should_stop: called with every id; True ends that sample after it. To end all, stop iterating.
        prompt_cache: prompts are read from where they part from one in there, and the first one is kept in it.
        negative_prompts: one or None for each prompt; guided blocks step away from what follows it, and not from what
            follows nothing.

    Raises:
        PromptError: no prompt, a prompt too long for the context, features of another width, or another number of
            generators or negative prompts than of prompts.
        VocabularyError: an id of a prompt is not in the vocabulary.
        GenerationError: the model's logits are not finite.
    """
    engine, requests = _start(model, prompts, blocks, sampling, generators, prompt_cache, negative_prompts)
    return _run(engine, requests, should_stop)


def _start(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    blocks: Sequence[Block],
    sampling: Sampling | None,
    generators: Sequence[torch.Generator] | None,
    prompt_cache: PromptCache | None,
    negative_prompts: Sequence[Prompt | None] | None,
) -> tuple[DecodingEngine, list[RunningRequest]]:
    _check(prompts, generators, negative_prompts)
    nothing = [None] * len(prompts)
    engine = DecodingEngine(model, slots=len(prompts), prompt_cache=prompt_cache)
    requests = [
        GenerationRequest(
            prompt=prompt,
            negative_prompt=negative,
            blocks=blocks,
            sampling=sampling or Sampling(),
            generator=generator,
        )
        for prompt, negative, generator in zip(prompts, negative_prompts or nothing, generators or nothing, strict=True)
    ]
    return engine, [engine.submit(request) for request in requests]


def _run(
    engine: DecodingEngine, requests: Sequence[RunningRequest], should_stop: Callable[[NewId], bool] | None
) -> Iterator[NewId]:
    with evaluating(engine.model):
        while engine.busy:
            new_ids = engine.step()
            for request in requests:
                if request.error is not None:
                    raise request.error
            for new in new_ids:
                yield new
                if should_stop is not None and should_stop(new):
                    engine.cancel(requests[new.sample])


def _check(
    prompts: Sequence[Prompt],
    generators: Sequence[torch.Generator] | None,
    negative_prompts: Sequence[Prompt | None] | None,
) -> None:
    if not prompts:
        raise PromptError("got no prompt, expected at least one")
    for name, given in (("generators", generators), ("negative prompts", negative_prompts)):
        if given is not None and len(given) != len(prompts):
            raise PromptError(f"got {len(given)} {name} for {len(prompts)} prompts, expected one for each")
