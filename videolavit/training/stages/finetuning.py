"""Stage: a trained model learns videos of one's own, with what it knew mixed in so that it is not forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from videolavit.data.tokens import TokenReader
from videolavit.errors import ConfigError
from videolavit.training.batches import Mixture, Samples
from videolavit.training.language_data import Shares, language_samples
from videolavit.training.stages.instruction_tuning import InstructionTuningStage
from videolavit.training.training_options import TrainingOptions

__all__ = ["FinetuningStage", "shares_of"]


@dataclass(frozen=True, kw_only=True)
class FinetuningStage(InstructionTuningStage):
    """Own videos and old ones, by shares of the samples of a batch."""

    name: str = "finetuning"
    start_from: str = "tiny"
    longer_data: tuple[str, ...] = ()
    """Token shards of the same videos in longer pieces."""
    old_data: str = ""
    """Token shards of what the model was trained on; empty for own videos alone."""
    own_share: int = 1
    old_share: int = 1
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=200, batch_size=16, learning_rate=3e-4, warmup_steps=20, betas=(0.9, 0.95), weight_decay=0.01
        )
    )

    @cached_property
    def old_reader(self) -> TokenReader:
        """The old token shards."""
        return TokenReader(self.old_data)

    def samples(self) -> Samples:
        """Own and old samples, each kind of words that there are."""
        readers = [self.reader, *map(TokenReader, self.longer_data)]
        own = Mixture([(1, self._samples_of(reader, self.training.seed)) for reader in readers])
        if not self.old_data:
            return own
        return Mixture(
            [(self.own_share, own), (self.old_share, self._samples_of(self.old_reader, 1 + self.training.seed))]
        )

    def _samples_of(self, reader: TokenReader, seed: int) -> Samples:
        return language_samples(
            shares_of(reader),
            reader,
            self.maker,
            prompt_dropout=self.prompt_dropout,
            described_as_ids=self.described_as_ids,
            texts="",
            seed=seed,
        )


def shares_of(reader: TokenReader) -> Shares:
    """Shares that follow what is said about videos: of what there are no words, there are no samples.

    Raises:
        ConfigError: nothing is said about any of them.
    """
    has = {
        kind: bool(len(reader.with_words(kind)))
        for kind in ("captions", "image_captions", "image_questions", "questions")
    }
    if not any(has.values()):
        raise ConfigError("nothing is said about any of the videos; give captions, or questions with answers")
    return Shares(
        draw_image=int(has["image_captions"]),
        draw_video=2 * has["captions"],
        describe_video=int(has["captions"]),
        answer_image=int(has["image_questions"]),
        answer_video=3 * has["questions"],
    )
