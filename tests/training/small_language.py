"""Token shards that need no tokenizers: every caption decides its ids, so a small model can learn them in seconds."""

from __future__ import annotations

from pathlib import Path

import torch

from videolavit.data.tokens import TokenizedClip, TokenizedVideo, write_tokens
from videolavit.language.text_tokenizer import TextTokenizerConfig, train_text_tokenizer
from videolavit.vocabulary import Vocabulary

COLOURS = ("red", "green", "blue", "yellow")
DIRECTIONS = ("left", "right", "up", "down")
QUESTIONS = ("What colour is the object?", "Which way does the object move?")
WIDTH = 6
MOTION_IDS = 5


def make_text_tokenizer():
    texts = [f"a {colour} ball moves {way}" for colour in COLOURS for way in DIRECTIONS] + [
        *QUESTIONS,
        "USER: ASSISTANT:",
    ]
    return train_text_tokenizer(texts * 4, TextTokenizerConfig(size=330))


def make_vocabulary(text_tokenizer) -> Vocabulary:
    return Vocabulary(num_text=len(text_tokenizer), num_visual_codes=24, num_motion_codes=16)


def make_video(number: int, vocabulary: Vocabulary, *, clips: int = 1, features: bool = True) -> TokenizedVideo:
    """Colour and direction are functions of the number; keyframes have 3 to 5 ids, a third of them without meaning."""
    colour, way = number % 4, number // 4 % 4
    noise = torch.Generator().manual_seed(number)
    parts = []
    for _ in range(clips):
        length = int(torch.randint(3, 6, (), generator=noise))
        codes = torch.randint(16, 24, (length,), generator=noise)
        codes[0], codes[1] = colour, 4 + colour
        motion = torch.tensor([0, 1 + way, 0, 1 + way, 0])
        values = torch.randn(length, WIDTH, generator=noise) * 0.1
        values[:, colour] += 1
        parts.append(
            TokenizedClip(
                visual_ids=vocabulary.visual_ids(codes),
                motion_ids=vocabulary.motion_ids(motion),
                features=values.half() if features else None,
            )
        )
    caption = f"a {COLOURS[colour]} ball moves {DIRECTIONS[way]}"
    return TokenizedVideo(
        clips=tuple(parts),
        captions=(caption, caption + "."),
        image_captions=(f"a {COLOURS[colour]} ball",),
        questions=((QUESTIONS[0], COLOURS[colour], "colour"), (QUESTIONS[1], DIRECTIONS[way], "direction")),
        about_image=(True, False),
    )


def make_shards(folder: Path, *, count: int = 32, features: bool = True):
    """Token shards in `folder/tokens`, a text tokenizer in `folder/text`."""
    text_tokenizer = make_text_tokenizer()
    text_tokenizer.save_pretrained(folder / "text")
    vocabulary = make_vocabulary(text_tokenizer)
    (folder / "tokens").mkdir()
    half = count // 2
    for shard, numbers in enumerate((range(half), range(half, count))):
        videos = [make_video(n, vocabulary, clips=1 + n % 2, features=features) for n in numbers]
        write_tokens(videos, folder / "tokens" / f"part-{shard}", vocabulary)
    return vocabulary, text_tokenizer
