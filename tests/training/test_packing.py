"""Sequences are what the model meets in use, and packing changes nothing but the speed."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training.small_language import MOTION_IDS, QUESTIONS, WIDTH, make_text_tokenizer, make_video, make_vocabulary

from videolavit.errors import ConfigError, PromptError
from videolavit.language.conversation import Turn, conversation
from videolavit.language.generate import generate
from videolavit.language.grammar import Block, Modality, Walk
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import ClipInput, Ids, ImageInput, Prompt, Text, VideoInput, assemble
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.training.language_loss import LanguageModelSizes, LanguageTraining, build_causal_lm
from videolavit.training.packing import attention_mask, pack, rows_of
from videolavit.training.sequences import LossWeights, SequenceMaker, Target, TrainingSequence

TOKENIZER = make_text_tokenizer()
VOCABULARY = make_vocabulary(TOKENIZER)
VIDEO = make_video(6, VOCABULARY, clips=2)
CAPTION = "a blue ball moves right"


def maker(**changes):
    return SequenceMaker(**({"vocabulary": VOCABULARY, "text_tokenizer": TOKENIZER, "max_length": 128} | changes))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    sizes = LanguageModelSizes(width=32, mlp_width=48, layers=2, heads=2, context_length=128)
    model = LanguageModel(build_causal_lm(sizes, VOCABULARY), VOCABULARY, TOKENIZER)
    weights = LossWeights(special_token=0.5, caption=0.25, answer=3.0)
    module = LanguageTraining(model, WIDTH, weights, tuple(Target)).eval()
    module.model.double()
    module.projection.double()
    return module


MIXED = replace(
    VIDEO,
    clips=(
        VIDEO.clips[0],
        *(replace(clip, visual_ids=clip.visual_ids[:0], features=clip.features[:0]) for clip in VIDEO.clips[1:]),
        VIDEO.clips[0],
    ),
)
"""A clip, one of motion alone, and another with a keyframe."""


def test_what_opens_a_clip_is_learnt_where_clips_may_have_motion_alone():
    plain, knowing = maker().generating(CAPTION, MIXED), maker(motion_only=True).generating(CAPTION, MIXED)
    assert torch.equal(plain.ids, knowing.ids)
    changed = (plain.targets != knowing.targets).nonzero()[:, 0]
    opened = [VOCABULARY.motion_start, VOCABULARY.image_start]
    assert knowing.ids[changed].tolist() == opened
    assert knowing.targets[changed].tolist() == [Target.MOTION, Target.KEYFRAME]
    assert plain.targets[changed].tolist() == [Target.SPECIAL_TOKEN, Target.SPECIAL_TOKEN]
    assert len(maker().unprompted(MIXED)) == 5


def test_questions_lose_motion_alone_together_with_what_it_goes_on_from():
    whole = maker().answering(MIXED, [(QUESTIONS[1], "right")])
    assert sum((whole.ids == one).sum() for one in (VOCABULARY.motion_start, VOCABULARY.image_start)) == 5
    shorter = maker(max_length=len(whole) - 1).answering(MIXED, [(QUESTIONS[1], "right")])
    assert int((shorter.ids == VOCABULARY.image_start).sum()) == 1
    described = maker(motion_only=True).describing(MIXED, CAPTION)
    assert int((described.ids == VOCABULARY.motion_start).sum()) == 3


def everything():
    make = maker()
    return [
        make.generating(CAPTION, VIDEO),
        make.generating(CAPTION, VIDEO, motion=False),
        *make.unprompted(VIDEO),
        make.describing(VIDEO, CAPTION),
        make.describing(VIDEO, CAPTION, motion=False),
        make.answering(VIDEO, [(QUESTIONS[1], "right")]),
        make.answering(VIDEO, [(QUESTIONS[0], "blue")], motion=False),
        make.answering(None, [("Does a ball roll?", "yes")]),
        make.words("balls roll"),
    ]


def check_grammar(blocks, ids):
    """Every id is one that generation could have written there, and nothing is missing at the end."""
    walk = Walk(blocks, VOCABULARY, 128)
    for new_id in ids.tolist():
        chosen = walk.forced is None and any(new_id in part for part in walk.block.choices(VOCABULARY))
        too_early = new_id == walk.block.closing(VOCABULARY) and not walk.may_close
        assert new_id == walk.forced or (chosen and not too_early)
        walk.take(new_id)
    assert walk.finished


def test_a_drawn_video_is_its_prompt_and_what_generation_writes(module):
    prompt = assemble([Text(CAPTION)], VOCABULARY, TOKENIZER)
    sequence = maker().generating(CAPTION, VIDEO)
    blocks = [Block.keyframe(1, 5), Block.motion(MOTION_IDS)] * 2
    assert torch.equal(sequence.ids[: len(prompt)], prompt.ids)
    check_grammar(blocks, sequence.ids[len(prompt) :])
    # and the other way round: what generation writes, read as clips, makes the same sequence
    warm = SamplingOptions()
    [drawn] = generate(
        module.model, [prompt], blocks, Sampling(keyframe=warm, motion=warm), [torch.Generator().manual_seed(1)]
    )
    keyframes, motion = (drawn.of(kind) for kind in (Modality.KEYFRAME, Modality.MOTION))
    clips = tuple(
        type(VIDEO.clips[0])(visual_ids=seen, motion_ids=moved) for seen, moved in zip(keyframes, motion, strict=True)
    )
    again = maker().generating(CAPTION, type(VIDEO)(clips=clips))
    assert torch.equal(again.ids, torch.cat([prompt.ids, drawn.ids]))


def test_an_unprompted_block_is_what_the_unconditional_branch_sees():
    sequences = maker().unprompted(VIDEO)
    assert [int(sequence.ids[0]) for sequence in sequences] == [VOCABULARY.image_start, VOCABULARY.motion_start] * 2
    assert [len(sequence) for sequence in sequences[1::2]] == [MOTION_IDS + 2] * 2
    whole = maker().generating("", VIDEO)
    assert torch.equal(torch.cat([sequence.ids for sequence in sequences]), whole.ids)
    assert all(sequence.targets[0] == Target.NONE for sequence in sequences)


def test_a_question_is_the_conversation_and_its_answer_with_its_ending():
    clips = tuple(
        ClipInput(keyframe=ImageInput(features=clip.features), motion_ids=clip.motion_ids) for clip in VIDEO.clips
    )
    turn = Turn(question=QUESTIONS[1], media=(VideoInput(clips=clips),))
    asked = conversation([turn], VOCABULARY, TOKENIZER)
    sequence = maker().answering(VIDEO, [(QUESTIONS[1], "right")])
    assert_same_parts(Prompt(parts=sequence.cut(len(asked)).parts), asked)
    learnt = sequence.ids[sequence.targets == Target.ANSWER]
    assert TOKENIZER.decode(learnt) == " right \\n </s>"
    assert sequence.targets.tolist() == [0] * len(asked) + [Target.ANSWER] * len(learnt)


def test_several_questions_are_one_conversation_in_which_every_answer_is_learnt():
    said = [(QUESTIONS[1], "right"), (QUESTIONS[0], "blue"), ("Does a ball roll?", "yes")]
    sequence = maker(max_length=512).answering(VIDEO, said)
    clips = tuple(
        ClipInput(keyframe=ImageInput(features=clip.features), motion_ids=clip.motion_ids) for clip in VIDEO.clips
    )
    turns = [Turn(question=question, answer=answer) for question, answer in said]
    turns[0] = Turn(question=said[0][0], answer=said[0][1], media=(VideoInput(clips=clips),))
    assert_same_parts(sequence.prompt, conversation(turns, VOCABULARY, TOKENIZER))
    learnt = sequence.ids[sequence.targets == Target.ANSWER]
    assert TOKENIZER.decode(learnt) == "".join(f" {answer} \\n </s>" for _, answer in said)
    alone = maker().answering(VIDEO, said[:1])
    assert_same_parts(sequence.cut(len(alone)).prompt, alone.prompt)
    assert sequence.targets[: len(alone)].tolist() == alone.targets.tolist()


def test_questions_that_find_no_room_are_left_out_whole():
    said = [(QUESTIONS[1], "right"), (QUESTIONS[0], "blue")]
    both = maker(max_length=512).answering(VIDEO, said)
    cramped = maker(max_length=len(both) - 1).answering(VIDEO, said)
    alone = maker().answering(VIDEO, said[:1])
    assert_same_parts(cramped.prompt, alone.prompt)


def assert_same_parts(one, other):
    assert len(one.parts) == len(other.parts)
    assert all(torch.equal(a, b) for a, b in zip(one.parts, other.parts, strict=True))


def test_a_description_starts_as_understanding_does():
    sequence = maker().describing(VIDEO, CAPTION, motion=False)
    features = VIDEO.clips[0].features
    shown = assemble([ImageInput(features=features)], VOCABULARY, start=True)
    assert_same_parts(Prompt(parts=sequence.cut(len(shown)).parts), shown)
    learnt = sequence.ids[sequence.targets == Target.CAPTION]
    assert TOKENIZER.decode(learnt) == f"{CAPTION}</s>"


def test_a_description_can_show_ids_as_the_model_has_just_written_them():
    sequence = maker().describing(VIDEO, CAPTION, as_ids=True)
    shown = VideoInput(
        clips=tuple(
            ClipInput(keyframe=ImageInput(ids=clip.visual_ids), motion_ids=clip.motion_ids) for clip in VIDEO.clips
        )
    )
    ending = Ids([VOCABULARY.text_end])
    expected = assemble([shown, Text(CAPTION), ending], VOCABULARY, TOKENIZER, start=True)
    assert_same_parts(sequence.prompt, expected)
    assert TOKENIZER.decode(sequence.ids[sequence.targets == Target.CAPTION]) == f"{CAPTION}</s>"


def test_marks_and_contents_are_told_apart():
    sequence = maker().generating(CAPTION, VIDEO)
    marks = {VOCABULARY.image_start, VOCABULARY.motion_start, VOCABULARY.motion_end}
    for new_id, target in zip(sequence.ids.tolist()[1:], sequence.targets.tolist()[1:], strict=True):
        expected = Target.CAPTION
        if new_id in VOCABULARY.visual_range or new_id == VOCABULARY.image_end:
            expected = Target.KEYFRAME
        elif new_id in VOCABULARY.motion_range:
            expected = Target.MOTION
        elif new_id in marks:
            expected = Target.SPECIAL_TOKEN
        assert target == expected


def test_packed_rows_have_the_loss_of_separate_sequences(module):
    sequences = everything()
    packed = pack(sequences, 100, WIDTH)
    assert len(packed["ids"]) < len(sequences)
    together = loss(module, packed)
    weights = module.weights
    alone = [(loss(module, pack([one], 100, WIDTH)), weights[one.targets].sum()) for one in sequences]
    expected = sum(value * weight for value, weight in alone) / sum(weight for _, weight in alone)
    assert together == pytest.approx(expected.item(), abs=1e-6)  # logits are taken to float32


def loss(module, batch):
    with torch.no_grad():
        return module(batch | {"features": batch["features"].double()}, 0)["loss"].item()


def test_hidden_states_of_packed_sequences_are_those_of_the_prompt_alone(module):
    sequences = everything()
    batch = pack(sequences, 100, WIDTH)
    batch["features"] = batch["features"].double()
    with torch.no_grad():
        hidden = module.hidden(batch)
        for row, members in enumerate(rows_of([len(sequence) for sequence in sequences], 100)):
            start = 0
            for member in members:
                alone = module.model.hidden(projected(module, sequences[member])[None])[0]
                torch.testing.assert_close(hidden[row, start : start + len(alone)], alone, rtol=0, atol=1e-6)
                start += len(alone)


def projected(module, sequence):
    """The embeddings that inference makes of it."""
    parts = [module.projection(part.double()) if part.is_floating_point() else part for part in sequence.parts]
    return module.model.embed(Prompt(parts=tuple(parts)))


def test_a_position_sees_its_own_sequence_up_to_itself():
    mask = attention_mask(torch.tensor([[0, 0, 1, -1]]))[0, 0]
    assert mask.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_rows_hold_every_sequence_once_and_no_more_than_fits(lengths):
    rows = rows_of(lengths, 50)
    assert sorted(member for row in rows for member in row) == list(range(len(lengths)))
    filled = [sum(lengths[member] for member in row) for row in rows]
    assert max(filled) <= 50
    assert all(one + other > 50 for one, other in pairwise(filled)), "two neighbouring rows would fit into one"


def test_what_is_too_long_is_cut_or_loses_clips():
    long = make_video(3, VOCABULARY, clips=6)
    make = maker(max_length=60)
    assert len(make.generating(CAPTION, long)) == 60
    answering = make.answering(long, [(QUESTIONS[1], "left")])
    assert len(answering) <= 60
    assert int(answering.ids[-1]) == VOCABULARY.text_end
    shown = (answering.ids == VOCABULARY.motion_start).sum()
    assert 1 < shown < 6
    with pytest.raises(ConfigError, match="a row has 30"):
        pack([make.generating(CAPTION, long)], 30, WIDTH)


def test_a_tokenizer_that_joins_question_and_answer_is_refused():
    class Joining:
        def __call__(self, text, **options):
            ids = TOKENIZER(text, **options).input_ids
            return type("Ids", (), {"input_ids": [*ids[:-2], 5] if "yes" in text else ids})

        def decode(self, ids, **options):
            return ""

    with pytest.raises(PromptError, match="joins the end of a question"):
        maker(text_tokenizer=Joining()).answering(None, [("yes or no", "yes" * 3)])


def test_sequences_know_their_length():
    for sequence in everything():
        assert isinstance(sequence, TrainingSequence)
        assert len(sequence) == len(sequence.prompt) == len(sequence.ids)
    assert len(assemble([Ids([1, 2])], VOCABULARY)) == 2


def test_layers_outside_the_blocks_see_few_numbers_of_rows(module, monkeypatch):
    """Each number of rows has a kernel of its own on a CPU, which stays in memory."""
    seen = []
    logits, project = module.model.logits, module.projection.forward
    monkeypatch.setattr(module.model, "logits", lambda rows: seen.append(len(rows)) or logits(rows))
    monkeypatch.setattr(module.projection, "forward", lambda rows: seen.append(len(rows)) or project(rows))
    for count in (1, 3, 9):
        batch = pack(everything()[:count], 128, WIDTH)
        module(batch | {"features": batch["features"].double()}, 0)
    assert set(seen) <= {0, 128}
    assert 128 in seen
