"""Continuous batching: requests come and go at every id, one forward per step for all that run (reference section 7).

Each request walks through its own blocks (`videolavit.language.grammar`) with its own sampling and its own random
stream: one may write motion while another is in the middle of an answer. What a request gets does not depend on what
runs beside it. The engine knows nothing of servers and threads; one thread at a time calls it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.errors import ConfigError, GenerationError, PromptError
from videolavit.language.grammar import Block, Generated, NewId, Walk, generated
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.sampling import choose, guided
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.language.slots import Slot, Slots

__all__ = ["DecodingEngine", "GenerationRequest", "RunningRequest", "evaluating"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GenerationRequest:
    """One prompt and what is to be written after it."""

    prompt: Prompt
    blocks: Sequence[Block]
    sampling: Sampling = field(default_factory=Sampling)
    negative_prompt: Prompt | None = None
    """Read in front of the unconditional branch of guided blocks, which else begins with their special token."""
    generator: torch.Generator | None = None
    """The only source of randomness of this request; None takes torch's global one."""
    logprobs: int | None = None
    """Number of likeliest ids that each new id comes with; None computes no log-probability."""


class RunningRequest:
    """A request in the engine, from `submit` on."""

    def __init__(self, number: int, request: GenerationRequest, walk: Walk):
        self.number, self.request, self.walk = number, request, walk
        self.new_ids: list[NewId] = []
        self.error: GenerationError | None = None
        """Why it ended before its time."""
        self.cancelled = False

    def __repr__(self) -> str:
        return f"RunningRequest({self.number}, {len(self.new_ids)} ids, {'done' if self.done else 'not done'})"

    @property
    def ids(self) -> list[int]:
        """Ids so far, special tokens included."""
        return [new.id for new in self.new_ids]

    @property
    def finished(self) -> bool:
        """True if every block was written."""
        return self.walk.finished

    @property
    def done(self) -> bool:
        """True if nothing more will come."""
        return self.finished or self.cancelled or self.error is not None

    def result(self) -> Generated:
        """Ids that were written.

        Raises:
            GenerationError: the model's logits were not finite.
        """
        if self.error is not None:
            raise self.error
        return generated(self.new_ids, self.walk)


