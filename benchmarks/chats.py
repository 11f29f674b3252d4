"""Answers per second with 16 conversations at once, beside the same conversations one after another.

    python benchmarks/chats.py                   # the random 8 x 512 model of benchmarks/generation.py
    python benchmarks/chats.py --model tiny      # the model of the package

Each conversation is a prompt of one video clip and a question, 160 positions, and an answer of 48 ids. Both sides use
the same engine with the same requests; all answers must be equal.
"""

from __future__ import annotations

import argparse
import sys

import torch
from generation import alternate, random_model

from videolavit.language.engine import DecodingEngine, GenerationRequest
from videolavit.language.grammar import Block
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompts import Prompt
from videolavit.language.sampling_options import Sampling, SamplingOptions
from videolavit.nn.random import sample_generators

POSITIONS, IDS = 160, 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["random", "tiny"], default="random")
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = random_model() if arguments.model == "random" else shipped()

    answers: dict[str, list[list[int]]] = {}
    seconds = alternate(
        [
            lambda: answers.update(together=run(model, arguments.chats, slots=arguments.chats)),
            lambda: answers.update(alone=run(model, arguments.chats, slots=1)),
        ],
        arguments.runs,
    )
    ids = arguments.chats * IDS
    print(f"command: python {' '.join(sys.argv)}")
    print(f"{arguments.threads} thread(s), medians of {arguments.runs}, {arguments.model} model")
    print("| chats | together, ids/s | one after another, ids/s | ratio | equal |\n| --- | --- | --- | --- | --- |")
    equal = sum(map(list.__eq__, answers["together"], answers["alone"]))
    print(
        f"| {arguments.chats} | {ids / seconds[0]:.0f} | {ids / seconds[1]:.0f} | {seconds[1] / seconds[0]:.2f} "
        f"| {equal} of {arguments.chats} |"
    )


def shipped() -> LanguageModel:
    from videolavit.pipeline import VideoLaVIT

    return VideoLaVIT.from_pretrained().language_model


def run(model: LanguageModel, chats: int, *, slots: int) -> list[list[int]]:
    engine = DecodingEngine(model, slots=slots)
    vocabulary, random = model.vocabulary, torch.Generator().manual_seed(0)
    sampling = Sampling(text=SamplingOptions(top_k=50))
    block = Block(modality=Block.text().modality, min_ids=IDS - 1, max_ids=IDS - 1)  # as long for all
    requests = []
    for generator in sample_generators(0, chats):
        prompt = Prompt.from_ids(torch.randint(3, vocabulary.num_text, (POSITIONS,), generator=random))
        wish = GenerationRequest(prompt=prompt, blocks=(block,), sampling=sampling, generator=generator)
        requests.append(engine.submit(wish))
    while engine.busy:
        engine.step()
    return [request.ids for request in requests]


if __name__ == "__main__":
    main()
