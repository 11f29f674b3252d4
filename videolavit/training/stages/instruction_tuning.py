"""Stage: instruction tuning, loss on answers only, of all weights or of LoRA adapters (paper, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from videolavit.errors import ConfigError
from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageTraining
from videolavit.training.stages.pretraining import LanguageStage
from videolavit.training.training_options import TrainingOptions

__all__ = ["InstructionTuningStage", "LoraOptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraOptions:
    """Low-rank adapters in the place of training all weights; merged into them when the stage exports."""

    rank: int = 0
    """0 trains all weights."""
    alpha: float = 32.0
    dropout: float = 0.05
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

    def __post_init__(self) -> None:
        if self.rank < 0 or not 0 <= self.dropout < 1:
            raise ConfigError(f"rank must not be negative and dropout from 0 to under 1; got {self}")


@dataclass(frozen=True, kw_only=True)
class InstructionTuningStage(LanguageStage):
    """Questions about images and videos. Where drawing has a share, it is learnt on, so that it is not forgotten."""

    name: str = "instruction_tuning"
    start_from: str = "runs/pretraining/export"
    lora: LoraOptions = field(default_factory=LoraOptions)
    """With adapters, only they and the projection of visual features are trained."""
    shares: Shares = field(default_factory=lambda: Shares(answer_image=6, answer_video=1))
    training: TrainingOptions = field(
        default_factory=lambda: TrainingOptions(
            steps=6000, batch_size=128, learning_rate=2e-5, warmup_steps=180, betas=(0.9, 0.95), weight_decay=0.0
        )
    )

    def build(self) -> LanguageTraining:
        """The language model with its loss, adapted if asked for."""
        return self._with_adapters(LanguageStage.build(self))

    def sketch(self) -> LanguageTraining:
        """The same without trained weights, and of the sizes in `model` where its start is not there yet."""
        return self._with_adapters(LanguageStage.sketch(self))

    def activation_bytes(self, samples: int) -> int | None:
        """Those of the stage before; not counted with adapters, which cannot be made without memory."""
        return None if self.lora.rank else LanguageStage.activation_bytes(self, samples)

    def _with_adapters(self, module: LanguageTraining) -> LanguageTraining:
        if self.lora.rank:
            module.model.causal_lm = _adapted(module.model.causal_lm, self.lora)
        return module


def _adapted(causal_lm: Any, options: LoraOptions) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError("LoRA needs peft: pip install 'videolavit[train]', or set lora.rank=0") from error
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # pyright: ignore[reportArgumentType] - declared as int, used as a factor
        lora_dropout=options.dropout,
        target_modules=list(options.modules),
        task_type="CAUSAL_LM",
    )
    # Adapters have the weights' own type, which casting could not change of weights that are not there yet.
    return get_peft_model(causal_lm, config, autocast_adapter_dtype=False)
