"""The Hugging Face hub: access for what is fetched, and a whole model with its card sent there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videolavit.errors import CheckpointError
from videolavit.settings import ModelSettings
from videolavit.vocabulary import Vocabulary

__all__ = ["CARD_FILE", "HubAccess", "model_card", "upload"]

CARD_FILE = "README.md"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAccess:
    """Access to files on the hub, in the words of transformers and diffusers."""

    token: str | bool | None = None
    """For models that are not public; True takes the one that `huggingface-cli login` stored."""
    cache_dir: str | Path | None = None
    """Folder for downloads; by default that of huggingface_hub."""
    local_files_only: bool = False
    """Take what was downloaded before, and ask nobody."""

    def arguments(self) -> dict[str, Any]:
        """Arguments of huggingface_hub's functions, those alone that are not at their defaults."""
        given = {"token": self.token, "cache_dir": self.cache_dir, "local_files_only": self.local_files_only or None}
        return {name: value for name, value in given.items() if value is not None}


def upload(folder: Path, repo_id: str, *, token: str | bool | None, private: bool | None, message: str) -> str:
    """Send a folder to a model repository, which is made if it does not exist; the address of the commit.

    Raises:
        CheckpointError: the hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # Of the library underneath, which fails by its own errors where there is no connection, and changes its name.
    unreached: Any = [kind for kind in HfHubHTTPError.__mro__ if kind.__module__.split(".")[0] != "builtins"]
    failures: Any = (*unreached, HFValidationError, OSError)
    try:
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))
    except failures as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{repo_id}: the hub did not take the model ({reason}); check the id (owner/name), the token and the "
            "connection"
        ) from error


def model_card(vocabulary: Vocabulary, settings: ModelSettings, name: str = "FOLDER_OR_ID") -> str:
    """Card of a model: how it is opened, and what it was made for. What it was trained on is for its author to say."""
    size = settings.video_processor.size
    drawn = "any size" if size is None else f"{size[1]} x {size[0]} pixels"
    return f"""---
library_name: videolavit
pipeline_tag: text-to-video
tags: [videolavit, text-to-video, image-text-to-text, video-text-to-text]
---

# Video-LaVIT model

Text, images and video in one token language, in the native layout of `videolavit`.

```python
from videolavit import VideoLaVIT

model = VideoLaVIT.from_pretrained("{name}", device="auto")
print(model.answer("Which way does it move?", video="video.mp4"))
model.generate_video("a red circle moves right").save("circle.mp4")
```

| | |
| --- | --- |
| ids of text, images, motion | {vocabulary.num_text}, {vocabulary.num_visual_codes}, {vocabulary.num_motion_codes} |
| generated at | {drawn} |
| clips of a video that it can be asked about | {settings.max_clips} |
| frames of a clip | {settings.video_processor.frames_per_clip} at {settings.video_processor.fps:g} a second |

## To be filled in by its author

Training data, measured results, limits, licence.
"""
