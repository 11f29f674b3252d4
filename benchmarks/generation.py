"""Ids per second of drawing a keyframe and its motion with guidance, beside transformers' own `generate()`.

    python benchmarks/generation.py            # batches of 1, 4 and 16
    python benchmarks/generation.py --quick    # batch 1, short blocks

Both sides use one random Llama of 8 layers x 512 with the released vocabulary of 49 412 ids, in float32, the same
number of threads, transformers' default attention, top-k 200, guidance 4 for the keyframe and 7 for the motion. Every
block has a fixed length, so both draw equally many ids; marks are not counted.

The other side is what the release does: one `generate()` for the keyframe and one for the motion, with
`guidance_scale`, `suppress_tokens` and `min_new_tokens`. Its prompts have equal lengths here and go in as one batch,
which its guidance supports (it pads nothing on the unconditional side); with prompts of different lengths it is still
right, as the mask is only used by the conditional branch.

An id reads the weights of the layers and of its part of the output projection once. How long a plain copy of the same
bytes takes, and a product with a single vector, which only reads them, is measured in the same run. For a batch of one
no loop can be faster than the reading.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from videolavit.language.generate import generate
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators
from videolavit.vocabulary import Vocabulary

KEYFRAME = SamplingOptions(guidance=4.0, top_k=200)
MOTION = SamplingOptions(guidance=7.0, top_k=200)
VOCABULARY = Vocabulary()


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    keyframe_ids: int
    motion_ids: int
    prompts: torch.Tensor

    @property
    def num_ids(self) -> int:
        return len(self.prompts) * (self.keyframe_ids + self.motion_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one batch of 1, 20 keyframe and 30 motion ids, one run")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 4 16")
    parser.add_argument("--runs", type=int, help="default: 5")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batches = arguments.batches or ([1] if arguments.quick else [1, 4, 16])
    runs = arguments.runs or (1 if arguments.quick else 5)
    lengths = (20, 30) if arguments.quick else (90, 135)

    print(f"command: python {' '.join(sys.argv)}")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}")
    print(f"{arguments.threads} thread(s), {arguments.dtype}, medians of {runs}; {lengths[0]} + {lengths[1]} ids")
    print("ids/s of the floors: weights copied, and weights read, once per id; last two columns: our share of each\n")
    print("| batch | videolavit, ids/s | transformers, ids/s | ratio | copied | read | share of copy | share of read |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    model = random_model().to(getattr(torch, arguments.dtype))
    for batch in batches:
        task = make_task(batch, *lengths)
        # One after the other within each run, so that a busy machine slows all.
        tasks = [lambda task=task: draw(model, task), lambda task=task: release(model, task)]
        tasks += [lambda task=task, use=use: use_weights(model, task, use) for use in (copy_into(model), read)]
        seconds = alternate(tasks, runs)
        speeds = [task.num_ids / value for value in seconds]
        ours, theirs, copied, was_read = seconds
        print(
            f"| {batch} | {speeds[0]:.1f} | {speeds[1]:.1f} | {theirs / ours:.2f} | {speeds[2]:.1f} | {speeds[3]:.1f} "
            f"| {copied / ours:.0%} | {was_read / ours:.0%} |",
            flush=True,
        )


def random_model() -> LanguageModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY.size,
        hidden_size=512,
        intermediate_size=1376,  # Llama 2's share of the width
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=4096,
    )
    return LanguageModel(LlamaForCausalLM(config).eval(), VOCABULARY)


def make_task(batch: int, keyframe_ids: int, motion_ids: int) -> Task:
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(3, VOCABULARY.num_text, (batch, 12), generator=generator)
    return Task(keyframe_ids=keyframe_ids, motion_ids=motion_ids, prompts=prompts)


def draw(model: LanguageModel, task: Task) -> None:
    """Ours."""
    drawn = generate(
        model,
        [Prompt.from_ids(prompt) for prompt in task.prompts],
        [Block.keyframe(task.keyframe_ids, task.keyframe_ids), Block.motion(task.motion_ids)],
        Sampling(keyframe=KEYFRAME, motion=MOTION),
        sample_generators(0, len(task.prompts)),
    )
    assert sum(len(block.ids) for sample in drawn for block in sample.blocks) == task.num_ids


def release(model: LanguageModel, task: Task) -> None:
    """Two calls of transformers' `generate()`, the second after the first one's ids."""
    text, visual, motion = VOCABULARY.text_range, VOCABULARY.visual_range, VOCABULARY.motion_range
    not_image = [*text[3:], VOCABULARY.motion_start, VOCABULARY.motion_end, *motion]
    not_motion = [*text[3:], VOCABULARY.image_start, VOCABULARY.image_end, *visual]
    ids = append(task.prompts, VOCABULARY.image_start)
    ids = call_generate(model, ids, KEYFRAME, not_image, VOCABULARY.image_end, task.keyframe_ids)
    ids = append(append(ids, VOCABULARY.image_end), VOCABULARY.motion_start)
    ids = call_generate(model, ids, MOTION, not_motion, VOCABULARY.motion_end, task.motion_ids)
    assert ids.shape[1] == task.prompts.shape[1] + task.keyframe_ids + task.motion_ids + 3


def use_weights(model: LanguageModel, task: Task, use: Callable[[torch.Tensor], object]) -> None:
    """Do with the weights, once for each id of the longest sample, what the floor asks for."""
    decoder, head = model.causal_lm.get_decoder(), model.causal_lm.get_output_embeddings().weight.detach()
    layers = [parameter.detach() for parameter in decoder.layers.parameters() if parameter.ndim == 2]
    for count, part in ((task.keyframe_ids, VOCABULARY.visual_range), (task.motion_ids, VOCABULARY.motion_range)):
        for _ in range(count):
            for weight in (*layers, head[part.start : part.stop]):
                use(weight)


def copy_into(model: LanguageModel) -> Callable[[torch.Tensor], object]:
    """A plain copy to memory that is there already."""
    memory = torch.empty(max(parameter.numel() for parameter in model.parameters()), dtype=model.dtype)
    return lambda weight: memory[: weight.numel()].copy_(weight.flatten())


def read(weight: torch.Tensor) -> None:
    torch.mv(weight, torch.ones(weight.shape[1], dtype=weight.dtype))


def call_generate(
    model: LanguageModel, ids: torch.Tensor, options: SamplingOptions, forbidden: list[int], end: int, count: int
) -> torch.Tensor:
    config = GenerationConfig(
        do_sample=True,
        top_k=options.top_k,
        guidance_scale=options.guidance,
        suppress_tokens=forbidden,
        min_new_tokens=count,
        max_new_tokens=count,
        eos_token_id=end,
        pad_token_id=VOCABULARY.unknown,
    )
    return model.causal_lm.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)


def append(ids: torch.Tensor, mark: int) -> torch.Tensor:
    return torch.cat([ids, ids.new_full((len(ids), 1), mark)], dim=1)


def alternate(tasks: list[Callable[[], None]], runs: int) -> list[float]:
    """Median seconds of each task, after one run that is not counted."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for run in range(runs + 1):
        for task, measured in zip(tasks, seconds, strict=True):
            started = time.perf_counter()
            task()
            if run:
                measured.append(time.perf_counter() - started)
    return [statistics.median(measured) for measured in seconds]


if __name__ == "__main__":
    main()
