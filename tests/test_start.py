"""Libraries that each command imports: those that its task needs, for starting fast is a feature.

`benchmarks/start.py` measures what that costs.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from movies import write_movie

HEAVY = (
    *("torch", "diffusers", "transformers", "peft", "accelerate", "sympy", "pandas", "sklearn", "matplotlib"),
    *("scipy", "scipy.stats", "gradio", "fastapi", "uvicorn", "ray", "torchvision", "tensorboard", "sentencepiece"),
)
BY_TRANSFORMERS = {"transformers", "accelerate", "sympy", "scipy", "sentencepiece"}
"""What transformers' classes of language models bring: their module imports losses, sharding and batching."""
BY_DIFFUSERS = BY_TRANSFORMERS | {"diffusers", "peft", "scipy.stats"}
"""What diffusers' UNets bring: their blocks import every transformer of diffusers, its loaders and hooks."""

PROGRAM = """
import sys
from videolavit.cli import main
code = main(sys.argv[1:])
print(code, *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def imported(*arguments: str, folder) -> set[str]:
    """Heavy modules in memory at the end of a command, which must succeed."""
    program = PROGRAM.format(heavy=HEAVY)
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    code, *names = answer.stderr.splitlines()[-1].split()
    assert code == "0", answer.stderr
    return set(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a video, an image and the tokens of it."""
    folder = tmp_path_factory.mktemp("start")
    write_movie(folder / "video.mp4", seconds=6)
    return folder


def test_python_imports_nothing_before_it_is_used():
    program = f"import sys, videolavit; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def test_the_class_of_models_imports_torch_alone():
    program = (
        f"import sys; from videolavit import VideoLaVIT; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "torch\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "video.mp4"],
        ["reconstruct", "video.mp4", "-o", "warped.mp4", "--detokenizer", "warp"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_taking_videos_apart_imports_none(arguments, folder):
    assert imported(*arguments, folder=folder) == set()


def test_clips_are_resized_by_torch_alone(folder):
    # To the reference's 1e-6, which NumPy's sums in another order miss.
    assert imported("decompose", "video.mp4", "-o", "clips", folder=folder) == {"torch"}


@pytest.mark.slow
def test_tasks_with_a_model_import_what_they_need(folder, shipped_model):
    image = ["image", "a red circle", "-o", "image.png", "--seed", "0"]
    assert imported(*image, folder=folder) == {"torch"} | BY_DIFFUSERS
    assert imported("tokenize", "image.png", "-o", "tokens.txt", folder=folder) <= {"torch", "sympy"}
    answer = ["answer", "What colour is it?", "--image", "image.png"]
    assert imported(*answer, folder=folder) == {"torch"} | BY_TRANSFORMERS
