"""A text tokenizer of one's own: byte-level BPE, trained on the words of a data set in seconds.

The released model uses Llama's tokenizer; a model for a laptop has no use for 32 000 ids. What comes out is a
transformers tokenizer, so that nothing else in the package knows the difference. Phrases that every conversation
repeats, such as the system sentence, become one id each: they cost a small model more positions than a video does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from videolavit.errors import CheckpointError, ConfigError
from videolavit.language.chat_template import ANSWER_END, SYSTEM
from videolavit.language.unknown_words import words_of

__all__ = ["TextTokenizerConfig", "load_text_tokenizer", "start_and_end", "train_text_tokenizer", "vocabulary_digest"]

_SPECIAL = ("<unk>", "<s>", "</s>")
_BYTES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTokenizerConfig:
    """Sizes and special tokens."""

    size: int = 640
    """Ids, the three special ones, 256 bytes and the phrases included; fewer where the texts give no more merges."""
    lowercase: bool = True
    """Read capitals as small letters: a small model then understands both. Phrases keep theirs."""
    phrases: tuple[str, ...] = (SYSTEM, ANSWER_END)
    """Texts that become one id each wherever they stand."""

    def __post_init__(self) -> None:
        if self.size < self.smallest:
            raise ConfigError(
                f"got a size of {self.size}, expected at least {self.smallest}: bytes, special tokens and phrases"
            )

    @property
    def smallest(self) -> int:
        """Ids without any merge."""
        return len(_SPECIAL) + _BYTES + len(self.phrases)


def train_text_tokenizer(texts: Iterable[str], config: TextTokenizerConfig | None = None) -> Any:
    """A transformers tokenizer with `<unk>`, `<s>`, `</s>` as ids 0, 1, 2; equal texts give equal tokenizers.

    Any text can be encoded, and but for capitals comes back as it was. The words of the texts stay beside it, the most
    frequent first, so that `unknown_words` can tell which others a prompt has.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    config = config or TextTokenizerConfig()
    words: Any = Tokenizer(models.BPE(unk_token=_SPECIAL[0]))
    if config.lowercase:
        words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer
    counts: Counter[str] = Counter()
    words.train_from_iterator(
        _counted(texts, counts),
        trainer(
            vocab_size=config.size - len(config.phrases),
            special_tokens=list(_SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    words.add_tokens([AddedToken(phrase, normalized=False) for phrase in config.phrases])
    unknown, start, end = _SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token=unknown,
        bos_token=start,
        eos_token=end,
        clean_up_tokenization_spaces=False,
        known_words=[word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))],
    )


def _counted(texts: Iterable[str], counts: Counter[str]) -> Iterator[str]:
    """The same texts, whose words are counted as they pass."""
    for text in texts:
        counts.update(words_of(text))
        yield text


def load_text_tokenizer(folder: str | Path) -> Any:
    """A transformers tokenizer from a folder on this machine.

    Raises:
        CheckpointError: there is none.
    """
    from transformers import AutoTokenizer

    if not Path(folder).is_dir():
        raise CheckpointError(f"{folder}: no such folder; make a text tokenizer with `prepare text-tokenizer`")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: the text tokenizer cannot be loaded: {error}") from error


def start_and_end(text_tokenizer: Any) -> tuple[int, int]:
    """Ids of `<s>` and `</s>`, or of what a tokenizer has in their place; without a start, the end for both.

    Raises:
        ConfigError: there is no end of text.
    """
    end = text_tokenizer.eos_token_id
    if end is None:
        raise ConfigError(
            "the text tokenizer has no end of text (eos_token), by which a model ends its answers; set it"
        )
    start = text_tokenizer.bos_token_id
    return (end if start is None else start), end


def vocabulary_digest(tokenizer: Any) -> str:
    """SHA-256 of a tokenizer's pieces and their ids: equal digests read ids alike."""
    return sha256(json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False).encode()).hexdigest()
