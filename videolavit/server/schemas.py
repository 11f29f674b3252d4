"""Bodies of requests, as OpenAI's clients send them, and as our OpenAPI document tells.

A field that would change a result and is not honoured is refused; fields without effect that clients always send are
taken and ignored, and say so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ChatBody", "ImageBody", "Message", "RemixBody", "TokensBody", "VideoBody", "VideoReference"]

Ignored = Annotated[Any, Field(description="Accepted and without effect.")]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Guidance = Annotated[float, Field(ge=0, le=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Url(_Body):
    """A data URL, or an address where the server allows it."""

    url: str
    detail: Ignored = None


class TextPart(_Body):
    """Words."""

    type: Literal["text"]
    text: str


class ImagePart(_Body):
    """An image: PNG, JPEG or WebP."""

    type: Literal["image_url"]
    image_url: Url


class VideoPart(_Body):
    """A video: MP4, WebM, MOV, MKV, AVI or GIF; or `memory:NAME`, a long one that this server has read."""

    type: Literal["video_url"]
    video_url: Url


Part = Annotated[TextPart | ImagePart | VideoPart, Field(discriminator="type")]


class Message(_Body):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None


class StreamOptions(_Body):
    """Options of a stream."""

    include_usage: bool = False
    include_obfuscation: Ignored = None


class TextFormat(_Body):
    """The one form of answers."""

    type: Literal["text"]


class ChatBody(_Body):
    """A conversation to be answered."""

    model: str | None = None
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    temperature: float | int | None = Field(None, ge=0, le=2)
    top_p: float | int | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1)
    seed: Seed | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: TextFormat | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    tools: list[Any] | None = Field(None, max_length=0)
    tool_choice: Literal["none", "auto"] | None = None
    logit_bias: dict[str, float] | None = Field(None, max_length=0)
    modalities: list[Literal["text"]] | None = None
    context: Literal["whole", "window", "budget", "retrieval"] | None = Field(
        None, description="Which clips of a `memory:NAME` are looked at; those that fit the question by default"
    )
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    parallel_tool_calls: Ignored = None


class ImageBody(_Body):
    """Images to be generated."""

    model: str | None = None
    prompt: str
    n: int | None = Field(None, ge=1)
    size: str | None = Field(None, description="WIDTHxHEIGHT in pixels, or auto")
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png", "webp", "jpeg"] | None = None
    seed: Seed | None = None
    candidates: int | None = Field(None, ge=1)
    negative_prompt: str | None = Field(None, description="Text that guidance of the tokens steps away from")
    num_inference_steps: Steps | None = Field(None, description="Denoising steps of the image")
    guidance_scale: Guidance | None = Field(None, description="Guidance of the image's denoising")
    quality: Ignored = None
    user: Ignored = None


class ImageEditBody(ImageBody):
    """Images to be generated of what a prompt says about others; it may say `<image>` where each belongs."""

    image: Any = Field(None, description="An image or several: files of a form, or URLs")


class VideoReference(_Body):
    """A video that this server made, by its id, or any video as a URL."""

    id: str | None = None
    video_url: str | None = None


class VideoBody(_Body):
    """A video to be made. Without `video`, `motion_of` and `from_tokens` it is generated from the prompt."""

    model: str | None = None
    prompt: str | None = None
    seconds: str | int | None = Field(None, description="Whole clips, such as 4 or 8")
    size: str | None = Field(None, description="WIDTHxHEIGHT in pixels, or auto")
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    num_frames: int | None = Field(None, ge=1, description="Whole clips, in place of seconds")
    clips: int | None = Field(None, ge=1, description="Number of clips, in place of seconds")
    fps: float | int | None = Field(None, gt=0, le=60)
    seed: Seed | None = None
    candidates: int | None = Field(None, ge=1)
    negative_prompt: str | None = Field(None, description="Text that guidance of the tokens steps away from")
    num_inference_steps: Steps | None = Field(None, description="Denoising steps of the frames")
    guidance_scale: Guidance | None = Field(None, description="Most guidance of the frames' denoising")
    keyframe_num_inference_steps: Steps | None = None
    keyframe_guidance_scale: Guidance | None = None
    continuation: Literal["restart", "inversion", "none"] | None = None
    input_reference: Any = Field(None, description="The first frame: a file, {image_url: URL}, or a URL")
    image_reference: Any = Field(None, description="The same as input_reference")
    video: VideoReference | str | bytes | None = Field(None, description="To edit or extend: an id, a URL, or a file")
    motion_of: VideoReference | str | bytes | None = Field(None, description="Its motion is put on the image or video")
    from_tokens: str | None = Field(None, description="Tokens as text, in place of a prompt")
    reverse: bool | None = None
    mirror: bool | None = None
    scale: float | int | None = Field(None, ge=-100, le=100)
    freeze: bool | None = None
    keyframe: Literal["tokens", "raw"] | None = None
    motion: Literal["tokens", "raw"] | None = None
    detokenizer: Literal["diffusion", "warp"] | None = None
    extra_params: dict[str, Any] | str | None = Field(None, description="More of these fields, as one object")
    user: Ignored = None


class RemixBody(_Body):
    """Other words for a video that was generated before, by the same seed and options."""

    prompt: str = Field(min_length=1)


class TokensBody(_Body):
    """An image or a video to be taken apart into tokens; exactly one of the two."""

    model: str | None = None
    image: str | None = Field(None, description="A URL")
    video: VideoReference | str | None = Field(None, description="An id, or a URL")
