"""Stage: generative pre-training, next token over mixed sequences in both orders (paper, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from videolavit.checkpoints.artifacts import is_artifact, load_text_tokenizer, open_artifact
from videolavit.data.tokens import TokenReader
from videolavit.errors import ConfigError
from videolavit.language.chat_template import ChatTemplate, template_of
from videolavit.language.language_model import LanguageModel
from videolavit.tokenizers.visual_tokenizer import VisualTokenizerConfig
from videolavit.training.data_folders import TokenFolder, folders_and_shares, open_folders
from videolavit.training.language_data import LanguageSamples, Shares
from videolavit.training.language_flops import language_flops, sequence_lengths
from videolavit.training.language_loss import LanguageModelSizes, LanguageTraining, build_causal_lm, grow_vocabulary
from videolavit.training.language_parts import load_language, load_text_model, save_language, sketch_language
from videolavit.training.language_samples import shown_motion, shown_words
from videolavit.training.memory import kept_bytes
from videolavit.training.packing import pack, pack_steps
from videolavit.training.sequences import LossWeights, SequenceMaker
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions
from videolavit.vocabulary import Vocabulary

__all__ = ["LanguageStage", "PretrainingStage"]


@dataclass(frozen=True, kw_only=True)
class LanguageStage(Stage[LanguageTraining]):
    """Base of all training of the language model; a stage adds its defaults."""

    name: str
    data: str | tuple[str, ...] = "data/tokens"
    """Folder of token shards, or several with whole-numbered shares, as in `--data A=3 B=1`: of four samples of each
    kind three come from A. A folder without words of some kind takes no part in that."""
    text_tokenizer: str = "runs/text_tokenizer"
    """Folder of a transformers tokenizer; its ids come first in the vocabulary."""
    chat: Literal["", "vicuna", "chatml", "llama3"] = ""
    """Words around questions and answers; empty for those that go with the special tokens of the text tokenizer, else
    for the released model's, vicuna. The trained model keeps them."""
    start_from: str = ""
    """Folder to start from: an export of this kind of stage, a whole model ("tiny" for the one in the package), or a
    transformers text model, which gets the rows of images and motion; empty for random weights of the sizes in
    `model`."""
    model: LanguageModelSizes = field(default_factory=LanguageModelSizes)
    visual_input: Literal["continuous", "discrete"] = "continuous"
    """Form of the images that are described or asked about. The pipeline answers with continuous ones."""
    shares: Shares = field(default_factory=lambda: Shares(generate_video=1))
    weights: LossWeights = field(default_factory=LossWeights)
    prompt_dropout: float = 0.1
    """Share of the videos and images that are drawn without their caption, for guidance."""
    described_as_ids: float = 0.0
    """Share of the descriptions whose images enter as ids though `visual_input` is continuous. So a model learns to
    read what it writes, and can tell which of several drafts fits the words best."""
    questions_together: int = 1
    """Questions about one video in one conversation, each answered before the next is asked: a video's ids are read
    once for all of them."""
    texts: str = ""
    """File of plain text, one passage in a line, for the share `words`."""
    row_length: int = 2048
    """Positions of a packed row, and the most of a sequence."""
    rows: int = 0
    """Rows of each part of a step, whatever its samples fill, so that no process waits for one with more; 0 packs into
    as many as it takes. The log tells what share of them is filled, and what share of the data found no room."""
    look_ahead: int = 8
    """Steps whose samples are dealt among them together where `rows` is set: the more, the less is padded or left
    out."""
    attention: Literal["mask", "packed"] = "mask"
    """Attention of positions to their own sequence: under a mask of all pairs of a row, or computed within each
    sequence alone, which on a GPU in bf16 is one kernel (torch.nn.attention.varlen). The same but for rounding."""
    motion_tokenizer: str = ""
    """Folder of the exported motion tokenizer, only to show drawn motion during training."""
    training: TrainingOptions = field(default_factory=TrainingOptions)

    blocks_in_bf16: ClassVar[bool] = True
    starts_as_sketch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("prompt_dropout", "described_as_ids"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected a share from 0 to 1")
        if self.questions_together < 1:
            raise ConfigError(f"got questions_together={self.questions_together}, expected at least 1")
        if self.rows < 0 or self.look_ahead < 1:
            raise ConfigError(f"got rows={self.rows} and look_ahead={self.look_ahead}, expected from 0 and from 1 up")
        if self.row_length > self.model.context_length and not self.start_from:
            raise ConfigError(
                f"rows of {self.row_length} positions do not fit the model's {self.model.context_length}; "
                "make row_length smaller or model.context_length larger"
            )

    @cached_property
    def folders(self) -> list[TokenFolder]:
        """The folders of token shards, with their shares."""
        return open_folders(self.data)

    @property
    def reader(self) -> TokenReader:
        """The token shards of the first folder; ids and features mean the same in all."""
        return self.folders[0].reader

    @cached_property
    def maker(self) -> SequenceMaker:
        """Sequences of what the reader holds."""
        return SequenceMaker(
            vocabulary=self.reader.vocabulary,
            text_tokenizer=load_text_tokenizer(self.text_tokenizer),
            continuous=self.visual_input == "continuous",
            max_length=self.row_length,
            chat=self.template,
            motion_only=any(folder.reader.motion_only for folder in self.folders),
        )

    @cached_property
    def template(self) -> ChatTemplate:
        """Words around questions and answers."""
        return template_of(load_text_tokenizer(self.text_tokenizer), self.chat)

    @property
    def feature_width(self) -> int:
        """Width of the continuous features, 0 where images enter as ids."""
        return self.reader.feature_width if self.visual_input == "continuous" else 0

    def build(self) -> LanguageTraining:
        """The language model with its loss."""
        reader = self.reader
        causal_lm, projection = self._start(reader)
        text_tokenizer = load_text_tokenizer(self.text_tokenizer)
        model = LanguageModel(causal_lm, reader.vocabulary, text_tokenizer, self.template)
        module = self._module(model, self.feature_width)
        if module.projection is not None and projection is not None:
            module.projection.load_state_dict(projection)
        return module

    @cached_property
    def _samples(self) -> LanguageSamples:
        return LanguageSamples(
            self.shares,
            self.folders,
            self.maker,
            prompt_dropout=self.prompt_dropout,
            described_as_ids=self.described_as_ids,
            questions_together=self.questions_together,
            texts=self.texts,
            seed=self.training.seed,
        )

    def samples(self) -> LanguageSamples:
        """The mixture."""
        return self._samples

    def seen(self, samples: int) -> dict[str, float]:
        """Samples and epochs of each folder of token shards."""
        return self._samples.seen(samples)

    @property
    def steps_together(self) -> int:
        """As many as are packed into a fixed number of rows together."""
        return self.look_ahead if self.rows else 1

    def collate(self, samples: list[Any]) -> Any:
        """Packed rows, in as many as it takes, or for each of several steps in `rows`."""
        sequences = [sequence for sample in samples for sequence in sample]
        if not self.rows:
            return pack(sequences, self.row_length, self.feature_width)
        batches = pack_steps(
            sequences, self.look_ahead, rows=self.rows, row_length=self.row_length, feature_width=self.feature_width
        )
        return batches if self.look_ahead > 1 else batches[0]

    @property
    def tokens_of_sample(self) -> int:
        """A whole row."""
        return self.row_length

    def tokens_of_step(self, processes: int) -> int:
        """A row for each sample, or as many rows as are packed whatever the samples fill."""
        rows = self.rows * self.training.accumulate * processes
        return self.row_length * (rows or self.training.batch_size)

    def sketch(self) -> LanguageTraining:
        """The released vocabulary and features where there are no token shards yet; else as `build`."""
        has_data = all(any(Path(folder).glob("*.tokens.json")) for folder, _ in folders_and_shares(self.data))
        vocabulary = self.reader.vocabulary if has_data else Vocabulary()
        width = self.feature_width if has_data else VisualTokenizerConfig().vit.width
        causal_lm = self._sketched(vocabulary) if has_data else build_causal_lm(self.model, vocabulary)
        return self._module(LanguageModel(causal_lm, vocabulary), width if self.visual_input == "continuous" else 0)

    def activation_bytes(self, samples: int) -> int | None:
        """Of full rows, one for each sample or as many as are packed, in which every id is learnt."""
        rows = self.rows or samples
        with FakeTensorMode():
            module = self.sketch()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.training.precision == "bf16"):
                return kept_bytes(module, lambda: _loss_of_full_rows(module, rows, self.row_length))

    def weight(self, batch: dict[str, Tensor]) -> float:
        """The sum of the weights of all ids that are learnt."""
        return float(torch.tensor(self.weights.by_target(), dtype=torch.float64)[batch["targets"][:, 1:]].sum())

    def flops(self, module: LanguageTraining, batch: dict[str, Tensor]) -> float:
        """Of matrices and of attention within sequences, forward and twice that backward."""
        learnt = torch.tensor(self.weights.by_target())[batch["targets"][:, 1:]] > 0
        return language_flops(module, sequence_lengths(batch["segments"]), learnt=int(learnt.sum()))

    def tokens(self, batch: dict[str, Tensor]) -> int:
        """Positions that are no padding."""
        return int((batch["segments"] >= 0).sum())

    def visualize(self, module: LanguageTraining) -> dict[str, np.ndarray]:
        """Answers as text, and drawn motion as colours if the motion tokenizer is named."""
        shown = {}
        if self.shares.answer_video or self.shares.answer_image or self.shares.describe_video:
            shown["words"] = shown_words(module, self.reader, self.maker)
        if self.motion_tokenizer and self.shares.generate_video:
            shown["motion"] = shown_motion(module, self.reader, self.motion_tokenizer)
        return shown

    def check(self, metrics: dict[str, float], step: int) -> str | None:
        """Nothing learnt of a modality, or motion that has collapsed to "still"."""
        if step < max(4 * self.training.warmup_steps, 500):
            return None
        for name in ("keyframe", "motion"):
            if metrics.get(f"{name}_of_uniform", 0) > 0.97:
                return (
                    f"nothing is learnt of {name} ids: {metrics[f'{name}_nats']:.2f} nats are no better than guessing; "
                    "check that the token shards belong to the tokenizers, or raise the learning rate"
                )
        if metrics.get("moving_as_still", 0) > 0.95:
            return (
                f"motion has collapsed: {metrics['moving_as_still']:.0%} of all ids that move are taken for the most "
                "frequent one; train longer, or raise weights.motion"
            )
        return None

    def trainable(self, module: LanguageTraining) -> dict[str, nn.Module]:
        """The language model, and the projection of visual features if there is one."""
        projection = {} if module.projection is None else {"visual_tokenizer.language_proj": module.projection}
        return {"language_model": module.model.causal_lm, **projection}

    def export(self, module: LanguageTraining, folder: Path) -> None:
        """Language model, text tokenizer, vocabulary and projection of visual features.

        It knows clips of motion alone if the data, or what it started from, had them.
        """
        started = bool(self.start_from) and is_artifact(self.start_from)
        knew = started and open_artifact(self.start_from).settings.motion_only_clips
        save_language(module, folder, motion_only_clips=knew or self.maker.motion_only)

    def _module(self, model: LanguageModel, feature_width: int) -> LanguageTraining:
        packed = self.attention == "packed"
        return LanguageTraining(model, feature_width, self.weights, self.shares.learnt, packed_attention=packed)

    def _sketched(self, vocabulary: Vocabulary) -> Any:
        """A causal LM of the form that `_start` gives, or of the sizes in `model` where its start is not there yet."""
        causal_lm = sketch_language(self.start_from) if self.start_from else None
        if causal_lm is None:
            return build_causal_lm(self.model, vocabulary)
        if causal_lm.get_input_embeddings().weight.shape[0] != vocabulary.size:
            causal_lm.resize_token_embeddings(vocabulary.size, mean_resizing=False)
        return causal_lm

    def _start(self, reader: TokenReader) -> tuple[Any, dict[str, Tensor] | None]:
        """The causal LM to start from, and the projection that goes with it."""
        if not self.start_from:
            return build_causal_lm(self.model, reader.vocabulary), None
        if is_artifact(self.start_from):
            start = load_language(self.start_from)
            if start.vocabulary != reader.vocabulary:
                raise ConfigError(f"{self.start_from} has {start.vocabulary}, {reader.folder} has {reader.vocabulary}")
            return start.causal_lm, start.projection
        causal_lm = load_text_model(self.start_from)
        grow_vocabulary(causal_lm, reader.vocabulary)
        return causal_lm, None


def _loss_of_full_rows(module: LanguageTraining, rows: int, columns: int) -> Tensor:
    """Loss of `LanguageTraining.forward` where nothing is padding: it needs no values to know its shapes."""
    shape = rows, columns
    batch = {name: torch.zeros(shape, dtype=torch.long) for name in ("ids", "segments", "positions")}
    width = 0 if module.projection is None else module.projection.in_features
    batch |= {"features": torch.zeros(0, width), "feature_places": torch.zeros(0, dtype=torch.long)}
    logits = module.model.logits(module.hidden(batch)[:, :-1].flatten(0, 1)).float()
    return F.cross_entropy(logits, batch["ids"][:, 1:].flatten(), reduction="none").sum()


@dataclass(frozen=True, kw_only=True)
class PretrainingStage(LanguageStage):
    """Images, videos of several clips and plain text, text first and text last, mixed within every batch."""

    name: str = "pretraining"
    shares: Shares = field(
        default_factory=lambda: Shares(generate_image=2, generate_video=2, describe_image=1, describe_video=1, words=3)
    )
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=30_000,
            batch_size=2048,
            learning_rate=2e-5,
            warmup_steps=2000,
            betas=(0.9, 0.95),
            weight_decay=0.1,
        )
    )
