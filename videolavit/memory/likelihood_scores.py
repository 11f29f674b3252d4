"""Scores of clips for a question by the model's own likelihood of the question after each clip alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from videolavit.language.conversation import Turn, conversation
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import ClipInput, Prompt, VideoInput
from videolavit.memory.token_memory import TokenMemory
from videolavit.vocabulary import Vocabulary

__all__ = ["LikelihoodScorer"]

_CLIPS_AT_A_TIME = 16


class LikelihoodScorer:
    """Mean log-likelihood per id of a question after each clip: a pass of the language model for each of them.

    It needs nothing that was noted when the video was read. A model that has never learnt to ask questions tells
    little by it; see docs/long-video.md for how much.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @torch.inference_mode()
    def __call__(self, memory: TokenMemory, question: str) -> Float[np.ndarray, " clips"]:
        """Scores of all clips; one without a keyframe is read after those that it goes on from."""
        tokenizer = self.model.text_tokenizer
        prompts = [
            conversation(
                [Turn(question=question, media=(video,))], memory.vocabulary, tokenizer, template=self.model.chat
            )
            for video in _clips_alone(memory)
        ]
        length = _length_after_media(prompts[0], memory.vocabulary)
        batches = (prompts[start : start + _CLIPS_AT_A_TIME] for start in range(0, len(prompts), _CLIPS_AT_A_TIME))
        return np.array([score for batch in batches for score in self._scores(batch, length)])

    def _scores(self, prompts: Sequence[Prompt], length: int) -> list[float]:
        """Mean log-likelihood of the last `length` ids of each prompt."""
        hidden = self.model.hidden(*left_pad([self.model.embed(one) for one in prompts]))
        text = [self.model.vocabulary.text_range]
        scores = self.model.logits(hidden[:, -length - 1 : -1], text).float().log_softmax(-1)
        asked = prompts[0].parts[-1][-length:].to(scores.device)
        return scores.gather(-1, asked.expand(len(prompts), -1)[..., None]).mean(dim=(1, 2)).tolist()


def _length_after_media(prompt: Prompt, vocabulary: Vocabulary) -> int:
    """Number of ids of the question and the words around it."""
    last = prompt.parts[-1]
    ends = (last == vocabulary.image_end) | (last == vocabulary.motion_end)
    return len(last) - 1 - int(ends.nonzero()[-1])


def _clips_alone(memory: TokenMemory) -> Iterator[VideoInput]:
    since_keyframe: list[ClipInput] = []
    for clip in memory:
        since_keyframe = [*(since_keyframe if not len(clip.visual_ids) else []), clip.as_input()]
        yield VideoInput(clips=tuple(since_keyframe))
