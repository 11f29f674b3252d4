"""Keyframes as a model draws them of its own tokens, for stages that learn from what they will be given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from videolavit.detokenizers.vae import to_uint8
from videolavit.generation_options import GenerationOptions
from videolavit.pipeline.clip_decoder import ClipDecoder, generated_size
from videolavit.pipeline.encoding import keyframe_codes
from videolavit.pipeline.model import VideoLaVIT
from videolavit.progress import Progress

__all__ = ["RedrawnKeyframes"]


class RedrawnKeyframes:
    """Images through the visual tokenizer and the keyframe detokenizer of a model; nothing is painted anew.

    Args:
        model: a folder, a name of the package's, or `owner/name` on the hub.
    """

    def __init__(self, model: str) -> None:
        self.model = VideoLaVIT.from_pretrained(model)

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "n height width 3"]) -> UInt8[Tensor, "n height width 3"]:
        """The images drawn again at the model's own size, each of noise of its own."""
        with self._as_in_use():
            codes = keyframe_codes(self.model.visual_tokenizer, list(images.cpu().numpy()), "likeliest", 0)
            return self._drawn(codes).to(images.device)

    @torch.no_grad()
    def written(self, captions: list[str]) -> UInt8[Tensor, "n height width 3"]:
        """Images of captions, as the language model writes them."""
        with self._as_in_use():
            made = self.model.generate_image(tuple(captions), seed=torch.randint(2**31, (len(captions),)).tolist())
            return self._drawn([codes for image in made if (codes := image.tokens.keyframe) is not None])

    def _as_in_use(self) -> torch.autocast:
        """Autocast switched off: in the type of a training around it the model would draw otherwise than in use."""
        return torch.autocast(self.model.device.type, enabled=False)

    def _drawn(self, codes: Sequence[Tensor]) -> UInt8[Tensor, "n height width 3"]:
        seeds = torch.randint(2**31, (len(codes),)).tolist()
        options = [GenerationOptions(seed=seed, continuation="none").completed(self.model.settings) for seed in seeds]
        size = generated_size(self.model, options[0], moving=False)
        return to_uint8(ClipDecoder(self.model, options, Progress(), size).drawn(codes))
