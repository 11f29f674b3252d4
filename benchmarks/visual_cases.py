"""The visual tokenizer's and the condition decoder's modules beside plain eager formulations of the same mathematics.

The functions named `plain_*` are the formulas of the reference, written with nothing but matrix products, softmax and
elementwise operations, on the weights of the module that they are compared with. Widths, heads and positions are those
of the released model; the number of layers is cut, because a layer's time is what is compared.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from cases import Case
from torch import Tensor, nn

from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig, pad_code_vectors
from videolavit.nn.attention import CrossAttention, SelfAttention
from videolavit.nn.policy import POLICY_EPSILON, policy_attention
from videolavit.tokenizers.merger import Merger
from videolavit.tokenizers.selector import Selector
from videolavit.tokenizers.vit import VisionTransformer, VisionTransformerConfig

SHARE_KEPT = 1 / 3


def visual_cases(*, quick: bool = False) -> list[Case]:
    """All rows of this file; `quick` takes a quarter of the width and one layer."""
    width, layers, batch = (352, 1, 1) if quick else (1408, 2, 2)
    heads = 16
    vit_config = VisionTransformerConfig(width=width, layers=layers, heads=heads, unused_head_width=None)
    decoder_config = ConditionDecoderConfig(width=width, layers=layers, heads=heads, feature_width=width)
    torch.manual_seed(0)
    vit, selector, decoder = VisionTransformer(vit_config), Selector(width), ConditionDecoder(decoder_config)
    merger = Merger(width=width, layers=layers, heads=heads, hidden_width=vit_config.hidden_width)
    images = torch.randn(batch, 3, vit_config.image_size, vit_config.image_size)
    features, keep = torch.randn(batch, 256, width), torch.rand(batch, 256) < SHARE_KEPT
    codes, mask = pad_code_vectors([torch.randn(count, decoder_config.code_dim) for count in (90, 70)[:batch]])
    query, key, value = torch.randn(3, batch, heads, 256, width // heads)
    policy = own_policy(keep)
    return [
        Case(
            name="policy attention",
            ours=partial(policy_attention, query, key, value, policy),
            plain=partial(plain_policy_attention, query, key, value, policy),
            least_speedup=1.3,
        ),
        Case(name="merger", ours=partial(merger, features, keep), plain=partial(plain_merger, merger, features, keep)),
        Case(name="selector", ours=partial(selector, features), plain=partial(plain_selector, selector, features)),
        Case(name="ViT", ours=partial(vit, images), plain=partial(plain_vit, vit, images)),
        Case(
            name="condition decoder",
            ours=lambda: decoder(codes, mask).prompt_embeds,
            plain=lambda: plain_condition_decoder(decoder, codes, mask)[0],
        ),
    ]


def plain_vit(vit: VisionTransformer, images: Tensor) -> Tensor:
    size = vit.config.patch_size
    patches = F.unfold(images, size, stride=size).transpose(1, 2)
    embedded = patches @ vit.patch_embed.weight.flatten(1).T + vit.patch_embed.bias
    x = torch.cat([vit.cls_token.expand(len(embedded), -1, -1), embedded], dim=1) + vit.pos_embed
    for block in vit.blocks:
        queries, keys, values = plain_joint_projection(block.attention, block.attention_norm(x))
        x = x + plain_join(block.attention, plain_attention(queries, keys, values))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.mlp_norm(x))))
    return x


def plain_selector(selector: Selector, features: Tensor) -> Tensor:
    hidden = F.gelu(selector.in_proj(selector.norm(features)))
    half = hidden.shape[-1] // 2
    shared = hidden[..., half:].mean(dim=1, keepdim=True).expand(-1, hidden.shape[1], -1)
    hidden = torch.cat([hidden[..., :half], shared], dim=-1)
    hidden = F.gelu(selector.half_proj(hidden))
    return F.log_softmax(selector.out_proj(F.gelu(selector.quarter_proj(hidden))), dim=-1)


def plain_merger(merger: Merger, features: Tensor, keep: Tensor) -> Tensor:
    context, x = merger.context_norm(features), features
    own, dropped = own_policy(keep), (~keep).float()[:, None, None]
    for block in merger.blocks:
        queries, keys, values = plain_joint_projection(block.self_attention, block.self_norm(x))
        x = x + plain_join(block.self_attention, plain_policy_attention(queries, keys, values, own))
        queries, keys, values = plain_projections(block.cross_attention, block.cross_norm(x), context)
        x = x + plain_join(block.cross_attention, plain_policy_attention(queries, keys, values, dropped))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.mlp_norm(x))))
    return merger.norm(x)


def plain_condition_decoder(decoder: ConditionDecoder, codes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    codes = decoder.in_proj(codes) + decoder.pos_embed[:, : codes.shape[1]]
    bias = -10000.0 * (~mask).float()[:, None, None]
    x = decoder.query_embed.expand(len(codes), -1, -1)
    for block in decoder.blocks:
        queries, keys, values = plain_joint_projection(block.self_attention, block.self_norm(x))
        x = x + plain_join(block.self_attention, plain_attention(queries, keys, values))
        queries, keys, values = plain_projections(block.cross_attention, block.cross_norm(x), codes)
        x = x + plain_join(block.cross_attention, plain_attention(queries, keys, values, bias))
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.mlp_norm(x))))
    features = decoder.feature_head(decoder.norm(x))
    tokens = torch.cat([features.mean(dim=1, keepdim=True), features], dim=1) + decoder.pool.pos_embed
    pooled = plain_attention(*plain_projections(decoder.pool, tokens[:, :1], tokens))
    return torch.cat([proj(features) for proj in decoder.prompt_projs], dim=-1), plain_join(decoder.pool, pooled)[:, 0]


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    logits = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
    return (logits if bias is None else logits + bias).softmax(dim=-1) @ values


def plain_policy_attention(queries: Tensor, keys: Tensor, values: Tensor, policy: Tensor) -> Tensor:
    """The masked softmax as the reference states it (section 4)."""
    logits = (queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5).float()
    exponentials = (logits - logits.max(dim=-1, keepdim=True).values).exp() * policy
    total = exponentials.sum(dim=-1, keepdim=True)
    weights = (exponentials + POLICY_EPSILON / keys.shape[-2]) / (total + POLICY_EPSILON)
    return weights.to(values.dtype) @ values


def own_policy(keep: Tensor) -> Tensor:
    own = torch.eye(keep.shape[1], dtype=torch.bool, device=keep.device)
    return (keep[:, None, None] | own).tril().float()


def plain_joint_projection(attention: SelfAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    joint = x @ attention.qkv.weight.T
    if attention.q_bias is None:
        joint = joint + attention.qkv.bias
    else:
        joint = joint + torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    queries, keys, values = (plain_heads(part, attention.heads) for part in joint.chunk(3, dim=-1))
    return queries, keys, values


def plain_projections(attention: CrossAttention | nn.Module, x: Tensor, context: Tensor) -> list[Tensor]:
    projected = attention.query(x), attention.key(context), attention.value(context)
    return [plain_heads(part, attention.heads) for part in projected]


def plain_heads(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


def plain_join(attention: nn.Module, attended: Tensor) -> Tensor:
    return attention.proj(attended.transpose(1, 2).flatten(2))
