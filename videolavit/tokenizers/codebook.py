"""Learning of a tokenizer's codebook: k-means start, running means, revival of dead codes (reference section 9).

Beside `VectorQuantizer`, which only looks codes up. A training step:

    result = tokenizer(motion, quantize=learner.quantizing)
    ...                                                       # loss, backward, optimiser step
    learner.update(result.features, result.codes)

Under `torch.distributed` every process calls `update` at every step; statistics are those of all of them, and the
state is the same everywhere. The learner is a module: its `state_dict` beside that of the tokenizer, which has only the
rows, resumes a run exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from videolavit.errors import ConfigError
from videolavit.nn.float32 import KeepsFloat32
from videolavit.nn.random import sample_generators
from videolavit.tokenizers.quantizer import ResidualQuantizer, VectorQuantizer, nearest_rows

__all__ = ["CodebookConfig", "CodebookLearner", "CodebookUsage", "ResidualLearner"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodebookConfig:
    """Options of learning a codebook. The defaults are those that the authors advise."""

    decay: float = 0.995
    """Of the running means, per step."""
    warm_up_steps: int = 1
    """Steps without quantisation before the codebook starts from the features seen so far; at least 1."""
    start_iterations: int = 10
    """Of k-means. With 0, rows start as features drawn at random."""
    start_features_per_code: int = 16
    """Features per code that the start sees at most, the newest ones."""
    revive_every: int = 100
    """Steps between searches for dead codes."""
    dead_below: float = 0.01
    """A code is dead when it is used less than this share of what it would be if all were used equally. 0: never."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1 or self.dead_below < 0 or self.start_iterations < 0:
            raise ConfigError(f"expected 0 <= decay < 1 and no negative number, got {self}")
        if min(self.warm_up_steps, self.start_features_per_code, self.revive_every) < 1:
            raise ConfigError(f"warm_up_steps, start_features_per_code and revive_every must be at least 1, got {self}")


class CodebookUsage(NamedTuple):
    """Perplexity of the codes, by the running means."""

    used: float
    """Share of codes that are not dead, 0 to 1."""
    perplexity: float
    """Number of codes that, used equally, would carry as much information; 1 to the number of codes."""


