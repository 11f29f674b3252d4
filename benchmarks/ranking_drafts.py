"""Rankings of the drafts of an image: how well each tells those that the judge of things accepts from the others.

    python benchmarks/ranking_drafts.py --data data/things_sources.npz --captions 30 --drafts 16

Of each caption several drafts are drawn and judged. A ranking gives every draft a score: how likely the caption is of
its ids (what `candidates` does today), or, once it is drawn and seen again, of its image; how much likelier yes is than
no as the answer to "Do you see: CAPTION?"; and how likely the right name is as the answer to "What is this?", which
knows more than a caption tells. The table has for each the area under the curve, within captions of which some drafts
show the thing and some do not, and the share of captions whose best of N shows thing and place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from videolavit import VideoLaVIT
from videolavit.data.things.captions import image_captions
from videolavit.data.things.matching import MATCHING_QUESTION
from videolavit.data.things.wording import article
from videolavit.evaluation.benchmarks.things import ONE
from videolavit.evaluation.pipeline_adapter import PipelineAdapter
from videolavit.evaluation.things.samples import ThingsSample
from videolavit.evaluation.things.tasks import judged
from videolavit.language.language_model import left_pad
from videolavit.language.prompts import Ids, ImageInput, Text, assemble
from videolavit.pipeline.encoding import seen_images
from videolavit.pipeline.ranking import caption_log_likelihoods

SEEDS_APART = 7919
QUESTION = "What is this?"
RANKINGS = ("caption of ids", "caption of the drawn", "do you see ..?", "what is this?")
BEST_OF = (1, 2, 4, 8, 16)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured."""

    data: Path = Path("data/things_sources.npz")
    """File that `videolavit prepare things-sources` wrote."""
    model: str = "things"
    captions: int = 30
    drafts: int = 16
    temperature: float = 0.5
    """Of the ids of keyframes."""


def main(options: Options) -> None:
    """Draw, judge, rank, and print the table."""
    torch.set_num_threads(1)
    model = VideoLaVIT.from_pretrained(options.model)
    world = replace(ONE, file=options.data, scenes=replace(ONE.scenes, things=24))
    measured = [rank(model, world.sample(number, 0), options) for number in range(options.captions)]
    named, right = (np.stack([one[key] for one in measured]) for key in ("thing", "thing and place"))
    best_of = [count for count in BEST_OF if count <= options.drafts]
    print(f"{'':22}{'area':>6}" + "".join(f"{f'1 of {count}':>9}" for count in best_of))
    for name in RANKINGS:
        scores = np.stack([one[name] for one in measured])
        found = [right[np.arange(len(right)), scores[:, :count].argmax(1)].mean() for count in best_of]
        print(f"{name:22}{area(scores, named):6.2f}" + "".join(f"{share:9.1%}" for share in found))
    print(f"{'by chance':28}" + "".join(f"{right[:, :count].mean():9.1%}" for count in best_of))
    print(f"{'never wrong':28}" + "".join(f"{right[:, :count].any(1).mean():9.1%}" for count in best_of))


def rank(model: VideoLaVIT, sample: ThingsSample, options: Options) -> dict[str, np.ndarray]:
    """Of each draft of a caption: the verdicts, and a score of every ranking."""
    prompt, seeds = image_captions(sample.scene, sample.seed, 1)[0], range(options.drafts)
    keyframe = replace(model.settings.sampling.keyframe, temperature=options.temperature)
    drafts = model.generate_image(
        [prompt] * options.drafts,
        seed=[sample.seed + SEEDS_APART * number for number in seeds],
        candidates=1,
        sampling=replace(model.settings.sampling, keyframe=keyframe),
    )
    verdicts = [judged(draft.pixels[None], sample, prompt) for draft in drafts]
    images = [draft.pixels for draft in drafts]
    how = model.vocabulary, model.settings.visual_input, "likeliest", 0
    seen = seen_images(model.answering.visual_tokenizer, images, *how)
    starts = [int((draft.ids == model.vocabulary.image_start).nonzero()[-1]) for draft in drafts]
    ids = [draft.ids[start:] for draft, start in zip(drafts, starts, strict=True)]
    asked, adapter = MATCHING_QUESTION.format(prompt=prompt.removesuffix(".")), PipelineAdapter(model)

    def odds(image: np.ndarray) -> float:
        yes, no = (adapter.option_likelihood(asked, answer, image=image)[0] for answer in ("yes", "no"))
        return yes - no

    name = article(sample.scene.actors[0].name)
    return {
        "thing": np.array([verdict.named for verdict, _ in verdicts]),
        "thing and place": np.array([one.named and (one.place or not said.place) for one, said in verdicts]),
        "caption of ids": caption_log_likelihoods(model.answering.language_model, ids, prompt).numpy(),
        "caption of the drawn": described(model, seen, prompt).numpy(),
        "do you see ..?": np.array([odds(image) for image in images]),
        "what is this?": np.array([adapter.option_likelihood(QUESTION, name, image=one)[0] for one in images]),
    }


@torch.inference_mode()
def described(model: VideoLaVIT, seen: list[ImageInput], prompt: str) -> Tensor:
    """Log-probability of a caption behind each image, as the model sees it."""
    language = model.answering.language_model
    words = assemble([Text(prompt), Ids([model.vocabulary.text_end])], model.vocabulary, language.text_tokenizer).ids
    shown = [assemble([image, Ids(words)], model.vocabulary, start=True) for image in seen]
    hidden = language.hidden(*left_pad([language.embed(one) for one in shown]))[:, -len(words) - 1 : -1]
    scores = language.logits(hidden, [model.vocabulary.text_range]).float().log_softmax(-1)
    return scores.gather(-1, words.expand(len(shown), -1)[..., None])[..., 0].sum(-1)


def area(scores: np.ndarray, named: np.ndarray) -> float:
    """Share of pairs of drafts of one caption, one that shows the thing and one that does not, in the right order."""
    mixed = [(own, shown) for own, shown in zip(scores, named, strict=True) if 0 < shown.sum() < len(shown)]
    return float(np.mean([(own[shown][:, None] > own[~shown][None]).mean() for own, shown in mixed] or [np.nan]))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
