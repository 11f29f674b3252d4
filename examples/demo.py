"""What the model can do, from end to end: what `make demo` runs.

    python examples/demo.py

Generates a video of shapes and three of things, each from a sentence, and asks about them; takes a real video apart,
turns it into tokens and back. Each step is one command, shown as you would type it. The real video is one that gradio's
wheel ships, or the one that the environment variable DEMO_VIDEO names. Results go to out/demo, with frames of the three
videos on one sheet. Takes about a minute on two cores.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import time
from pathlib import Path

from videolavit.cli import main as videolavit

OUTPUT = Path("out/demo")
THINGS = {
    "sailboat": "a large sailboat glides to the right on the sea",
    "bus": "a large bus drives to the left on a square",
    "football": "a football bounces on a meadow",
}
"""Sentences by the names of their files."""
OF_THINGS = ["--model", "things"]
"""The model that saw photographs and real clips as well."""


def steps(video: str) -> list[tuple[str, list[str]]]:
    """What is done, and the command that does it."""
    generated, tokens = str(OUTPUT / "generated.mp4"), str(OUTPUT / "tokens.txt")
    return [
        ("Text to video", ["video", "a red circle moves to the right", "-o", generated, "--seed", "1", "-f"]),
        ("What is in it?", ["answer", "What colour is the object?", "Which way does it move?", "--video", generated]),
        *(step for name, prompt in THINGS.items() for step in of_thing(name, prompt)),
        ("A real video, taken apart", ["decompose", video, "-o", str(OUTPUT / "apart")]),
        ("The same as tokens", ["tokenize", video, "-o", tokens, "-f", *OF_THINGS]),
        ("Tokens to video", reconstruct(video, "reconstructed")),
        (
            "The same with true keyframes: motion alone goes through tokens",
            reconstruct(video, "motion", "--keyframe-from", "raw"),
        ),
    ]


def reconstruct(video: str, name: str, *options: str) -> list[str]:
    """The command that puts a video through tokens, beside the original."""
    return ["reconstruct", video, "-o", str(OUTPUT / f"{name}.mp4"), "--compare", "-f", *options, *OF_THINGS]


def of_thing(name: str, prompt: str) -> list[tuple[str, list[str]]]:
    """Steps that draw a thing and ask about it."""
    file = str(OUTPUT / f"{name}.mp4")
    asked = ["What is it?", "Where is it?", "What does it do?"]
    return [
        (f"The world of things: {name}", ["video", prompt, "-o", file, "--seed", "1", "-f", *OF_THINGS]),
        (f"What does the model see in it? ({name})", ["answer", *asked, "--video", file, *OF_THINGS]),
    ]


def write_sheet() -> None:
    """Frames of the three videos of things on one image."""
    import numpy as np

    from videolavit.video import film_strips, open_video, write_video

    videos = []
    for name in THINGS:
        with open_video(OUTPUT / f"{name}.mp4") as reader:
            videos.append(np.stack([frame.to_ndarray(format="rgb24") for frame in reader.frames()]))
    metadata = {"made_by": "videolavit examples/demo.py", "prompts": list(THINGS.values()), "seed": 1}
    write_video([film_strips(videos, list(THINGS.values()))], OUTPUT / "things.png", fps=1, metadata=metadata)


def main() -> int:
    """Run the steps, time them, and say where to look."""
    video = os.environ.get("DEMO_VIDEO") or shipped_video()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    seconds = []
    for what, command in steps(video):
        print(f"\n{what}\n$ videolavit {shlex.join(command)}", flush=True)
        started = time.perf_counter()
        code = videolavit(command)
        if code != 0:
            return code
        seconds.append(f"  {time.perf_counter() - started:6.1f} s  {what}")
    write_sheet()
    print("\nTimes, the loading of libraries and of the model included", *seconds, sep="\n")
    print(f"""
Look at
  {OUTPUT}/generated.mp4                 what the model of shapes generated
  {OUTPUT}/things.png                what the model of things generated, and its three videos beside it
  {OUTPUT}/apart/contact-sheet.png   keyframes of the real video and their times
  {OUTPUT}/apart/motion/             how each of its clips moves
  {OUTPUT}/tokens.txt                the same as tokens: text that can be edited and decoded again
  {OUTPUT}/reconstructed.mp4         left the original, right from tokens
  {OUTPUT}/motion.mp4                right with true keyframes, and motion from tokens

To see and touch all of it in a browser: {page_command()}""")
    return 0


def page_command() -> str:
    """The command that opens the page, as it can be typed here."""
    program = Path(sys.executable).with_name("videolavit")
    if not program.exists():
        return "videolavit demo"
    return f"{os.path.relpath(program)} demo"


def shipped_video() -> str:
    """Path of the video in gradio's wheel, found without importing gradio."""
    gradio = importlib.util.find_spec("gradio")
    if gradio is None or gradio.origin is None:
        sys.exit(
            "demo: no video; install the extra that brings one, pip install -e '.[demo]', or set DEMO_VIDEO=your.mp4"
        )
    return str(Path(gradio.origin).parent / "media_assets" / "videos" / "world.mp4")


if __name__ == "__main__":
    sys.exit(main())
