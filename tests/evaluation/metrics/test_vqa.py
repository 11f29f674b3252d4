"""VQA accuracy and its normaliser give the values of the official script."""

import pytest

from videolavit.errors import ConfigError
from videolavit.evaluation.metrics.vqa import check_scorer, normalize, normalize_evalai, vqa_accuracy

OFFICIAL = [
    (["yes"] * 10, "yes", 100),
    (["dog"] * 10, "a dog", 0),
    (["dog"] * 9 + ["cat"], "a dog", 100),
    (["dog"] * 9 + ["cat"], "Dog.", 100),
    (["red"] * 3 + ["blue"] * 7, "red", 90),
    (["red"] * 2 + ["blue"] * 8, "red", 60),
    (["red"] + ["blue"] * 9, "red", 30),
    (["2"] * 10, "two", 0),
    (["2"] * 5 + ["two"] * 5, "two", 100),
    (["1,000"] * 6 + ["1000"] * 4, "1000", 100),
    (["black, white"] * 5 + ["black"] * 5, "black white", 100),
    (["yes"] * 9 + ["no"], "yes, it is", 0),
    (["dont know"] * 6 + ["no"] * 4, "don't know", 100),
]


@pytest.mark.parametrize(("humans", "answer", "expected"), OFFICIAL)
def test_accuracy_is_that_of_the_official_script(humans, answer, expected):
    assert round(100 * vqa_accuracy(answer, humans), 2) == expected


@pytest.mark.parametrize(("humans", "answer"), [(["dog"] * 10, "a dog"), (["2"] * 10, "two")])
def test_evalai_normalises_even_where_all_people_agree(humans, answer):
    assert vqa_accuracy(answer, humans, scorer="evalai") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("U.S.A.", "usa"),
        ("3.14", "3.14"),
        ("1,000 dogs", "1000 dogs"),
        ("well-known", "well known"),
        ("(a)", ""),
        ("isnt", "isn't"),
        ("The An A", ""),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("none of ten", "0 of 10"),
    ],
)
def test_normalised_text_is_that_of_the_official_script(text, expected):
    assert normalize(text) == expected


def test_at_most_32_full_stops_go():
    assert normalize("." * 40) == "." * 8


def test_the_order_of_human_answers_does_not_matter():
    humans = ["red"] * 3 + ["dark red"] * 2 + ["blue"] * 5
    assert vqa_accuracy("red", humans) == vqa_accuracy("red", humans[::-1]) == pytest.approx(0.9)


def test_evalai_takes_marks_away_first():
    assert normalize_evalai("The dog's, is it?") == "dog 's is it"


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ConfigError, match="official, evalai"):
        check_scorer("strict")
    with pytest.raises(ConfigError, match="got 1 human answers"):
        vqa_accuracy("yes", ["yes"])
