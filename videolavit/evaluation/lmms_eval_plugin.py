"""This package's models inside lmms-eval, which finds them by the entry point `videolavit` of `lmms_eval.models`.

    python -m lmms_eval --model videolavit --model_args model=owner/name,device=cuda --tasks mme

lmms-eval lives in an environment of its own, with this package installed beside it; nothing of it is imported before it
asks. Requests of its chat interface have six arguments: context, a function to messages, options, number, task, split.
"""

from __future__ import annotations

from typing import Any

__all__ = ["manifest", "open_adapter"]

_MAX_NEW_TOKENS = 128


def manifest() -> Any:
    """The description by which lmms-eval finds the model."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

    return ModelManifest(model_id="videolavit", chat_class_path=f"{__name__}.VideoLavitChat")


def __getattr__(name: str) -> Any:
    """The model class, made when lmms-eval asks for it: its base class is lmms-eval's."""
    if name != "VideoLavitChat":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    globals()[name] = _chat_class()
    return globals()[name]


def _chat_class() -> type:
    from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]
    from lmms_eval.protocol import ChatMessages  # pyright: ignore[reportMissingImports]

    class VideoLavitChat(lmms):
        """A `VideoLaVIT` that answers requests of lmms-eval."""

        is_simple = False

        def __init__(self, model: str | None = None, device: str = "auto", batch_size: int = 1, **options: Any) -> None:
            super().__init__()
            if options:
                raise ValueError(
                    f"got the model_args {', '.join(sorted(options))}; known are model, device, batch_size"
                )
            self.adapter = open_adapter(model, device)

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [self._answer(request) for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return [self._likelihood(request) for request in requests]

        def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
            raise NotImplementedError("videolavit answers one round at a time")

        def _answer(self, request: Any) -> str:
            _, doc_to_messages, options, number, task, split = request.args
            messages = doc_to_messages(self.task_dict[task][split][number])
            images, videos, _ = ChatMessages(messages=messages).extract_media()
            shown = {"images": [_only(images)], "videos": [_only(videos)]}
            most = int(options.get("max_new_tokens", _MAX_NEW_TOKENS))
            [answer] = self.adapter.answer([_text_of(messages)], **shown, max_new_tokens=most)
            return _until(answer, options.get("until", ()))

        def _likelihood(self, request: Any) -> tuple[float, bool]:
            text, target, doc_to_visual, number, task, split = request.args
            document = self.task_dict[task][split][number]
            option = str(target(document) if callable(target) else target).strip()  # the template has the space
            return self.adapter.option_likelihood(text, option, **_shown(doc_to_visual(document)))

    return VideoLavitChat


def open_adapter(model: str | None, device: str) -> Any:
    """The adapter of a checkpoint, or of the model that comes with this package."""
    from videolavit.evaluation.pipeline_adapter import PipelineAdapter
    from videolavit.pipeline import VideoLaVIT

    return PipelineAdapter(VideoLaVIT.from_pretrained(*([] if model is None else [model]), device=device))


def _only(media: list[Any]) -> Any:
    """The one image or video of a request, or None."""
    if len(media or ()) > 1:
        raise NotImplementedError(f"got {len(media)} images or videos in one request, expected at most one")
    return media[0] if media else None


def _shown(media: list[Any]) -> dict[str, Any]:
    """The one image or video of a request by the name of its kind; lmms-eval gives images as such, videos as paths."""
    from videolavit.pipeline.media import is_image

    shown = _only(media)
    return {} if shown is None else {"image" if is_image(shown) else "video": shown}


def _text_of(messages: Any) -> str:
    """All words of the messages; each is a mapping, or an object of the same names."""
    parts = [part for message in messages for part in _field(message, "content")]
    return "\n".join(_field(part, "text") for part in parts if _field(part, "type") == "text")


def _field(one: Any, name: str) -> Any:
    return one[name] if isinstance(one, dict) else getattr(one, name)


def _until(answer: str, ends: Any) -> str:
    for end in [ends] if isinstance(ends, str) else ends:
        answer = answer.split(end)[0] if end else answer
    return answer
