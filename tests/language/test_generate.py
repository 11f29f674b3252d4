"""The decoding loop: batches, guidance, streams, stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from videolavit.errors import ConfigError, GenerationError, PromptError, VocabularyError
from videolavit.language import static_cache
from videolavit.language.generate import Generated, generate, stream
from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompts import Ids, ImageInput, Prompt, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators
from videolavit.vocabulary import Vocabulary

CLIPS = (Block.keyframe(3, 12), Block.motion(5)) * 2
SAMPLED = Sampling(
    keyframe=SamplingOptions(guidance=3.0, top_k=8), motion=SamplingOptions(guidance=2.0, top_p=0.9, top_k=0)
)
PROMPTS = [Prompt.from_ids(ids) for ids in ([3, 4, 5], [6], [7, 8, 9, 3, 4, 5, 6, 11], [10, 10])]


def greedy(keyframe: float = 1.0, motion: float = 1.0) -> Sampling:
    return Sampling(
        keyframe=SamplingOptions(greedy=True, guidance=keyframe), motion=SamplingOptions(greedy=True, guidance=motion)
    )


def ids_of(drawn: Sequence[Generated]) -> list[list[int]]:
    return [sample.ids.tolist() for sample in drawn]


def plain_greedy(
    model: LanguageModel, prompt: Prompt, blocks: Sequence[Block], sampling: Sampling, negative: Sequence[int] = ()
) -> list[int]:
    """The definition: both branches encoded anew at every step, log-probabilities over the whole vocabulary."""
    vocabulary, ids = model.vocabulary, prompt.ids.tolist()
    start = len(ids)
    for block in blocks:
        guidance = getattr(sampling, block.modality.value).guidance
        mark = len(ids)
        ids.append(block.opening(vocabulary))
        for count in range(block.max_ids + 1):
            conditional = log_probabilities(model, ids)
            unconditional = log_probabilities(model, [*negative, *ids[mark:]])
            scores = unconditional + guidance * (conditional - unconditional)
            content = vocabulary.visual_range if block.modality is Modality.KEYFRAME else vocabulary.motion_range
            possible = [*content] if count < block.max_ids else []
            possible += [block.closing(vocabulary)] if count >= block.min_ids else []
            ids.append(max(possible, key=lambda new_id: scores[new_id].item()))
            if ids[-1] == block.closing(vocabulary):
                break
    return ids[start:]


@torch.no_grad()
def log_probabilities(model: LanguageModel, ids: list[int]) -> Tensor:
    return model.causal_lm(torch.tensor([ids])).logits[0, -1].log_softmax(-1)


@pytest.mark.parametrize("guidance", [(1.0, 1.0), (4.0, 7.0), (1.0, 3.0), (0.0, 0.5)])
def test_ids_are_those_of_the_definition(model: LanguageModel, guidance: tuple[float, float]):
    sampling = greedy(*guidance)
    expected = [plain_greedy(model, prompt, CLIPS, sampling) for prompt in PROMPTS]
    assert ids_of(generate(model, PROMPTS, CLIPS, sampling)) == expected
    assert len({tuple(ids) for ids in expected}) > 1


@pytest.mark.parametrize("guidance", [(4.0, 7.0), (1.0, 3.0), (0.0, 0.5)])
def test_a_negative_prompt_takes_the_place_of_the_unconditional_one(
    model: LanguageModel, guidance: tuple[float, float]
):
    sampling, negative = greedy(*guidance), [[9, 8, 7], [], [3], list(range(3, 11))]
    expected = [
        plain_greedy(model, prompt, CLIPS, sampling, ids) for prompt, ids in zip(PROMPTS, negative, strict=True)
    ]
    prompts = [Prompt.from_ids(ids) if ids else None for ids in negative]
    assert ids_of(generate(model, PROMPTS, CLIPS, sampling, negative_prompts=prompts)) == expected
    assert ids_of(generate(model, PROMPTS, CLIPS, sampling)) != expected


def test_negative_prompts_that_do_not_fit_are_refused(model: LanguageModel):
    with pytest.raises(PromptError, match="1 negative prompts for 4 prompts"):
        generate(model, PROMPTS, CLIPS, greedy(2.0), negative_prompts=[None])
    long = Prompt.from_ids([3] * (model.context_length - 13))
    with pytest.raises(PromptError, match="does not fit"):
        generate(model, PROMPTS[:1], CLIPS, greedy(2.0), negative_prompts=[long])
    with pytest.raises(VocabularyError):
        generate(model, PROMPTS[:1], CLIPS, greedy(2.0), negative_prompts=[Prompt.from_ids([10**6])])


def test_a_prompts_ids_do_not_depend_on_the_batch(model: LanguageModel):
    together = generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(5, 4))
    alone = [
        generate(model, [prompt], CLIPS, SAMPLED, sample_generators(5, 1, first=index))[0]
        for index, prompt in enumerate(PROMPTS)
    ]
    assert ids_of(together) == ids_of(alone)
    assert len({len(sample.ids) for sample in together}) > 1, "samples should end at different steps"


def test_the_same_seed_gives_the_same_ids_and_another_seed_others(model: LanguageModel):
    first, again, other = (generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(seed, 4)) for seed in (1, 1, 2))
    assert ids_of(first) == ids_of(again)
    assert ids_of(first) != ids_of(other)


def test_streaming_gives_what_generating_gives(model: LanguageModel):
    streamed: list[list[int]] = [[] for _ in PROMPTS]
    for new in stream(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4)):
        streamed[new.sample].append(new.id)
    assert streamed == ids_of(generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4)))


def test_ids_come_one_step_at_a_time(model: LanguageModel):
    steps = stream(model, PROMPTS[:2], CLIPS, SAMPLED, sample_generators(0, 2))
    assert [next(steps).sample for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    steps.close()


def test_a_callback_ends_one_sample_and_leaves_the_others_alone(model: LanguageModel):
    free = generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4))
    seen = []

    def stop_second_in_its_motion(new) -> bool:
        seen.append(new)
        return new.sample == 1 and new.block == 1 and new.id in model.vocabulary.motion_range

    stopped = generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4), stop_second_in_its_motion)
    assert [sample.finished for sample in stopped] == [True, False, True, True]
    assert [stopped[i].ids.tolist() for i in (0, 2, 3)] == [free[i].ids.tolist() for i in (0, 2, 3)]
    assert stopped[1].ids.tolist() == free[1].ids[: len(stopped[1].ids)].tolist()
    assert [(block.closed, len(block.ids)) for block in stopped[1].blocks][1] == (False, 1)
    assert len(seen) == sum(len(sample.ids) for sample in stopped)


def test_blocks_hold_contents_without_marks(model: LanguageModel):
    [drawn] = generate(model, PROMPTS[:1], CLIPS, SAMPLED, sample_generators(0, 1))
    keyframes, motions = drawn.of(Modality.KEYFRAME), drawn.of(Modality.MOTION)
    assert len(keyframes) == len(motions) == 2
    for keyframe, motion in zip(keyframes, motions, strict=True):
        assert model.vocabulary.visual_codes(keyframe).max() < 24
        assert model.vocabulary.motion_codes(motion).shape == (5,)
    assert sum(len(block.ids) + 2 for block in drawn.blocks) == len(drawn.ids)


def test_drawing_goes_on_after_what_was_drawn(model: LanguageModel):
    [clips] = generate(model, PROMPTS[:1], CLIPS, greedy(3.0, 2.0))
    [first] = generate(model, PROMPTS[:1], CLIPS[:2], greedy(3.0, 2.0))
    [second] = generate(model, [Prompt.from_ids(torch.cat([PROMPTS[0].ids, first.ids]))], CLIPS[2:], greedy(3.0, 2.0))
    assert clips.ids.tolist() == [*first.ids.tolist(), *second.ids.tolist()]


def test_motion_follows_a_given_image(model: LanguageModel):
    image = ImageInput(ids=torch.tensor([*model.vocabulary.visual_range][:4]))
    prompts = [assemble([image], model.vocabulary), assemble([Ids([3, 4]), image], model.vocabulary)]
    drawn = generate(model, prompts, [Block.motion(5)], greedy(1.0, 7.0))
    assert [len(sample.of(Modality.MOTION)[0]) for sample in drawn] == [5, 5]
    assert ids_of(drawn) == [plain_greedy(model, prompt, [Block.motion(5)], greedy(1.0, 7.0)) for prompt in prompts]


def test_features_in_a_prompt_are_read(model: LanguageModel):
    ids = torch.tensor([*model.vocabulary.visual_range][:4])
    features = model.embed_ids(ids).detach()
    as_ids, as_features, others = (
        assemble([Ids([3]), image], model.vocabulary)
        for image in (ImageInput(ids=ids), ImageInput(features=features), ImageInput(features=-features))
    )
    drawn = generate(model, [as_ids, as_features, others], [Block.motion(8)], greedy(1.0, 4.0))
    assert ids_of(drawn)[0] == ids_of(drawn)[1] != ids_of(drawn)[2]


def test_the_size_of_the_caches_chunks_changes_nothing(model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    expected = ids_of(generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4)))
    monkeypatch.setattr(static_cache, "COLUMNS_PER_CHUNK", 3)
    assert ids_of(generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4))) == expected


def test_eager_attention_gives_the_same_ids(make_model: Callable[..., LanguageModel]):
    model = make_model(dtype=torch.float32)  # transformers' eager masks overflow to NaN in float64
    expected = ids_of(generate(model, PROMPTS, CLIPS, greedy(4.0, 7.0)))
    model.causal_lm.set_attn_implementation("eager")
    assert ids_of(generate(model, PROMPTS, CLIPS, greedy(4.0, 7.0))) == expected


def test_half_precision_runs(make_model: Callable[..., LanguageModel]):
    drawn = generate(make_model(dtype=torch.bfloat16), PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4))
    assert all(sample.finished for sample in drawn)


def test_a_full_context_is_used_to_its_last_position(make_model: Callable[..., LanguageModel]):
    blocks = [Block.keyframe(2, 500), Block.motion(5)]
    model = make_model(context=40)
    never = model.vocabulary.image_end
    model.causal_lm.lm_head.weight.data[never] = 0
    [drawn] = generate(model, PROMPTS[:1], blocks, SAMPLED, sample_generators(0, 1))
    assert drawn.finished
    assert len(PROMPTS[0]) + len(drawn.ids) <= 40
    assert len(drawn.of(Modality.MOTION)[0]) == 5


def test_left_padding_computes_each_sequence_as_if_alone(model: LanguageModel):
    embeddings = [model.embed(prompt) for prompt in PROMPTS]
    with torch.no_grad():
        together = model.hidden(*left_pad(embeddings))
        for row, sequence in zip(together, embeddings, strict=True):
            torch.testing.assert_close(row[-len(sequence) :], model.hidden(sequence[None])[0])


def test_left_padding_of_equal_lengths_needs_no_mask():
    padded, mask, positions = left_pad([torch.ones(3, 2), torch.zeros(3, 2)])
    assert mask is None
    assert positions.tolist() == [[0, 1, 2]] * 2
    assert padded.shape == (2, 3, 2)


def test_projection_of_chosen_ids_is_that_part_of_the_whole(model: LanguageModel):
    hidden = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen = model.logits(hidden, (range(3), range(20, 30)))
    whole = model.logits(hidden)
    torch.testing.assert_close(chosen, torch.cat([whole[:, :3], whole[:, 20:30]], dim=1))


def test_an_output_projection_that_is_not_a_plain_one_is_used_as_it_is(model: LanguageModel):
    class Doubled(torch.nn.Linear):
        def forward(self, hidden: Tensor) -> Tensor:
            return 2 * super().forward(hidden)

    model.causal_lm.lm_head.__class__ = Doubled
    hidden = torch.ones(1, 16, dtype=torch.float64)
    torch.testing.assert_close(model.logits(hidden, (range(5, 9),)), model.causal_lm.lm_head(hidden)[:, 5:9])


@pytest.mark.parametrize(
    "adapted",
    [{"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}],
)
def test_an_adapted_model_is_used_with_its_adapters(model: LanguageModel, adapted: dict):
    peft = pytest.importorskip("peft")
    causal_lm = peft.get_peft_model(model.causal_lm, peft.LoraConfig(init_lora_weights=False, **adapted)).eval()
    wrapped = LanguageModel(causal_lm, model.vocabulary)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        logits = wrapped.logits(wrapped.hidden(wrapped.embed_ids(ids)), (range(20, 30),))
        torch.testing.assert_close(logits, causal_lm(ids).logits[..., 20:30])
    assert ids_of(generate(wrapped, PROMPTS, CLIPS, greedy(4.0, 2.0))) == [
        plain_greedy(wrapped, prompt, CLIPS, greedy(4.0, 2.0)) for prompt in PROMPTS
    ]


def test_a_training_model_is_put_back(model: LanguageModel):
    model.train()
    generate(model, PROMPTS[:1], CLIPS, SAMPLED, sample_generators(0, 1))
    assert model.training


def test_what_is_drawn_can_be_learnt_from(model: LanguageModel):
    [drawn] = generate(model, PROMPTS[:1], CLIPS, SAMPLED, sample_generators(0, 1))
    model.hidden(model.embed_ids(drawn.ids)[None]).sum().backward()
    assert model.causal_lm.get_input_embeddings().weight.grad is not None


def test_prompts_that_cannot_be_continued_are_refused(make_model: Callable[..., LanguageModel]):
    model = make_model(context=30)
    with pytest.raises(PromptError, match="no prompt"):
        generate(model, [], CLIPS)
    with pytest.raises(PromptError, match="context has room for 0"):
        generate(model, [Prompt.from_ids([3] * 31)], CLIPS)
    with pytest.raises(PromptError, match="3 generators for 4 prompts"):
        generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 3))
    with pytest.raises(VocabularyError, match="from 3 to 56"):
        generate(model, [Prompt.from_ids([3, model.vocabulary.size])], CLIPS[:1])
    with pytest.raises(PromptError, match="width 8"):
        generate(model, [assemble([ImageInput(features=torch.ones(2, 8))], model.vocabulary)], CLIPS[:1])


def test_errors_of_a_stream_come_before_its_first_id(model: LanguageModel):
    with pytest.raises(PromptError, match="no prompt"):
        stream(model, [], CLIPS)


def test_weights_that_are_not_numbers_are_an_error(model: LanguageModel):
    model.causal_lm.lm_head.weight.data[20] = torch.nan
    with pytest.raises(GenerationError, match="finite"):
        generate(model, PROMPTS, CLIPS, SAMPLED, sample_generators(0, 4))


def test_a_model_of_another_vocabulary_is_refused(model: LanguageModel):
    with pytest.raises(ConfigError, match="56 input and 56 output ids"):
        LanguageModel(model.causal_lm, Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=17))


def test_attention_without_masks_is_refused(model: LanguageModel):
    model.causal_lm.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="sdpa"):
        LanguageModel(model.causal_lm, model.vocabulary)