class DecodingEngine:
    """Runs up to `slots` requests side by side; further ones wait in line."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        slots: int = 16,
        prompt_cache: PromptCache | None = None,
        graphs: bool = False,
        admit_every: int = 1,
    ):
        """Prepare; memory is taken as it is needed: a request takes keys and values of prompt and ids so far, a guided
        one a second row as long.

        Args:
            model: the language model; it is in evaluation mode while a step runs.
            slots: most requests that run at once.
            prompt_cache: prompts are read from where they part from one in there, and are kept in it.
            graphs: replay steps as CUDA graphs, with sizes rounded up to powers of two; on a CPU the same steps without
                a graph. Backbones that go through transformers' forward take no part.
            admit_every: steps between two times at which waiting requests get their slots while others run. Prompts
                that start together are read in one pass, which takes hardly longer than that of one short prompt.

        Raises:
            ConfigError: there is not even one slot, or no step between.
        """
        if slots < 1 or admit_every < 1:
            raise ConfigError(f"got {slots} slots, admitted every {admit_every} steps, expected at least 1 of both")
        self.model = model
        self._admit_every, self._steps = admit_every, 0
        self._slots = Slots(model, slots, prompt_cache, graphs)
        self._line: deque[RunningRequest] = deque()
        self._submitted = 0

    @property
    def running(self) -> tuple[RunningRequest, ...]:
        """Requests that have a slot, in the order in which they came."""
        return tuple(sorted((slot.owner for slot in self._slots.running), key=lambda request: request.number))

    @property
    def waiting(self) -> tuple[RunningRequest, ...]:
        """Requests in line."""
        return tuple(self._line)

    @property
    def busy(self) -> bool:
        """True if a step would do anything."""
        return bool(self._slots.running or self._line)

    def submit(self, request: GenerationRequest) -> RunningRequest:
        """Put a request in line; it starts in the first step that has a slot for it.

        Raises:
            PromptError: the prompt or the negative one is too long for the context, or has features of another width.
            VocabularyError: an id of one of them is not in the vocabulary.
        """
        self.model.check(request.prompt)
        _check_negative(self.model, request)
        room = self.model.context_length - len(request.prompt)
        running = RunningRequest(self._submitted, request, Walk(request.blocks, self.model.vocabulary, room))
        self._submitted += 1
        self._line.append(running)
        return running

    def cancel(self, running: RunningRequest) -> None:
        """End a request; its slot is free at once. One that is done stays as it is."""
        if running.done:
            return
        running.cancelled = True
        if running in self._line:
            self._line.remove(running)
        else:
            self._release(running)

    def step(self) -> list[NewId]:
        """Start what waits and has a slot, and write one id of every request, in the order in which they came.

        A request whose logits are not finite ends with `error`; the others go on.
        """
        with evaluating(self.model), torch.inference_mode():
            self._steps += 1
            if self._slots.running:
                self._slots.go_on()
            if not self._slots.running or self._steps % self._admit_every == 0:
                self._admit()
            chosen = self._choose()
            return [self._take(slot, chosen[slot]) for slot in sorted(chosen, key=lambda slot: slot.owner.number)]

    def _admit(self) -> None:
        new = []
        while self._line and len(self._slots.running) + len(new) < self._slots.num_slots:
            running = self._line.popleft()
            negative = running.request.negative_prompt
            slot = Slot(owner=running, negative_prompt=None if negative is None else self.model.embed(negative))
            new.append((slot, self.model.embed(running.request.prompt)))
        if new:
            self._slots.read(new)

    def _choose(self) -> dict[Slot, NewId]:
        """The next id of every slot."""
        chosen: dict[Slot, NewId] = {}
        groups: dict[_Kind, list[Slot]] = {}
        for slot in self._slots.running:
            running: RunningRequest = slot.owner
            forced, number = running.walk.forced, running.number
            if forced is not None:
                logprob, top = (None, ()) if running.request.logprobs is None else (0.0, ((forced, 0.0),))
                chosen[slot] = NewId(number, running.walk.index, forced, logprob, top)
            else:
                groups.setdefault(_kind(running), []).append(slot)
        for kind, slots in groups.items():
            for slot, id_, logprob, top in self._choose_together(kind, slots):
                chosen[slot] = NewId(slot.owner.number, slot.owner.walk.index_of(id_), id_, logprob, top)
        return chosen

    def _choose_together(self, kind: _Kind, slots: list[Slot]) -> list[_Choice]:
        """Ids of slots that are in like blocks and have a choice."""
        choices = slots[0].owner.walk.choices
        # What opens a block is chosen by the whole context: the unconditional branch begins with it.
        scores = self._scores(choices, slots, 1.0 if kind.opens else kind.options.guidance)
        early = [row for row, slot in enumerate(slots) if not slot.owner.walk.may_close]
        if early and not kind.opens:
            scores[early, _column(kind.block.closing(self.model.vocabulary), choices)] = -torch.inf
        generators = None if kind.unseeded else [slot.owner.request.generator for slot in slots]
        try:
            columns = choose(scores, kind.options, generators)
        except GenerationError as error:
            return self._choose_alone(kind, slots, error)
        likelihoods = _likelihoods(scores, columns, kind.logprobs, choices)
        ids = [_id(column, choices) for column in columns.tolist()]
        return [(slot, id_, *likely) for slot, id_, likely in zip(slots, ids, likelihoods, strict=True)]

    def _choose_alone(self, kind: _Kind, slots: list[Slot], error: GenerationError) -> list[_Choice]:
        """One by one, so that an error ends only the request that it belongs to. Nothing was sampled before it."""
        if len(slots) > 1:
            return [choice for slot in slots for choice in self._choose_together(kind, [slot])]
        slots[0].owner.error = error
        self._slots.release(slots[0])
        return []

    def _scores(self, choices: tuple[range, ...], slots: list[Slot], guidance: float) -> Float[Tensor, "slots ids"]:
        hidden = [slot.hidden for slot in slots]
        if guidance != 1:
            hidden += [slot.unconditional_hidden for slot in slots]
        scores = self.model.logits(torch.stack(hidden), choices)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        if guidance == 1:
            return scores
        conditional, unconditional = scores.chunk(2)
        return guided(conditional, unconditional, guidance)

    def _take(self, slot: Slot, new: NewId) -> NewId:
        """Go on by an id; the cache gets it at the beginning of the next step."""
        running: RunningRequest = slot.owner
        walk, block = running.walk, running.walk.blocks[new.block]
        slot.next_id, slot.restarts = new.id, walk.at_opening and _options(running, block).guidance != 1
        running.new_ids.append(new)
        walk.take(new.id)
        if walk.finished:
            self._slots.release(slot)
        elif walk.index != new.block:
            self._slots.end_guidance(slot)
        return new

    @torch.inference_mode()
    def _release(self, running: RunningRequest) -> None:
        for slot in [one for one in self._slots.running if one.owner is running]:  # none if reading its prompt failed
            self._slots.release(slot)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Values shared by requests whose next ids are chosen together."""

    block: Block
    opens: bool
    options: SamplingOptions
    logprobs: int | None
    unseeded: bool


