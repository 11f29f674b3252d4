import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from videolavit.errors import ConfigError, VocabularyError
from videolavit.vocabulary import Vocabulary

sizes = st.integers(min_value=1, max_value=300)
vocabularies = st.builds(
    Vocabulary, num_text=st.integers(min_value=3, max_value=300), num_visual_codes=sizes, num_motion_codes=sizes
)


def test_released_ids_are_those_of_the_reference():
    vocabulary = Vocabulary()
    assert (vocabulary.image_start, vocabulary.image_end) == (32000, 32001)
    assert vocabulary.visual_range == range(32002, 48386)
    assert (vocabulary.motion_start, vocabulary.motion_end) == (48386, 48387)
    assert vocabulary.motion_range == range(48388, 49412)
    assert vocabulary.size == 49412


@given(vocabularies)
def test_every_id_has_exactly_one_meaning(vocabulary):
    marks = [vocabulary.image_start, vocabulary.image_end, vocabulary.motion_start, vocabulary.motion_end]
    meanings = [*vocabulary.text_range, *vocabulary.visual_range, *vocabulary.motion_range, *marks]
    assert sorted(meanings) == list(range(vocabulary.size))


@given(vocabularies)
def test_codes_survive_the_way_through_ids(vocabulary):
    visual = torch.arange(vocabulary.num_visual_codes)
    motion = torch.arange(vocabulary.num_motion_codes)
    assert torch.equal(vocabulary.visual_codes(vocabulary.visual_ids(visual)), visual)
    assert torch.equal(vocabulary.motion_codes(vocabulary.motion_ids(motion)), motion)


def test_an_id_of_another_modality_is_refused_with_its_value():
    vocabulary = Vocabulary(num_text=10, num_visual_codes=4, num_motion_codes=4)
    ids = torch.tensor([[vocabulary.motion_range.start, vocabulary.visual_range.start]])
    with pytest.raises(VocabularyError, match=f"1 of 2 .* first is {vocabulary.visual_range.start}"):
        vocabulary.motion_codes(ids)


def test_a_code_outside_the_codebook_is_refused():
    vocabulary = Vocabulary(num_text=10, num_visual_codes=4, num_motion_codes=4)
    with pytest.raises(VocabularyError, match="visual code"):
        vocabulary.visual_ids(torch.tensor([4]))
    with pytest.raises(VocabularyError, match="motion code"):
        vocabulary.motion_ids(torch.tensor([-1]))


def test_special_ids_must_be_text():
    with pytest.raises(ConfigError, match="special ids"):
        Vocabulary(num_text=2)
