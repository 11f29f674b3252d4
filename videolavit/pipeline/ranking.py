"""Best of several: the model itself reads what it wrote and says which draft fits the prompt best.

A model that describes videos gives every description a probability. The draft under which the prompt's own words are
most likely is the one that shows them. Nothing is decoded for that, so many candidates cost little.

A model that was trained on a question whether a caption is true (`ModelSettings.matching_question`) is asked that
instead, about what the drafts look like: each keyframe is drawn and seen again, and the probability of "yes" decides,
as in VQAScore (Lin et al., ECCV 2024). Codes that look right on paper and are drawn as a blot are found out so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.clip_tokens import ClipTokens
from videolavit.errors import PromptError
from videolavit.generation_options import GenerationOptions
from videolavit.language.conversation import Turn, conversation
from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import ClipInput, Ids, ImageInput, Prompt, Text, VideoInput, assemble
from videolavit.pipeline.clip_decoder import ClipDecoder, generated_size
from videolavit.pipeline.encoding import seen_images
from videolavit.progress import Progress

__all__ = ["MatchingRanking", "best_of", "caption_log_likelihoods", "matching_scores"]


def best_of(
    model: LanguageModel,
    context: Int[Tensor, "_"],
    drafts: Sequence[Int[Tensor, "_"]],
    blocks: Sequence[Block],
    words: str,
) -> int:
    """Index of the draft that `words` describe best.

    Drafts are the ids that were written of `blocks`, special tokens included, behind `context`; if they begin with
    motion, its keyframe is the last one in there.
    """
    if blocks[0].modality is Modality.MOTION:
        start = int((context == model.vocabulary.image_start).nonzero()[-1])
        drafts = [torch.cat([context[start:], ids]) for ids in drafts]
    return int(caption_log_likelihoods(model, drafts, words).argmax())


@torch.inference_mode()
def caption_log_likelihoods(
    model: LanguageModel, clips: Sequence[Int[Tensor, "_"]], words: str
) -> Float[Tensor, "candidates"]:
    """Log-probability of `words` as the description of each, in the form that pre-training gave descriptions."""
    ending = Ids([model.vocabulary.text_end])
    described = assemble([Text(words), ending], model.vocabulary, model.text_tokenizer).ids
    length = len(described)
    room = model.context_length - length - 1
    start = torch.tensor([model.vocabulary.text_start])
    shown = [Prompt.from_ids(torch.cat([start, ids[:room], described])) for ids in clips]
    scores = _text_log_probabilities(model, shown, slice(-length - 1, -1))
    return scores.gather(-1, described.to(scores.device).expand(len(shown), -1)[..., None])[..., 0].sum(-1).cpu()


@torch.inference_mode()
def matching_scores(
    model: LanguageModel, drafts: Sequence[Sequence[ClipInput]], question: str
) -> Float[Tensor, "candidates"]:
    """Log-probability of yes over that of no as the answer to `question` about the clips of each draft.

    A draft that is a single keyframe is asked about as an image. Of clips for which the context has no room the oldest
    are left out.
    """
    affirmed = [_answered(model, clips, question, "yes") for clips in drafts]
    yes, no = affirmed[0].parts[-1], _answered(model, drafts[0], question, "no").parts[-1]
    # Up to the answer the two are alike, and behind the media they are of one length in all drafts.
    place = next(place for place, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
    before_it = place - len(yes) - 1
    scores = _text_log_probabilities(model, affirmed, slice(before_it, before_it + 1))[:, 0]
    return (scores[:, yes[place]] - scores[:, no[place]]).cpu()


class MatchingRanking:
    """Ranking of the drafts of several samples by `ModelSettings.matching_question`, keyframe by keyframe and motion by
    motion: the next block goes on from the best of the last one."""

    def __init__(
        self,
        model: Components,
        options: Sequence[GenerationOptions],
        words: Sequence[str],
        keyframes: Sequence[UInt8[np.ndarray, "_ _ 3"] | None],
    ) -> None:
        self.model, self.options = model, options
        template = model.settings.matching_question
        self._questions = [template.format(prompt=one.strip().removesuffix(".")) for one in words]
        # What each sample shows up to here, as the language model sees it.
        self._shown: list[list[ClipInput]] = [[] for _ in options]
        for shown, image in zip(self._shown, keyframes, strict=True):
            if image is not None:
                shown.append(ClipInput(keyframe=self._seen([image])[0]))

    def units(self, blocks: Sequence[Block]) -> list[Sequence[Block]]:
        """Blocks that are drafted and chosen together: one, or with a keyframe that may be left out its motion too."""
        units: list[list[Block]] = []
        for block in blocks:
            if units and units[-1][-1].optional:
                units[-1].append(block)
            else:
                units.append([block])
        return list(units)

    def best(self, drafts: Sequence[Sequence[ClipTokens]], clip: int) -> list[int]:
        """Of each sample the index of its best draft of a unit, which later units go on from."""
        drawn = iter(self._drawn(drafts, clip))
        chosen = []
        for number, own in enumerate(drafts):
            shown = [self._with(self._shown[number], draft, drawn) for draft in own]
            scores = matching_scores(self.model.answering.language_model, shown, self._questions[number])
            chosen.append(int(scores.argmax()))
            self._shown[number] = shown[chosen[-1]]
        return chosen

    def _drawn(self, drafts: Sequence[Sequence[ClipTokens]], clip: int) -> list[ImageInput]:
        """Keyframes of all drafts that have one, drawn as they would be for the result, and seen."""
        with_codes = [
            (self.options[number], draft.keyframe)
            for number, own in enumerate(drafts)
            for draft in own
            if draft.keyframe is not None
        ]
        if not with_codes:
            return []
        options, codes = zip(*with_codes, strict=True)
        size = generated_size(self.model, options[0], moving=False)
        return self._seen(ClipDecoder(self.model, options, Progress(), size).keyframes(codes, clip))

    def _seen(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[ImageInput]:
        parts, settings = self.model.answering, self.model.settings
        return seen_images(
            parts.visual_tokenizer, images, self.model.vocabulary, settings.visual_input, "likeliest", seed=0
        )

    def _with(self, shown: list[ClipInput], draft: ClipTokens, drawn: Iterator[ImageInput]) -> list[ClipInput]:
        """The clips up to here with what a draft adds."""
        motion = None if draft.motion is None else self.model.vocabulary.motion_ids(draft.motion)
        if draft.keyframe is not None:
            return [*shown, ClipInput(keyframe=next(drawn), motion_ids=motion)]
        if shown and shown[-1].motion_ids is None:
            return [*shown[:-1], ClipInput(keyframe=shown[-1].keyframe, motion_ids=motion)]
        return [*shown, ClipInput(motion_ids=motion)]


def _answered(model: LanguageModel, clips: Sequence[ClipInput], question: str, answer: str) -> Prompt:
    """The question about clips with its answer, and as many of the last clips as the context has room for."""
    for first in range(len(clips)):
        shown = tuple(clips[first:])
        is_image = len(shown) == 1 and shown[0].motion_ids is None
        media = shown[0].keyframe if is_image and shown[0].keyframe is not None else VideoInput(clips=shown)
        turn = Turn(question=question, media=(media,), answer=answer)
        prompt = conversation([turn], model.vocabulary, model.text_tokenizer, template=model.chat)
        if len(prompt) <= model.context_length:
            return prompt
    raise PromptError(f"got words of {len(question)} letters, which leave no room for a clip; say it in fewer")


def _text_log_probabilities(
    model: LanguageModel, prompts: Sequence[Prompt], places: slice
) -> Float[Tensor, "prompts places text"]:
    """Log-probabilities of text ids behind some places of each prompt, counted from its end."""
    embeddings, mask, positions = left_pad([model.embed(prompt) for prompt in prompts])
    was_training = model.training
    model.eval()
    try:
        hidden = model.hidden(embeddings, mask, positions)[:, places]
        return model.logits(hidden, [model.vocabulary.text_range]).float().log_softmax(-1)
    finally:
        model.train(was_training)
