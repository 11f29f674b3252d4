"""A judge that is a transformers model in a folder: greedy, pinned by hash, and unable to reply outside the form.

Each choice of the protocol's form is made by the log-likelihood of the allowed words, so there is nothing to parse that
could go wrong, and the same folder gives the same verdicts on every machine of a kind.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.files import file_sha256
from videolavit.evaluation.judges.protocols import GradingProtocol
from videolavit.language.loading_bars import without_bars

__all__ = ["LocalJudge"]

_HASHED = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja")


class LocalJudge:
    """A judge in a folder; see the text of this module."""

    workers = 1

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        """Take a folder of transformers; it is loaded when the first prompt comes.

        Args:
            folder: of the model.
            device: by its name; "auto" is a GPU where there is one.

        Raises:
            ConfigError: it holds no model.
        """
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder}: holds no transformers model (config.json); name a folder or an http address")
        self.folder, self.device = folder, device

    def identity(self) -> dict[str, str]:
        digest = hashlib.sha256()
        for path in sorted({path for pattern in _HASHED for path in self.folder.glob(pattern)}):
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
        return {"kind": "local", "model": self.folder.name, "sha256": digest.hexdigest(), "decoding": "greedy choices"}

    def reply(self, protocol: GradingProtocol, prompt: str) -> str:
        context, said = self._opened(protocol.system, prompt), ""
        for text, words in protocol.slots:
            said += text
            said += self._likeliest(context + said, words)
        return said + protocol.ending

    def _opened(self, system: str, prompt: str) -> str:
        """Text up to where the reply begins, in the model's own chat template if it has one."""
        tokenizer, _ = self._loaded
        if tokenizer.chat_template is None:
            return f"{system}\n\n{prompt}\n\nReply: "
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def _likeliest(self, context: str, words: tuple[str, ...]) -> str:
        import torch

        tokenizer, model = self._loaded
        written = [tokenizer(context + word, add_special_tokens=False)["input_ids"] for word in words]
        start = tokenizer(context, add_special_tokens=False)["input_ids"]
        shared = min(_shared_length(start, ids) for ids in written)
        scores = []
        for ids in written:
            with torch.inference_mode():
                logits = model(torch.tensor([ids], device=model.device)).logits[0, shared - 1 : -1].float()
            wanted = torch.tensor(ids[shared:], device=logits.device)
            scores.append(float(logits.log_softmax(-1).gather(-1, wanted[:, None]).sum()))
        return words[max(range(len(words)), key=scores.__getitem__)]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from videolavit.checkpoints.placement import usable_device

        device = usable_device(self.device)
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with without_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(self.folder, **own)
        return tokenizer, model.to(device).eval()


def _shared_length(one: list[int], other: list[int]) -> int:
    """Ids that two texts begin with in common; at least one, and not all of the second."""
    shared = 0
    while shared < min(len(one), len(other) - 1) and one[shared] == other[shared]:
        shared += 1
    return max(1, shared)
