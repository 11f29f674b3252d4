"""Language model with weights in 8 and 4 bits, of two kinds: size, error and speed beside whole weights.

    python benchmarks/quantization.py                            # random weights of the tiny preset's size
    python benchmarks/quantization.py --model FOLDER_OR_HUB_ID   # "error" is then that of trained weights
    python benchmarks/quantization.py --quick                    # one run

"Error" is the distance of the last hidden states from those of whole weights, as a share of their length; "same choice"
is how often the likeliest next id is the same. Both over random ids. A step is one id with both branches of the
guidance, as ids are drawn, without the cache of earlier ones; a prompt is 256 ids. Times are those of the
processor, on one thread, which depend little on who else uses it.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from videolavit import VideoLaVIT
from videolavit.checkpoints.hooks import quantizer_of
from videolavit.checkpoints.loading import distinct_tensors
from videolavit.training.language_loss import LanguageModelSizes, build_causal_lm
from videolavit.vocabulary import Vocabulary

SIZES = LanguageModelSizes(width=256, mlp_width=704, layers=6, heads=4, context_length=512)
VOCABULARY = Vocabulary(num_text=512, num_visual_codes=1024, num_motion_codes=256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a checkpoint in place of random weights")
    parser.add_argument("--quick", action="store_true", help="one run")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = 1 if arguments.quick else arguments.runs
    print(f"command: python {' '.join(sys.argv)}")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, 1 thread, ", end="")
    print(f"medians of {runs}\n")
    print("| type | weights | MB | error | same choice | a step, ms | a prompt, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dtype in (torch.float32, torch.bfloat16):
        whole = language_model(arguments.model).to(dtype)
        for precision in (None, "int8", "int4", "nf4"):
            print(row(whole, precision, runs), flush=True)


def language_model(name: str | None) -> nn.Module:
    if name is not None:
        return VideoLaVIT.from_pretrained(name).components.module("language_model")
    torch.manual_seed(0)
    return build_causal_lm(SIZES, VOCABULARY).eval()


@torch.no_grad()
def row(whole: nn.Module, precision: str | None, runs: int) -> str:
    model = copy.deepcopy(whole)
    if precision is not None:
        quantizer_of(precision)("language_model", model)
    megabytes = sum(tensor.numel() * tensor.itemsize for tensor in distinct_tensors(model).values()) / 1e6
    ids = torch.randint(whole.config.vocab_size, (2, 256), generator=torch.Generator().manual_seed(0))
    ours, expected = hidden(model, ids).float(), hidden(whole, ids).float()
    error = ((ours - expected).norm() / expected.norm()).item()
    head = whole.get_output_embeddings().float()
    same = (head(ours).argmax(-1) == head(expected).argmax(-1)).float().mean().item()
    head.to(whole.dtype)
    step, prompt = (median_ms(lambda part=part: hidden(model, part), runs) for part in (ids[:, :1], ids[:1]))
    dtype = str(whole.dtype).removeprefix("torch.")
    name = precision or "whole"
    return f"| {dtype} | {name} | {megabytes:.1f} | {error:.4f} | {same:.1%} | {step:.2f} | {prompt:.1f} |"


def hidden(model: nn.Module, ids: Tensor) -> Tensor:
    return model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state


@torch.no_grad()
def median_ms(task: Callable[[], object], runs: int) -> float:
    measured = []
    for _ in range(runs + 1):
        started = time.process_time()
        task()
        measured.append(1000 * (time.process_time() - started))
    return statistics.median(measured[1:])


if __name__ == "__main__":
    main()