class CodebookLearner(KeepsFloat32):
    """Moves the rows of a quantiser's codebook; no gradient does.

    Each row is the direction of the running mean of the features that have its code.
    """

    shares: Float32[Tensor, "num_codes"]
    sums: Float32[Tensor, "num_codes code_dim"]
    recent: Float32[Tensor, "capacity code_dim"]
    num_recent: Int64[Tensor, ""]
    step: Int64[Tensor, ""]

    def __init__(self, quantizer: VectorQuantizer, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self._held = (quantizer,)  # in a tuple, so that its codebook is not saved a second time with this module
        codebook = quantizer.codebook
        capacity = quantizer.num_codes * config.start_features_per_code
        self.register_buffer("shares", codebook.new_zeros(quantizer.num_codes))
        self.register_buffer("sums", torch.zeros_like(codebook))
        self.register_buffer("recent", codebook.new_zeros(capacity, quantizer.code_dim))
        self.register_buffer("num_recent", torch.zeros((), dtype=torch.long, device=codebook.device))
        self.register_buffer("step", torch.zeros((), dtype=torch.long, device=codebook.device))

    @property
    def quantizer(self) -> VectorQuantizer:
        return self._held[0]

    @property
    def quantizing(self) -> bool:
        """True if the codebook has started, that is whether the next step should quantise."""
        return int(self.step) >= self.config.warm_up_steps

    @torch.no_grad()
    def update(self, features: Float[Tensor, "*batch code_dim"], codes: Int[Tensor, "*batch"]) -> None:
        """Learn from one step's features and codes of this process; nothing in evaluation mode.

        Before the start, `codes` do not matter.
        """
        if not self.training:
            return
        directions = F.normalize(features.detach().float().reshape(-1, self.quantizer.code_dim), dim=-1)
        if self.quantizing:
            self._follow(directions, codes.reshape(-1))
        else:
            self._remember(directions)
            if int(self.step) + 1 == self.config.warm_up_steps:
                self._start()
        self.step += 1

    def usage(self) -> CodebookUsage:
        """Usage since the start, forgotten at the rate of `decay`. Zero before the start."""
        total = self.shares.sum()
        if total == 0:
            return CodebookUsage(used=0.0, perplexity=0.0)
        shares = self.shares / total
        entropy = -torch.special.xlogy(shares, shares).sum()
        return CodebookUsage(used=float((~self._dead()).float().mean()), perplexity=float(entropy.exp()))

    def _follow(self, directions: Tensor, codes: Tensor) -> None:
        shares, sums = _statistics(directions, codes, self.quantizer.num_codes, across_processes=True)
        self.shares.lerp_(shares, 1 - self.config.decay)
        self.sums.lerp_(sums, 1 - self.config.decay)
        self._write_rows()
        if (int(self.step) + 1) % self.config.revive_every == 0:
            self._remember(directions)
            self._revive()

    def _start(self) -> None:
        """Spherical k-means over recent features; a cluster that loses all of its own goes back to where it began."""
        features = self.recent[: min(int(self.num_recent), len(self.recent))]
        rows = self._draw_recent(self.quantizer.num_codes)
        self.quantizer.codebook.copy_(rows)
        for _ in range(self.config.start_iterations):
            shares, sums = _statistics(features, self.quantizer.codes(features), len(rows))
            self.quantizer.codebook.copy_(torch.where(shares[:, None] > 0, F.normalize(sums, dim=-1), rows))
        shares, _ = _statistics(features, self.quantizer.codes(features), len(rows))
        self.shares.copy_(shares.clamp(min=self._dead_below()))
        self.sums.copy_(self.shares[:, None] * self.quantizer.codebook)
        for tensor in (self.shares, self.sums, self.quantizer.codebook):
            _broadcast(tensor)  # the sums above may be rounded in another order elsewhere

    def _revive(self) -> None:
        """Move dead codes to recent features, with so little weight that the next features soon move them on."""
        dead = self._dead()
        self.shares[dead] = 2 * self._dead_below()
        self.sums[dead] = 2 * self._dead_below() * self._draw_recent(int(dead.sum()))
        self._write_rows()

    def _write_rows(self) -> None:
        rows = F.normalize(self.sums, dim=-1)
        self.quantizer.codebook.copy_(torch.where(self.sums.any(-1, keepdim=True), rows, self.quantizer.codebook))

    def _dead(self) -> Tensor:
        return self.shares < self._dead_below()

    def _dead_below(self) -> float:
        return self.config.dead_below / self.quantizer.num_codes

    def _remember(self, directions: Tensor) -> None:
        """Keep features of the first process, everywhere the same, in place of the oldest ones."""
        directions = _from_first_process(directions)
        capacity = len(self.recent)
        if len(directions) > capacity:
            directions = directions[torch.randperm(len(directions), generator=self._generator())[:capacity]]
        places = (self.num_recent + torch.arange(len(directions), device=self.recent.device)) % capacity
        self.recent[places] = directions
        self.num_recent += len(directions)

    def _draw_recent(self, n: int) -> Tensor:
        """`n` recent features: different ones as long as there are enough."""
        available = min(int(self.num_recent), len(self.recent))
        if available == 0:
            return F.normalize(torch.randn(n, self.quantizer.code_dim, generator=self._generator()), dim=-1).to(
                self.recent
            )
        rounds = -(-n // available)
        order = [torch.randperm(available, generator=generator) for generator in self._generators(rounds)]
        return self.recent[torch.cat(order)[:n].to(self.recent.device)] if order else self.recent[:0]

    def _generator(self) -> torch.Generator:
        return self._generators(1)[0]

    def _generators(self, n: int) -> list[torch.Generator]:
        """Streams of this step, so that a resumed run draws what the uninterrupted one would have drawn."""
        return sample_generators(self.config.seed, n, stream=f"codebook step {int(self.step)}")


class ResidualLearner(KeepsFloat32):
    """Moves the rows of further layers of codes: each is the running mean of the residuals that have its code.

    What is before them does not change, so that rows start at once, from residuals of the first step.
    """

    shares: Float32[Tensor, "layers num_codes"]
    sums: Float32[Tensor, "layers num_codes code_dim"]
    step: Int64[Tensor, ""]

    def __init__(self, quantizer: ResidualQuantizer, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self._held = (quantizer,)  # in a tuple, so that its codebooks are not saved a second time with this module
        codebooks = quantizer.codebooks
        self.register_buffer("shares", codebooks.new_zeros(codebooks.shape[:2]))
        self.register_buffer("sums", torch.zeros_like(codebooks))
        self.register_buffer("step", torch.zeros((), dtype=torch.long, device=codebooks.device))

    @property
    def quantizer(self) -> ResidualQuantizer:
        return self._held[0]

    @torch.no_grad()
    def update(self, residuals: Float[Tensor, "*batch code_dim"]) -> None:
        """Learn from what the first codes of one step leave out, in this process; nothing in evaluation mode."""
        if not self.training:
            return
        left = residuals.detach().float().reshape(-1, residuals.shape[-1])
        for layer, rows in enumerate(self.quantizer.codebooks):
            self._revive(left, layer)
            codes = nearest_rows(left, rows)
            shares, sums = _statistics(left, codes, len(rows), across_processes=True)
            self.shares[layer].lerp_(shares, 1 - self.config.decay)
            self.sums[layer].lerp_(sums, 1 - self.config.decay)
            seen = shares > 0
            rows[seen] = self.sums[layer, seen] / self.shares[layer, seen, None]
            left = left - F.embedding(codes, rows)
        self.step += 1

    def _revive(self, left: Tensor, layer: int) -> None:
        """Move dead rows to residuals of this step, with so little weight that the next ones soon move them on."""
        dead, rows = self._dead(layer), self.quantizer.codebooks[layer]
        if dead.any():
            rows[dead] = self._drawn(left, int(dead.sum()), layer)
            self.shares[layer, dead] = 2 * self._dead_below()
            self.sums[layer, dead] = 2 * self._dead_below() * rows[dead]

    def _dead(self, layer: int) -> Tensor:
        """Rows that have had next to nothing for a while, all of them at first."""
        step = int(self.step)
        if step == 0:
            return torch.ones_like(self.shares[layer], dtype=torch.bool)
        dead = self.shares[layer] < self._dead_below()
        return dead if step % self.config.revive_every == 0 else torch.zeros_like(dead)

    def _dead_below(self) -> float:
        """Share under which a row is dead; running means begin at 0, and know little at first."""
        known = 1 - self.config.decay ** int(self.step)
        return self.config.dead_below * known / self.shares.shape[1]

    def _drawn(self, left: Tensor, count: int, layer: int) -> Tensor:
        """`count` residuals of the first process: different ones as long as there are enough."""
        left = _from_first_process(left)
        generators = sample_generators(
            self.config.seed, -(-count // len(left)), stream=f"residual layer {layer} step {int(self.step)}"
        )
        order = torch.cat([torch.randperm(len(left), generator=generator) for generator in generators])
        return left[order[:count].to(left.device)]


def _statistics(
    directions: Tensor, codes: Tensor, num_codes: int, *, across_processes: bool = False
) -> tuple[Tensor, Tensor]:
    """Share of each code, and sum of its features, over the number of all features."""
    joint = directions.new_zeros(num_codes, 1 + directions.shape[-1])
    joint.index_add_(0, codes, F.pad(directions, (1, 0), value=1.0))
    if across_processes and _distributed():
        dist.all_reduce(joint)
    shares, sums = joint[:, 0], joint[:, 1:]
    total = shares.sum().clamp(min=1)
    return shares / total, sums / total


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _broadcast(tensor: Tensor) -> None:
    if _distributed():
        dist.broadcast(tensor, src=0)


def _from_first_process(features: Tensor) -> Tensor:
    length = torch.tensor(len(features), device=features.device)
    _broadcast(length)
    first = not _distributed() or dist.get_rank() == 0
    features = features.contiguous() if first else features.new_empty(int(length), features.shape[-1])
    _broadcast(features)
    return features
