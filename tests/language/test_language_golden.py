"""The reference implementation's ids, embeddings and logits."""

from __future__ import annotations

import torch
from reference.golden import assert_close, fill, golden
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from videolavit.language.generate import generate, stream
from videolavit.language.grammar import Block, Modality
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ClipInput, Ids, ImageInput, Prompt, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary()
KEYFRAME = Block.released(Modality.KEYFRAME, min_ids=20, max_ids=60)
MOTION = Block.released(Modality.MOTION, min_ids=20, max_ids=150)


def reference_model(config: dict) -> LanguageModel:
    return LanguageModel(fill(LlamaForCausalLM(LlamaConfig(**config["llama"])).eval()), VOCABULARY)


def greedy(keyframe: float, motion: float) -> Sampling:
    return Sampling(
        keyframe=SamplingOptions(greedy=True, guidance=keyframe), motion=SamplingOptions(greedy=True, guidance=motion)
    )


def test_keyframe_and_motion_have_the_reference_ids():
    config, expected = golden("generation_small")
    prompt = Prompt.from_ids(config["prompt"])
    [drawn] = generate(reference_model(config), [prompt], [KEYFRAME, MOTION], greedy(4.0, 7.0))
    assert torch.equal(drawn.blocks[0].ids, expected["image_ids"])
    assert torch.equal(drawn.blocks[1].ids, expected["motion_ids"])
    assert torch.equal(torch.cat([prompt.ids, drawn.ids]), expected["sequence_after_motion"])


def test_keyframe_without_guidance_has_the_reference_ids():
    config, expected = golden("generation_small")
    [drawn] = generate(reference_model(config), [Prompt.from_ids(config["prompt"])], [KEYFRAME], greedy(1.0, 1.0))
    assert torch.equal(drawn.blocks[0].ids, expected["image_ids_no_guidance"])


def test_motion_of_a_given_keyframe_has_the_reference_ids():
    config, expected = golden("generation_small")
    prompt = Prompt.from_ids(expected["sequence_after_image"])
    [drawn] = generate(reference_model(config), [prompt], [MOTION], greedy(1.0, 7.0))
    assert torch.equal(drawn.blocks[0].ids, expected["motion_ids"])


def test_closing_marks_come_where_the_reference_has_them():
    config, expected = golden("generation_stop_small")
    model = reference_model(config)
    head = model.causal_lm.lm_head.weight.data
    head[VOCABULARY.image_end] = 1.2 * head[34598]
    ids = []
    for new in stream(model, [Prompt.from_ids(config["prompt"])], [KEYFRAME, MOTION], greedy(4.0, 7.0)):
        ids.append(new.id)
        if new.id == VOCABULARY.motion_start:
            head[VOCABULARY.motion_end] = 1.2 * head[48881]
    assert config["prompt"] + ids == expected["sequence_after_motion"].tolist()
    assert ids[-1] == VOCABULARY.motion_end


def test_video_features_stand_between_the_marks_as_in_the_reference():
    config, expected = golden("understanding_small")
    model = reference_model(config)
    video = VideoInput(clips=tuple(clips_of(expected["video.embeds"], model)))
    prompt = question(config["video"]["input_ids"][0], video)
    embeddings = model.embed(prompt)
    assert_close(embeddings.detach(), expected["video.inputs_embeds"])
    assert_close(last_logits(model, prompt), expected["video.last_logits"])


def test_image_features_give_the_reference_logits():
    config, expected = golden("understanding_small")
    prompt = question(config["image"]["input_ids"][0], ImageInput(features=expected["image.embeds"][1:-1]))
    assert_close(last_logits(reference_model(config), prompt), expected["image.last_logits"])


def question(ids: list[int], medium: ImageInput | VideoInput) -> Prompt:
    place = next(index for index, value in enumerate(ids) if value < 0)
    return assemble([Ids(ids[:place]), medium, Ids(ids[place + 1 :])], VOCABULARY)


def last_logits(model: LanguageModel, prompt: Prompt) -> Tensor:
    with torch.inference_mode():
        return model.logits(model.hidden(model.embed(prompt)[None])[:, -1])[:, :33000:7]


def clips_of(embeddings: Tensor, model: LanguageModel) -> list[ClipInput]:
    """Features and motion ids of embeddings, found by their marks: rows of the table are ids, others are features."""
    table = model.embed_ids(torch.arange(VOCABULARY.size)).detach()
    distance, nearest = torch.cdist(embeddings, table, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    ids = torch.where(distance < 1e-4, nearest, -1).tolist()
    clips = []
    while ids:
        image_end, motion_end = ids.index(VOCABULARY.image_end), ids.index(VOCABULARY.motion_end)
        keyframe = ImageInput(features=embeddings[1:image_end])
        clips.append(ClipInput(keyframe=keyframe, motion_ids=torch.tensor(ids[image_end + 2 : motion_end])))
        ids, embeddings = ids[motion_end + 1 :], embeddings[motion_end + 1 :]
    return clips
