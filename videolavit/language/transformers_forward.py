"""A decoding step through transformers' own forward, for backbones that `videolavit.language.forward` does not know.

The same places in the same cache: transformers writes to it and reads from it through an adapter of its cache classes.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin

from videolavit.language.cache_argument import cache_argument
from videolavit.language.static_cache import Heads, NextIds, Place, PromptBlock

__all__ = ["TransformersForward"]


class TransformersForward:
    """Hidden states of new positions; what they see is known to a place."""

    def __init__(self, decoder: nn.Module, config: Any):
        """Wrap a transformers decoder, with the text part of its configuration."""
        self._decoder = decoder
        queries = config.num_attention_heads
        dim = getattr(config, "head_dim", None) or config.hidden_size // queries
        keys = getattr(config, "num_key_value_heads", None) or queries
        self.heads = Heads(queries=queries, keys=keys, dim=dim, scale=dim**-0.5)

    def __call__(self, embeddings: Float[Tensor, "new width"], place: Place) -> Float[Tensor, "new width"]:
        """Hidden states before the output projection, of new positions in the order of `place`."""
        assert isinstance(place, NextIds | PromptBlock)
        rows = place.num_rows
        cache = Cache(layers=[_Layer(place, index) for index in range(len(place.cache.layers))])
        output = self._decoder(
            inputs_embeds=embeddings.unflatten(0, (rows, -1)),
            attention_mask=_mask(place),
            position_ids=place.positions.unflatten(0, (rows, -1)),
            use_cache=True,
            **cache_argument(self._decoder, cache),
        )
        return output.last_hidden_state.flatten(0, 1)


class _Layer(CacheLayerMixin):
    """One layer of the cache, as transformers wants to see it during one step."""

    is_sliding = False

    def __init__(self, place: NextIds | PromptBlock, index: int):
        super().__init__()
        self._place, self._index = place, index
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        pass

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        place, states = self._place, torch.stack([key_states, value_states], dim=1)
        if isinstance(place, NextIds):
            place.cache.write_ids(self._index, place.positions, place.rows, states.squeeze(3))
            return place.cache.view(self._index, 0, place.num_rows, place.end)
        place.cache.write_block(self._index, place.first_row, place.start, states)
        return place.cache.view(self._index, place.first_row, place.first_row + place.num_rows, place.end)

    def get_seq_length(self) -> int:
        return self._place.end - (self._place.new if isinstance(self._place, PromptBlock) else 1)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._place.end, 0

    def get_max_length(self) -> int:
        return -1


def _mask(place: NextIds | PromptBlock) -> Float[Tensor, "rows 1 new all"]:
    if isinstance(place, NextIds):
        return place.mask(0, place.num_rows, place.end)
    return place.mask().expand(place.num_rows, 1, -1, -1)
