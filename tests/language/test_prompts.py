"""Words, images and videos as one row of ids and features."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaTokenizer

from videolavit.errors import PromptError, VocabularyError
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ClipInput, Ids, ImageInput, Prompt, Text, VideoInput, assemble
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=500, num_visual_codes=24, num_motion_codes=16)
VISUAL = torch.tensor([*VOCABULARY.visual_range])
MOTION = torch.tensor([*VOCABULARY.motion_range])
IMG, IMG_END, MOV, MOV_END = (
    VOCABULARY.image_start,
    VOCABULARY.image_end,
    VOCABULARY.motion_start,
    VOCABULARY.motion_end,
)


def test_a_drawing_prompt_is_its_words_without_a_start(text_tokenizer: LlamaTokenizer):
    prompt = assemble([Text("a b")], VOCABULARY, text_tokenizer)
    assert text_tokenizer.convert_ids_to_tokens(prompt.ids.tolist()) == ["▁a", "▁b"]


def test_images_and_videos_stand_between_their_marks():
    clips = (
        ClipInput(keyframe=ImageInput(ids=VISUAL[:2]), motion_ids=MOTION[:3]),
        ClipInput(keyframe=ImageInput(ids=VISUAL[5:6]), motion_ids=MOTION[4:6]),
    )
    prompt = assemble(
        [Ids([7]), ImageInput(ids=VISUAL[3:5]), VideoInput(clips=clips), Ids([8, 9])], VOCABULARY, start=True
    )
    first = [IMG, *VISUAL[:2].tolist(), IMG_END, MOV, *MOTION[:3].tolist(), MOV_END]
    second = [IMG, VISUAL[5].item(), IMG_END, MOV, *MOTION[4:6].tolist(), MOV_END]
    image = [IMG, *VISUAL[3:5].tolist(), IMG_END]
    assert prompt.ids.tolist() == [1, 7, *image, *first, *second, 8, 9]


def test_features_stand_between_the_embeddings_of_the_marks(model: LanguageModel):
    features = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    motion = torch.tensor([*model.vocabulary.motion_range][:2])
    clip = ClipInput(keyframe=ImageInput(features=features), motion_ids=motion)
    prompt = assemble([Ids([5]), clip], model.vocabulary)
    marks = model.vocabulary.image_start, model.vocabulary.image_end, model.vocabulary.motion_start
    rows = model.embed_ids(torch.tensor([5, *marks, *motion, model.vocabulary.motion_end]))
    expected = torch.cat([rows[:2], features.double(), rows[2:]])
    assert torch.equal(model.embed(prompt), expected)
    assert repr(prompt) == "Prompt(2 ids + 3 features + 5 ids)"
    assert len(prompt) == 10
    with pytest.raises(PromptError, match="continuous features"):
        _ = prompt.ids


def test_words_never_become_marks(text_tokenizer: LlamaTokenizer):
    prompt = assemble([Text("a</s><s>")], VOCABULARY, text_tokenizer)
    assert not {0, 1, 2} & set(prompt.ids.tolist())
    assert text_tokenizer.decode(prompt.ids) == "a</s><s>"


def test_empty_prompts_are_refused(text_tokenizer: LlamaTokenizer):
    with pytest.raises(PromptError, match="empty"):
        assemble([], VOCABULARY)
    with pytest.raises(PromptError, match="empty"):
        assemble([Text("")], VOCABULARY, text_tokenizer)
    with pytest.raises(PromptError, match="empty"):
        Prompt.from_ids([])


def test_signs_that_are_no_text_are_refused(text_tokenizer: LlamaTokenizer):
    with pytest.raises(PromptError, match="signs that are no text"):
        assemble([Text("a \udcff b")], VOCABULARY, text_tokenizer)


def test_ids_of_another_modality_are_refused():
    with pytest.raises(VocabularyError, match="visual id"):
        assemble([ImageInput(ids=MOTION[:2])], VOCABULARY)
    with pytest.raises(VocabularyError, match="motion id"):
        assemble([ClipInput(keyframe=ImageInput(ids=VISUAL[:1]), motion_ids=VISUAL[:2])], VOCABULARY)
    with pytest.raises(VocabularyError, match="visual id"):
        assemble([ImageInput(ids=torch.arange(3))], VOCABULARY)  # codes, not ids


def test_images_are_ids_or_features_and_not_nothing():
    for wrong in ({}, {"ids": VISUAL[:1], "features": torch.ones(1, 4)}):
        with pytest.raises(PromptError, match="exactly one"):
            ImageInput(**wrong)
    with pytest.raises(PromptError, match="kept nothing"):
        ImageInput(ids=VISUAL[:0])
    with pytest.raises(PromptError, match="no clip"):
        VideoInput(clips=())


def test_words_need_the_vocabularys_own_tokenizer(text_tokenizer: LlamaTokenizer):
    with pytest.raises(PromptError, match="no text tokenizer"):
        assemble([Text("a")], VOCABULARY)
    with pytest.raises(PromptError, match="text ids end at 299"):
        assemble([Text("a b")], Vocabulary(num_text=300), text_tokenizer)


@pytest.mark.parametrize("ids", [torch.ones(2), torch.ones(1, 2).long(), torch.tensor([True])])
def test_ids_are_one_row_of_integers(ids: torch.Tensor):
    with pytest.raises(PromptError, match="one row of integers"):
        Prompt.from_ids(ids)
