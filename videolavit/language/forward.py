"""A decoding step of our own over the weights of Llama-shaped transformers: Llama 2 and 3, Mistral, Qwen 2 and 3.

One id reads every weight once, and reading them should be all that takes time. So projections of one input are one
product, the product itself adds the residual, and no module stands between two operations.
transformers' own forward says what the numbers should be (`videolavit.language.transformers_forward`, which other
backbones use).

Joined projections take no memory of their own: the parameters of the model become views of the joined ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from videolavit.language.static_cache import Heads, Place
from videolavit.nn.offload import is_offloaded

__all__ = ["LlamaForward", "is_llama_shaped", "llama_forward"]

DECODERS = {"LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model"}
NORMS = {"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"}
ROTATIONS = {"default", "linear", "llama3", "yarn"}
"""Kinds of rotary embedding whose angles depend on the position alone."""

FEW_ROWS = 64
"""Most rows of a product of the next ids, as against one of a prompt."""

_forwards: WeakKeyDictionary[nn.Module, LlamaForward] = WeakKeyDictionary()


def is_llama_shaped(decoder: nn.Module) -> bool:
    """True if `LlamaForward` computes what this transformers decoder does."""
    config: Any = getattr(decoder, "config", None)
    if type(decoder).__name__ not in DECODERS or config.rope_parameters.get("rope_type") not in ROTATIONS:
        return False
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return False
    windowed = type(decoder).__name__ == "MistralModel" and config.sliding_window is not None
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in decoder.modules())
    plain = all(type(parameter.data) is Tensor for parameter in decoder.parameters())
    return plain and not windowed and not hooked and config.rope_parameters.get("partial_rotary_factor", 1.0) == 1.0


def llama_forward(decoder: nn.Module) -> LlamaForward:
    """The forward of a decoder, which is made once and again after its weights were replaced by others."""
    forward = _forwards.get(decoder)
    if forward is None or not forward.is_current():
        forward = _forwards[decoder] = LlamaForward(decoder)
    return forward


class LlamaForward:
    """Hidden states of new positions from their embeddings; what they see is known to a place."""

    def __init__(self, decoder: Any):
        """Join what can be joined.

        Adapted and quantised projections are called as they are, and so are all of a decoder that is offloaded: its
        weights come and go.
        """
        join = not is_offloaded(decoder)
        self.layers = [_Layer(layer, join) for layer in decoder.layers]
        self.norm = decoder.norm
        self.rotary = _Rotary(decoder.rotary_emb)

    def is_current(self) -> bool:
        """True if the decoder still has the weights that were joined."""
        return all(layer.attention_in.is_current() and layer.mlp_in.is_current() for layer in self.layers)

    @property
    def heads(self) -> Heads:
        return self.layers[0].heads

    def __call__(self, embeddings: Float[Tensor, "new width"], place: Place) -> Float[Tensor, "new width"]:
        """Hidden states before the output projection, of new positions in the order of `place`."""
        cosines, sines = self.rotary(place.positions, place.end, embeddings)
        hidden = embeddings
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, index, cosines, sines, place)
        return _normed(hidden, self.norm)


class _Layer:
    """One decoder layer."""

    def __init__(self, layer: Any, join: bool):
        attention, mlp = layer.self_attn, layer.mlp
        self.attention, self.mlp, self.layer = attention, mlp, layer
        self.attention_in = _Joined([(attention, name) for name in ("q_proj", "k_proj", "v_proj")], join)
        self.mlp_in = _Joined([(mlp, name) for name in ("gate_proj", "up_proj")], join)
        self.is_silu = isinstance(mlp.act_fn, nn.SiLU) or type(mlp.act_fn).__name__ == "SiLUActivation"
        queries, keys = attention.config.num_attention_heads, attention.config.num_key_value_heads
        self.heads = Heads(queries=queries, keys=keys, dim=attention.head_dim, scale=attention.scaling)
        self.is_normed = hasattr(attention, "q_norm")

    def __call__(self, hidden: Tensor, index: int, cosines: Tensor, sines: Tensor, place: Place) -> Tensor:
        states = self.attention_in(_normed(hidden, self.layer.input_layernorm)).unflatten(1, (-1, self.heads.dim))
        rotated = states[:, : self.heads.queries + self.heads.keys]
        if self.is_normed:
            rotated.copy_(self._normed_heads(rotated))
        rotate_(rotated, cosines, sines)
        hidden = _onto(hidden, place.attend(index, self.heads, states), self.attention.o_proj)
        inner = self.mlp_in(_normed(hidden, self.layer.post_attention_layernorm))
        gate, up = inner.chunk(2, dim=1)
        gate = F.silu(gate) if self.is_silu else self.mlp.act_fn(gate)
        return _onto(hidden, gate.mul_(up), self.mlp.down_proj)

    def _normed_heads(self, heads: Float[Tensor, "new heads dim"]) -> Float[Tensor, "new heads dim"]:
        queries, keys = heads.split([self.heads.queries, self.heads.keys], dim=1)
        return torch.cat([_normed(queries, self.attention.q_norm), _normed(keys, self.attention.k_norm)], dim=1)


class _Joined:
    """Projections of one input, side by side."""

    def __init__(self, projections: Sequence[tuple[nn.Module, str]], join: bool):
        self._projections = projections
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None
        linears = self._modules()
        has_bias = {getattr(linear, "bias", None) is not None for linear in linears}
        if join and all(type(linear) is nn.Linear for linear in linears) and len(has_bias) == 1:
            self._weight = _join([linear.weight for linear in linears])
            self._bias = _join([linear.bias for linear in linears]) if has_bias == {True} else None

    def __call__(self, inputs: Tensor) -> Tensor:
        if self._weight is None:
            return torch.cat([module(inputs) for module in self._modules()], dim=-1)
        return _product(inputs, self._weight, self._bias)

    def is_current(self) -> bool:
        if self._weight is None:
            return True
        start = self._weight.data_ptr()
        for linear in self._modules():
            weight = getattr(linear, "weight", None)
            if weight is None or weight.data_ptr() != start:
                return False
            start += weight.numel() * weight.element_size()
        return True

    def _modules(self) -> list[Any]:
        return [getattr(owner, name) for owner, name in self._projections]


class _Rotary:
    """Cosines and sines of all positions so far asked for, the first half of the sines with its sign turned."""

    def __init__(self, module: Any):
        self._module = module
        self._cosines = self._sines = torch.empty(0, 0, 0)

    def __call__(self, positions: Int[Tensor, "new"], end: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """(new, 1, dim) each, in the type of `like`; `end` is above all positions."""
        if self._cosines.dtype != like.dtype or self._cosines.device != like.device:
            self._cosines = self._cosines[:0]
        if end > len(self._cosines):
            self._extend(2 * end, like)
        return self._cosines[positions], self._sines[positions]

    @property
    def tables(self) -> tuple[Tensor, Tensor]:
        """Cosines and sines of all positions, as they are now."""
        return self._cosines, self._sines

    def _extend(self, length: int, like: Tensor) -> None:
        cosines, sines = self._module(like, torch.arange(length, device=like.device)[None])
        half = sines.shape[-1] // 2
        self._cosines = cosines[0, :, None]
        self._sines = torch.cat([-sines[0, :, None, :half], sines[0, :, None, half:]], dim=-1)


def rotate_(states: Float[Tensor, "new heads dim"], cosines: Tensor, sines: Tensor) -> None:
    """Rotate each pair (i, i + dim / 2) by its angle, in place."""
    swapped = states.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
    states.mul_(cosines).addcmul_(swapped, sines)


def _normed(states: Tensor, norm: Any) -> Tensor:
    # In float64 transformers' norms compute in float32; calling them keeps the numbers the same.
    if type(norm).__name__ in NORMS and states.dtype != torch.float64:
        return F.rms_norm(states, states.shape[-1:], norm.weight, norm.variance_epsilon)
    return norm(states)


def _onto(hidden: Tensor, inputs: Tensor, projection: Any) -> Tensor:
    """The projected inputs added to `hidden`."""
    if type(projection) is not nn.Linear or projection.bias is not None:
        return hidden + projection(inputs)
    if _weight_comes_first(inputs):
        return hidden + _product(inputs, projection.weight, None)
    return torch.addmm(hidden, inputs, projection.weight.t())


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not _weight_comes_first(inputs):
        return F.linear(inputs, weight, bias)
    product = torch.mm(weight, inputs.t()).t().contiguous()
    return product if bias is None else product + bias


def _weight_comes_first(inputs: Tensor) -> bool:
    # bfloat16 on a CPU: with few rows, oneDNN takes up to twice as long for x W^T as for W x^T.
    return inputs.dtype == torch.bfloat16 and inputs.device.type == "cpu" and len(inputs) <= FEW_ROWS


def _join(tensors: Sequence[nn.Parameter]) -> Tensor:
    """The rows of all of them; afterwards they are views of it."""
    with torch.inference_mode(False), torch.no_grad():  # what is an inference tensor can no longer be trained
        joined = torch.cat([tensor.detach() for tensor in tensors])
    for tensor, part in zip(tensors, joined.split([len(tensor) for tensor in tensors]), strict=True):
        tensor.data = part
    return joined
