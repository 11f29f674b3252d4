"""What may come next."""

from __future__ import annotations

import pytest
import torch

from videolavit.errors import ConfigError, PromptError
from videolavit.language.grammar import Block, GrammarConfig, Modality, Walk, fit_motion, only_visual
from videolavit.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text=12, num_visual_codes=24, num_motion_codes=16)
VISUAL, MOTION = VOCABULARY.visual_range.start, VOCABULARY.motion_range.start


def walked(walk: Walk, *ids: int) -> Walk:
    for new_id in ids:
        assert walk.forced in (None, new_id)
        walk.take(new_id)
    return walk


def test_a_keyframe_may_close_from_its_least_length_on_and_must_at_its_greatest():
    walk = Walk([Block.keyframe(2, 4)], VOCABULARY, 100)
    assert walk.forced == VOCABULARY.image_start
    walked(walk, VOCABULARY.image_start, VISUAL)
    assert (walk.forced, walk.may_close) == (None, False)
    walked(walk, VISUAL + 1)
    assert (walk.forced, walk.may_close) == (None, True)
    walked(walk, VISUAL + 1, VISUAL)
    assert walk.forced == VOCABULARY.image_end
    assert walked(walk, VOCABULARY.image_end).finished


def test_motion_has_exactly_its_number_of_ids():
    walk = walked(Walk([Block.motion(3)], VOCABULARY, 100), VOCABULARY.motion_start, MOTION, MOTION)
    assert (walk.forced, walk.may_close) == (None, False)
    assert walked(walk, MOTION).forced == VOCABULARY.motion_end


def test_blocks_follow_one_another():
    walk = Walk([Block.keyframe(1, 2), Block.motion(1)] * 2, VOCABULARY, 100)
    clip = [
        VOCABULARY.image_start,
        VISUAL,
        VOCABULARY.image_end,
        VOCABULARY.motion_start,
        MOTION,
        VOCABULARY.motion_end,
    ]
    walked(walk, *clip)
    assert not walk.finished
    assert walk.index == 2
    assert walk.at_opening
    assert walked(walk, *clip).finished


def test_text_ends_with_its_mark_and_is_cut_at_its_greatest_length():
    assert walked(Walk([Block.text(5)], VOCABULARY, 100), 7, VOCABULARY.text_end).finished
    assert walked(Walk([Block.text(2)], VOCABULARY, 100), 7, 8).forced == VOCABULARY.text_end


def test_a_keyframe_leaves_room_for_what_must_follow():
    blocks = [Block.keyframe(2, 50), Block.motion(3)]
    walk = walked(Walk(blocks, VOCABULARY, 12), VOCABULARY.image_start, *[VISUAL] * 5)
    assert walk.forced == VOCABULARY.image_end
    walked(walk, VOCABULARY.image_end, VOCABULARY.motion_start, MOTION, MOTION, MOTION, VOCABULARY.motion_end)
    assert walk.finished
    assert walk.room == 0


CLIP = [VOCABULARY.image_start, VISUAL, VOCABULARY.image_end, VOCABULARY.motion_start, MOTION, VOCABULARY.motion_end]


def test_an_optional_keyframe_may_be_left_out_for_its_motion():
    blocks = [Block.keyframe(1, 2), Block.motion(1), Block.keyframe(1, 2, optional=True), Block.motion(1)]
    walk = walked(Walk(blocks, VOCABULARY, 100), *CLIP)
    assert (walk.forced, walk.at_opening) == (None, True)
    assert [part.start for part in walk.choices] == [VOCABULARY.image_start, VOCABULARY.motion_start]
    assert [walk.index_of(part.start) for part in walk.choices] == [2, 3]
    assert walked(walk, *CLIP[3:]).finished
    written = walked(Walk(blocks, VOCABULARY, 100), *CLIP, *CLIP)
    assert written.finished
    assert written.room == 100 - 2 * len(CLIP)


