"""Random numbers: every sample of a batch draws from its own stream.

A stream is a `torch.Generator` whose seed is a hash of (seed, index of the sample, name of the stream), so that streams
are independent of one another, and what one prompt gets does not depend on what else is in its batch. Generators live
on the CPU and noise is drawn there: the same seed then gives the same noise on any device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.errors import ShapeError

__all__ = ["randn_per_sample", "sample_generators"]

_SEED_BYTES = 8


def sample_generators(
    seed: int, n: int, device: str | torch.device = "cpu", *, first: int = 0, stream: str = ""
) -> list[torch.Generator]:
    """One generator for each of `n` samples.

    Args:
        seed: what the user chose; any integer.
        n: number of samples.
        device: where the generators live. Keep the CPU unless numbers need not be the same on other devices.
        first: index of the first sample, so that one sample of an earlier batch can be drawn again alone.
        stream: name of an independent stream, for parts that must not disturb one another.

    Raises:
        ShapeError: `n` or `first` is negative.
    """
    if n < 0 or first < 0:
        raise ShapeError(f"got {n} samples from index {first} on, expected numbers that are not negative")
    return [torch.Generator(device).manual_seed(_stream_seed(seed, first + i, stream)) for i in range(n)]


def randn_per_sample(
    shape: Sequence[int],
    generators: Sequence[torch.Generator] | None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "batch ..."]:
    """Standard normal noise of `shape`; item i comes from `generators[i]`, without generators nothing can be repeated.

    Drawn in float32 on the generator's own device, so neither `device` nor `dtype` changes the numbers beyond rounding.

    Raises:
        ShapeError: there is not one generator for each item of the batch.
    """
    if generators is None:
        return torch.randn(*shape, device=device, dtype=dtype)
    if len(generators) != shape[0]:
        raise ShapeError(
            f"got {len(generators)} generators for a batch of {shape[0]}, expected one for each item; "
            "make them with sample_generators(seed, batch)"
        )
    noise = [torch.randn(*shape[1:], generator=generator, device=generator.device) for generator in generators]
    return torch.stack(noise).to(device, dtype) if noise else torch.empty(*shape, device=device, dtype=dtype)


def _stream_seed(seed: int, index: int, stream: str) -> int:
    """A hash and not `seed + index`, because batches with neighbouring seeds would then share streams."""
    digest = hashlib.blake2b(f"{seed}/{index}/{stream}".encode(), digest_size=_SEED_BYTES).digest()
    return int.from_bytes(digest, "big", signed=True)
