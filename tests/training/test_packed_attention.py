"""Attention within packed sequences against the mask of all pairs, which says the same."""

import pytest
import torch
import torch.nn.functional as F
from training.small_language import make_shards

from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageModelSizes
from videolavit.training.packed_attention import attend_packed, sequence_ends
from videolavit.training.packing import attention_mask
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.training_options import TrainingOptions

SEGMENTS = torch.tensor([[0, 0, 0, 1, 2, 2, -1], [0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, -1, -1]])
SIZES = LanguageModelSizes(width=32, mlp_width=48, layers=2, heads=2, context_length=128)
ALL = Shares(generate_image=1, generate_video=1, describe_video=1, answer_video=1)


def parts(key_heads, dtype=torch.float32, device="cpu"):
    random = torch.Generator().manual_seed(0)
    shape = (*SEGMENTS.shape, 8)
    drawn = (torch.randn(len(SEGMENTS), heads, *shape[1:], generator=random) for heads in (4, key_heads, key_heads))
    return [part.to(device, dtype) for part in drawn]


def test_the_ends_of_sequences_are_found():
    ends = sequence_ends(SEGMENTS)
    assert ends.lengths == (3, 1, 2, 1, 7, 1, 4, 2)
    assert ends.ends.tolist() == [0, 3, 4, 6, 7, 14, 15, 19, 21]
    assert ends.ends.dtype == torch.int32


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_it_is_attention_under_the_mask(key_heads, scale):
    query, key, value = parts(key_heads)
    packed = attend_packed(query, key, value, sequence_ends(SEGMENTS), scale)
    mask = attention_mask(SEGMENTS)
    masked = F.scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=True).transpose(1, 2)
    real = SEGMENTS >= 0
    torch.testing.assert_close(packed[real], masked[real])


@pytest.mark.gpu
@pytest.mark.parametrize("key_heads", [4, 2])
def test_the_kernel_of_gpus_is_attention_under_the_mask(key_heads):
    query, key, value = parts(key_heads, torch.bfloat16, "cuda")
    segments = SEGMENTS.cuda()
    packed = attend_packed(query, key, value, sequence_ends(segments))
    whole = [part.float() for part in (query, key, value)]
    masked = F.scaled_dot_product_attention(*whole, attention_mask(segments), enable_gqa=True).transpose(1, 2)
    real = segments >= 0
    torch.testing.assert_close(packed[real].float(), masked[real], atol=2e-2, rtol=2e-2)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    make_shards(folder)

    def stage(attention, **options):
        settings = {"steps": 2, "batch_size": 8, "warmup_steps": 1, "images_every": 0, "precision": "float32"}
        return PretrainingStage(
            data=str(folder / "tokens"),
            text_tokenizer=str(folder / "text"),
            model=SIZES,
            shares=ALL,
            row_length=96,
            attention=attention,
            training=TrainingOptions(**settings | options),
        )

    return stage


def loss_and_gradient(stage, batch):
    torch.manual_seed(0)
    module = stage.build()
    loss = module(batch, 0)["loss"]
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in module.named_parameters()}


@pytest.mark.parametrize("recompute", [False, True])
def test_a_language_model_learns_the_same(stages, recompute):
    masked, packed = stages("mask"), stages("packed")
    samples = masked.samples()
    batch = masked.collate([samples[draw] for draw in range(8)])
    assert (batch["segments"] >= 1).any(), "rows hold several sequences"
    (loss, gradient), (other, others) = loss_and_gradient(masked, batch), loss_and_gradient(packed, batch)
    torch.testing.assert_close(other, loss)
    torch.testing.assert_close(others, gradient)
    if recompute:
        from videolavit.training.blocks import recompute_activations

        torch.manual_seed(0)
        module = packed.build()
        recompute_activations(module)
        torch.testing.assert_close(module(batch, 0)["loss"].detach(), loss)


def test_outside_of_packed_rows_the_model_attends_as_before(stages):
    modules = []
    for attention in ("mask", "packed"):
        torch.manual_seed(0)
        modules.append(stages(attention).build().eval().model)
    embeddings = torch.randn(2, 5, SIZES.width, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[False, False, True, True, True], [True] * 5])
    hidden = [model.hidden(embeddings, mask) for model in modules]
    assert torch.equal(hidden[0][mask], hidden[1][mask])
