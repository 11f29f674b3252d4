"""Take a real video apart and put it together again: what `make demo` runs.

    python examples/demo.py

The video is one that gradio's wheel ships, or the one that the environment variable DEMO_VIDEO names. Results go to
out/demo. Takes a few seconds.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

OUTPUT = Path("out/demo")


def main() -> int:
    """Run the two commands, showing them as a user would type them, and say where to look."""
    video = os.environ.get("DEMO_VIDEO") or shipped_video()
    commands = [
        ["decompose", video, "-o", str(OUTPUT)],
        ["reconstruct", video, "-o", str(OUTPUT / "reconstructed.mp4"), "--compare"],
    ]
    for command in commands:
        print(f"\n$ videolavit {shlex.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "videolavit", *command], check=False).returncode
        if code != 0:
            return code
    print(f"""
Look at
  {OUTPUT}/contact-sheet.png   the keyframes and their times
  {OUTPUT}/motion/             how each clip moves
  {OUTPUT}/reconstructed.mp4   left the original, right what keyframes and motion alone tell""")
    return 0


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
