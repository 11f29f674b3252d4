"""Images and videos from words and images: the part of `VideoLaVIT` that draws (paper, sections 3.2 and 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from videolavit.errors import ConfigError, PromptError
from videolavit.language.prompts import Prompt
from videolavit.pipeline.base import Tasks
from videolavit.pipeline.clip_decoder import ClipDecoder, generated_size, size_for_shape
from videolavit.pipeline.clip_generation import Preview, film
from videolavit.pipeline.media import as_list_of_images
from videolavit.pipeline.options import GenerationOptions, ImageSource, read_image
from videolavit.pipeline.outputs import ClipTokens, GeneratedImage, GeneratedVideo
from videolavit.pipeline.progress import Progress, Work
from videolavit.pipeline.prompt_building import generation_prompt, image_codes
from videolavit.pipeline.state import after_video, from_prompt
from videolavit.pipeline.token_generation import BestOfN, TokenGenerator
from videolavit.video.clips.decompose import VideoSource

__all__ = ["Generation"]

Images = ImageSource | GeneratedImage
Videos = VideoSource | GeneratedVideo


class Generation(Tasks):
    """Draws."""

    def image(
        self,
        prompt: str | Prompt = "",
        *,
        image: Images | Sequence[Images] | None = None,
        candidates: int | None = None,
        options: GenerationOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedImage:
        """Draw an image of what a text says.

        Args:
            prompt: words, or a ready-made row of ids.
            image: images that the prompt speaks of, where it says `<image>`, or else before it.
            candidates: write the ids of so many, and draw the one that the model finds to fit the words best; None for
                the model's own number.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name, such as `seed=1, height=512, width=512, keyframe_guidance_scale=7.0`.

        Raises:
            PromptError: the prompt is empty or too long.
            MediaError: an image cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        options, work = self._options(options, changes), Work(progress)
        wish = self._wish(candidates, prompt)
        images = [read_image(one) for one in as_list_of_images(image)]
        context = generation_prompt(self, prompt, image_codes(self, images, options, work))
        written = TokenGenerator(self, options, work, wish).keyframe(context)
        pixels = ClipDecoder(self, options, work, generated_size(self, options, moving=False)).keyframe(written.codes)
        return GeneratedImage(
            pixels=pixels,
            tokens=ClipTokens(keyframe=written.codes),
            ids=written.context,
            metadata=self._metadata("image", prompt, options, candidates=wish.candidates),
            timings=work.timings,
        )

    def video(
        self,
        prompt: str | Prompt = "",
        *,
        image: Images | None = None,
        keyframe: Images | None = None,
        clips: int = 1,
        candidates: int | None = None,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw a video of what a text says, or one that starts with an image.

        Args:
            prompt: words, or a ready-made row of ids; may be empty if there is an image.
            image: any image, brought to the size of the video: what is seen first. Only motion, and later
                keyframes, are drawn.
            keyframe: the same for an image that another model drew for the prompt: the video takes its shape, and
                motion is chosen as it is after words.
            clips: how many clips, each going on from the last frame of the one before.
            candidates: write the ids of so many videos, and draw the one that the model finds to fit the words best;
                None for the model's own number.
            preview: is called with each clip's number and its frames by motion compensation, before they are drawn.
            options: by default the model's own.
            progress: is told how far the work is.
            changes: single options by name, such as `seed=1, num_inference_steps=10, continuation="inversion"`.

        Raises:
            PromptError: there is neither text nor image, or not even one clip fits into the context.
            MediaError: the image cannot be read.
            ConfigError: an option does not exist or is out of range.
        """
        parts = self.stream_video(
            prompt,
            image=image,
            keyframe=keyframe,
            clips=clips,
            candidates=candidates,
            preview=preview,
            options=options,
            progress=progress,
            **changes,
        )
        return GeneratedVideo.join(list(parts))

    def stream_video(
        self,
        prompt: str | Prompt = "",
        *,
        image: Images | None = None,
        keyframe: Images | None = None,
        after: Videos | None = None,
        clips: int = 1,
        candidates: int | None = None,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Iterator[GeneratedVideo]:
        """The clips of `video`, or of `continue_video` with `after`, each as soon as it is drawn.

        Each comes with its new frames alone; `GeneratedVideo.join` makes one video of them. Where the context is full,
        the prompt and the last clips stay in it. Arguments and errors are those of `video` and `continue_video`.
        """
        if sum(given is not None for given in (image, keyframe, after)) > 1:
            raise PromptError("got more than one of image=, keyframe= and after=, expected one thing to start from")
        if clips < 1:
            raise ConfigError(f"got clips={clips}, expected at least 1")
        work, wish = Work(progress), self._wish(candidates, prompt)
        given = as_list_of_images(image if keyframe is None else keyframe)
        image = read_image(given[0]) if given else None
        options = self._sized(options, changes, image if keyframe is not None else None, after, image is not None)
        size = generated_size(self, options, moving=True)
        if after is None:
            beginning = from_prompt(self, prompt, image, size, options, work)
        else:
            beginning = after_video(self, prompt, after, options, work)
        task = "video" if after is None else "continue_video"
        metadata = self._metadata(task, prompt, options, clips=clips, candidates=wish.candidates)
        writer, painter = TokenGenerator(self, options, work, wish), ClipDecoder(self, options, work, size)
        return film(writer, painter, beginning, clips, preview=preview, metadata=metadata)

    def continue_video(
        self,
        video: Videos,
        prompt: str = "",
        *,
        clips: int = 1,
        preview: Preview | None = None,
        options: GenerationOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> GeneratedVideo:
        """Draw what happens next.

        Args:
            video: a generated video, which is returned with the new frames behind its own; or a file, of which the
                last clip is the context, and only the new frames are returned.
            prompt: words to go on with, in place of those that a generated video was drawn from.
            clips: how many clips to add.
            preview: as in `video`.
            options: by default the model's own; `continuation` says how a new keyframe starts from the last frame.
            progress: is told how far the work is.
            changes: single options by name.

        Raises:
            PromptError: not even one clip fits behind the prompt.
            MediaError: the file cannot be read.
        """
        parts = self.stream_video(
            prompt, after=video, clips=clips, preview=preview, options=options, progress=progress, **changes
        )
        before = [dataclasses.replace(video, timings={})] if isinstance(video, GeneratedVideo) else []
        return GeneratedVideo.join([*before, *parts])

    def _sized(
        self, options: GenerationOptions | None, changes: dict[str, Any], shape: Any, after: Any, after_image: bool
    ) -> GenerationOptions:
        """Complete options. A size that they leave open is that of the video before, or has the shape of an image."""
        asked = self._options(options, changes, after_image=after_image)
        if (options or GenerationOptions()).changed(**changes).height is not None:
            return asked
        if isinstance(after, GeneratedVideo):
            height, width = after.frames.shape[1:3]
        elif shape is not None:
            height, width = size_for_shape(self, shape, asked)
        else:
            return asked
        return asked.changed(height=height, width=width)

    def _wish(self, candidates: int | None, prompt: str | Prompt) -> BestOfN:
        words = prompt.replace("<image>", " ").strip() if isinstance(prompt, str) else ""
        if candidates is None:
            candidates = self.settings.candidates if words else 1
        return BestOfN(candidates=candidates, words=words)