def test_an_optional_keyframe_is_left_out_where_there_is_no_room_for_it():
    blocks = [Block.keyframe(1, 1), Block.motion(1), Block.keyframe(2, 9, optional=True), Block.motion(1)]
    least = len(CLIP) + 3
    walk = walked(Walk(blocks, VOCABULARY, least + 3), *CLIP)
    assert (walk.index, walk.forced) == (3, VOCABULARY.motion_start)
    with_room = walked(Walk(blocks, VOCABULARY, least + 5), *CLIP)
    assert with_room.forced is None
    walked(with_room, VOCABULARY.image_start, VISUAL, VISUAL, VISUAL)
    assert with_room.forced == VOCABULARY.image_end
    walked(with_room, VOCABULARY.image_end, *CLIP[3:])
    assert with_room.finished
    assert with_room.room == 0


def test_only_a_keyframe_with_motion_behind_it_is_optional():
    optional = Block.keyframe(1, 2, optional=True)
    for blocks in ([optional], [optional, Block.text(3)], [optional, Block.keyframe(1, 2), Block.motion(1)]):
        with pytest.raises(PromptError, match="only a keyframe with motion behind it"):
            Walk(blocks, VOCABULARY, 100)
    known = GrammarConfig(min_keyframe_ids=1, max_keyframe_ids=2, motion_ids=1, clips_per_keyframe=3)
    assert [block.optional for block in known.video(4, first=2)[::2]] == [True, False, True, True]


def test_blocks_that_cannot_fit_are_refused():
    blocks = [Block.keyframe(2, 50), Block.motion(3)]
    with pytest.raises(PromptError, match="at least 9 ids"):
        Walk(blocks, VOCABULARY, 8)
    with pytest.raises(PromptError, match="at least one block"):
        Walk([], VOCABULARY, 8)


def test_choices_inside_a_block_are_one_row_of_ids_that_ends_the_block_or_continues_it():
    assert Block.keyframe().choices(VOCABULARY) == (range(VOCABULARY.image_end, VOCABULARY.motion_start),)
    assert Block.motion().choices(VOCABULARY) == (range(VOCABULARY.motion_end, VOCABULARY.size),)
    assert Block.text().choices(VOCABULARY) == (range(12),)


def test_released_blocks_allow_special_ids_and_end_without_a_mark_at_their_greatest_length():
    block = Block.released(Modality.KEYFRAME, 1, 3)
    assert block.choices(VOCABULARY) == (range(3), range(VOCABULARY.image_start, VOCABULARY.motion_start))
    assert walked(Walk([block], VOCABULARY, 100), VOCABULARY.image_start, 0, VISUAL, VISUAL).finished
    assert walked(Walk([block], VOCABULARY, 100), VOCABULARY.image_start, VISUAL, VOCABULARY.image_end).finished


def test_released_motion_is_cut_or_filled_with_code_zero():
    ids = torch.tensor([MOTION + 5, 0, MOTION + 6, VOCABULARY.motion_start, MOTION + 7])
    assert fit_motion(ids, 2, VOCABULARY).tolist() == [MOTION + 5, MOTION + 6]
    assert fit_motion(ids, 5, VOCABULARY).tolist() == [MOTION + 5, MOTION + 6, MOTION + 7, MOTION, MOTION]
    assert fit_motion(ids[:0], 1, VOCABULARY).tolist() == [MOTION]


def test_released_keyframes_keep_their_visual_ids():
    ids = torch.tensor([VISUAL, 2, VOCABULARY.image_start, VISUAL + 3, MOTION])
    assert only_visual(ids, VOCABULARY).tolist() == [VISUAL, VISUAL + 3]


def test_configuration_gives_blocks_of_the_tokenizers_lengths():
    config = GrammarConfig(min_keyframe_ids=3, max_keyframe_ids=9, motion_ids=7, max_text_ids=11)
    assert config.video(2) == (Block.keyframe(3, 9), Block.motion(7)) * 2
    assert config.text() == Block.text(11)
    assert GrammarConfig(constrained=False).motion() == Block.released(Modality.MOTION)


@pytest.mark.parametrize(
    "lengths", [{"min_keyframe_ids": 9, "max_keyframe_ids": 8}, {"motion_ids": 0}, {"max_text_ids": 0}]
)
def test_impossible_lengths_are_refused(lengths: dict[str, int]):
    with pytest.raises(ConfigError, match="impossible"):
        GrammarConfig(**lengths)