_Likelihood = tuple[float | None, tuple[tuple[int, float], ...]]
_Choice = tuple[Slot, int, float | None, tuple[tuple[int, float], ...]]


def _check_negative(model: LanguageModel, request: GenerationRequest) -> None:
    """Refuse a negative prompt with which the longest block does not fit into the context."""
    if request.negative_prompt is None:
        return
    model.check(request.negative_prompt)
    longest = max(block.max_ids + 2 for block in request.blocks)
    if len(request.negative_prompt) + longest > model.context_length:
        raise PromptError(
            f"the negative prompt has {len(request.negative_prompt)} ids, and a block of up to {longest} does not fit "
            f"behind it into the context of {model.context_length}; shorten it"
        )


def _kind(running: RunningRequest) -> _Kind:
    block, request = running.walk.block, running.request
    opens = running.walk.at_opening
    return _Kind(block, opens, _options(running, block), request.logprobs, request.generator is None)


def _options(running: RunningRequest, block: Block) -> SamplingOptions:
    return getattr(running.request.sampling, block.modality.value)


def _likelihoods(
    scores: Float[Tensor, "rows ids"], columns: Tensor, count: int | None, choices: tuple[range, ...]
) -> list[_Likelihood]:
    if count is None:
        return [(None, ())] * len(columns)
    logprobs = scores.log_softmax(dim=-1)
    best = logprobs.topk(min(count, logprobs.shape[-1]), dim=-1)
    own = logprobs.gather(1, columns[:, None])[:, 0].tolist()
    tops = [
        tuple((_id(column, choices), value) for column, value in zip(row, values, strict=True) if value > -torch.inf)
        for row, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return list(zip(own, tops, strict=True))


def _column(new_id: int, choices: tuple[range, ...]) -> int:
    """Index of an id among the choices."""
    offset = 0
    for part in choices:
        if new_id in part:
            return offset + new_id - part.start
        offset += len(part)
    raise AssertionError(f"{new_id} is not among {choices}")


def _id(column: int, choices: tuple[range, ...]) -> int:
    for part in choices:
        if column < len(part):
            return part[column]
        column -= len(part)
    raise AssertionError("a column beyond the choices")


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """Evaluation mode, and back to training where the model was in it."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
