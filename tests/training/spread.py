"""A small language stage under torchrun: `python spread.py FOLDER SHARDS OPTIONS`, options as JSON.

Options are those of training; `whole_everywhere` builds the module in every process, as stages without a sketch do.
"""

import json
import sys
from pathlib import Path

import torch

from videolavit.training.language_data import Shares
from videolavit.training.language_loss import LanguageModelSizes
from videolavit.training.loop import train
from videolavit.training.stages.pretraining import PretrainingStage
from videolavit.training.training_options import TrainingOptions


class WholeEverywhere(PretrainingStage):
    starts_as_sketch = False


def spread_stage(shards: Path, *, whole_everywhere: bool = False, **options) -> PretrainingStage:
    settings = {"steps": 6, "batch_size": 16, "learning_rate": 5e-3, "warmup_steps": 2, "log_every": 1}
    settings |= {"images_every": 0, "precision": "float32", "checkpoint_every": 3}
    stage = WholeEverywhere if whole_everywhere else PretrainingStage
    return stage(
        data=str(shards / "tokens"),
        text_tokenizer=str(shards / "text"),
        start_from=options.pop("start_from", ""),
        model=LanguageModelSizes(width=48, mlp_width=96, layers=2, heads=2, context_length=128, tied=True),
        shares=Shares(generate_image=1, generate_video=1, describe_video=1, answer_video=1),
        row_length=128,
        training=TrainingOptions(**settings | options),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(spread_stage(Path(sys.argv[2]), **json.loads(sys.argv[3])), Path(sys.argv[1]), quiet=True)
