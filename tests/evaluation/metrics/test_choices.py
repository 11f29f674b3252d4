"""Letters and words are read from answers as each benchmark reads them."""

import pytest

from videolavit.evaluation.metrics.choices import first_letter, mmbench_letter, rotations, scienceqa_letter
from videolavit.evaluation.metrics.yes_no import yes_or_no

OPTIONS = {"A": "red", "B": "light green", "C": "green", "D": "blue"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("B", "B"),
        (" B ", "B"),
        ("B. green", "B"),
        ("B.", None),
        ("b", None),
        ("The answer is C.", "C"),
        ("I think. The answer is C. Sure.", "C"),
        ("The answer is C. The answer is B.", None),
        ("The answer is C", None),
        ("The answer is C, the green one.", "C"),  # the full stop of the script's pattern is not escaped
        ("E", None),
        ("", None),
        ("AB", None),
    ],
)
def test_scienceqa_takes_a_letter_a_letter_with_text_or_the_sentence(answer, expected):
    assert scienceqa_letter(answer, 4) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("C", "C"), (" C\n", "C"), ("c", None), ("(C)", None), ("C.", None), ("C. green", None), ("E", None), ("", None)],
)
def test_seed_takes_an_answer_that_equals_a_letter(answer, expected):
    assert first_letter(answer, 4) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("The answer is B.", "B"),
        ("B or C", None),
        ("B. Answer: B", "B"),
        ("B is what I see there, so B", None),  # its first place is too far from the end
        ("A", "A"),
        ("A dog stands in front of it", None),
        ("B because it is the only one that looks like it", None),
        ("it is red", "A"),
        ("it is light green", None),  # which says "green", too
        ("it is blue, and blue is what I would have said about anything at all", None),
        ("", None),
    ],
)
def test_mmbench_takes_a_lone_letter_near_the_end_or_the_text_of_one_option(answer, expected):
    assert mmbench_letter(answer, OPTIONS) == expected


def test_each_pass_moves_the_options_on_by_one():
    passes = rotations(["x", "y", "z"])
    assert [[index for _, index in one] for one in passes] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    assert passes[1] == [("y", 1), ("z", 2), ("x", 0)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Yes", "yes"), ("no.", "no"), ("No, it is not", "no"), ("It is so", None), ("", None), ("yes" * 9, "yes")],
)
def test_yes_and_no_are_read_from_the_beginning(answer, expected):
    assert yes_or_no(answer) == expected
