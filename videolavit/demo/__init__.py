"""A page on which tokens and motion can be seen and touched, beside the server's API: `videolavit demo`.

One process, one model: the page is mounted at /demo of the app that `videolavit serve` runs, and is a client of the
same engine. So it shares queue, limits and cancellation with /v1, and a video never stands in the way of an answer.

    browser -- gradio's events --> tabs -- functions on arrays --> library
                                    |
                                    +-- ModelCalls -- tasks --> server.engine (owns the model)

What is where:

    page_app          the server's app with the page mounted on it, and `launch`
    page_layout       header, tabs, theme; nothing of a tab's own
    tabs/             one file for each tab: its inputs, outputs and events. Only these and the layout import gradio
    model_calls       work on the engine's thread, as events: place in line, progress, previews, result; and Stop
    result_panel      what stands under every result: cost strip, download, the lines that repeat it
    repeat_lines      those lines: command, Python, curl, and an address of the page
    deep_links        addresses that open a tab with its fields filled
    taken_apart       a video as keyframes, cuts and motion, without a model
    kept_patches      patches that the selector keeps, with its probabilities, over the image
    code_places       where a code stands, its neighbours in the codebook, another in its place
    token_timeline    keyframe and motion codes of each clip as a strip, coloured by code or by surprise
    next_tokens       what the model expects at each place of a row of ids, and what the grammar forbids
    arrow_motion      an arrow drawn on an image as a field of motion

Everything but the tabs, the layout and the panel is free of gradio, typed, and tested without a browser.

Decisions:
  - Events are async generators. They yield what changed, at least every quarter of a second, so a visitor who leaves
    ends the work; Stop cancels it on the engine, at the next id or denoising step.
  - The state of a visitor is plain: token text, paths of uploads, numbers. Clips and frames of the last result of a tab
    stay in memory where they can be looked at further or gone on from, for an hour.
  - Results are the files that the library writes, metadata inside, so the lines that repeat them give the same bytes.
  - Nothing comes from elsewhere: gradio's files from its wheel, system fonts, no telemetry, no FFmpeg.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["launch", "prepare_environment"]


def prepare_environment() -> None:
    """Tell gradio and the hub's client to send nothing; to be called before gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_SSR_MODE"] = "False"
    os.environ.pop("GRADIO_VIBE_MODE", None)  # it lets visitors change the program


def launch(**options: Any) -> int:
    """Serve the page, as `videolavit demo` does, until the process is told to stop; `options` of `page_app.serve_page`.

    The three lines of an `app.py` for hosting: import it and call it. Without `host` it listens where
    GRADIO_SERVER_NAME says, and there lets in everybody.
    """
    prepare_environment()
    from videolavit.demo.page_app import serve_page

    return serve_page(**options)
