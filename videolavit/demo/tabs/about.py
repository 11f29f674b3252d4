"""About: what the page shows, what the model can and cannot do, and where else the same is found."""

from __future__ import annotations

import gradio as gr

from videolavit import __version__
from videolavit.demo.page_context import PageContext

__all__ = ["build"]

_TEXT = """
### What this is

**videolavit** {version} is an open implementation of *Video-LaVIT: Unified Video-Language Pre-training with Decoupled
Visual-Motional Tokenization* (ICML 2024). One language model reads and writes text, images and video as tokens.

A video becomes **clips** of 4 seconds. Of each, the first image is kept, the **keyframe**; how it goes on is kept as
**motion vectors**, which every video encoder finds anyway. A tokenizer turns the keyframe into a few codes, only for
patches that matter; another turns the motion into a fixed number, 135 for the released model. Two diffusion models
turn codes back into pixels.

### What it can do, and what not

{knows}

- Everything here is computed on the machine that serves this page. Nothing is sent elsewhere.
- Uploads: images of up to {image_pixels:.0f} megapixels, videos of up to {seconds:g} seconds; deleted after two hours.
- The same seed gives the same result, here, on the command line, in Python and by the API.

### The same elsewhere

- **API**, in the shape of OpenAI's: `/v1` on this address; `/openapi.json` describes it.
- **Command line**: `videolavit --help`. **Python**: `from videolavit import VideoLaVIT`.
- **MCP**: start the page with `videolavit demo --mcp`; every function of it is a tool then.

### Keys

Tab and Shift+Tab go through the fields, the arrow keys through tabs, sliders and patches, Enter presses a button.
"""


def build(context: PageContext) -> None:
    """Place the text."""
    limits = context.services.limits
    gr.Markdown(
        _TEXT.format(
            version=__version__,
            knows=context.examples.about,
            image_pixels=limits.image_pixels / 1e6,
            seconds=limits.video_seconds,
        )
    )
