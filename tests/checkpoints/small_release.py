"""A small checkpoint in the released layout, with the reference weights of the golden files.

Every released file is there. The sizes are those of the golden files, so what is loaded from the folder must give their
numbers. Nothing here goes through the loader: released keys come from the tables that the modules' own tests use.
"""

from __future__ import annotations

import functools
import json
import string
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from reference.diffusion import golden_video_unet
from reference.golden import golden, weight_rule
from reference.motion_names import released_condition_name, released_tokenizer_name
from reference.visual_names import CONDITION_DECODER, VISUAL_TOKENIZER, released_name
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from videolavit.config import to_dict
from videolavit.detokenizers.condition import ConditionDecoder, ConditionDecoderConfig
from videolavit.detokenizers.motion_condition import MotionConditionEncoder, MotionConditionEncoderConfig
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.tokenizers.visual_tokenizer import VisualTokenizer, VisualTokenizerConfig
from videolavit.tokenizers.vit import VisionTransformerConfig
from videolavit.vocabulary import Vocabulary

Tensors = dict[str, Tensor]
Change = Callable[[str, Tensor], Tensor]

UNDERSTANDING = golden("understanding_small")[0]
KEYFRAME = golden("keyframe_detokenizer_small")[0]
VIDEO = golden("video_detokenizer_small")[0]
SYMBOLS = "▁" + string.ascii_letters + string.digits + string.punctuation
STATED = {
    "visual_tokenizer": {"vit": {"heads": 2}, "merger_heads": 4},
    "condition_decoder": {"heads": 8},
    "motion_tokenizer": {"heads": 4},
    "motion_encoder": {"heads": 4},
}
"""What the shapes of these sizes do not tell."""

PLAYABLE_VOCABULARY = Vocabulary(num_text=355, num_visual_codes=64, num_motion_codes=64)


def write_small_release(
    folder: Path,
    *,
    suffix: str = ".bin",
    vocabulary: Vocabulary | None = None,
    vit_inside: bool = False,
    shards: int = 1,
    video_stem: str = "video_3d_unet",
    change: Change = lambda _, value: value,
) -> Path:
    """Write all files of the release and return the folder.

    Args:
        folder: where to.
        suffix: `.bin` or `.safetensors`.
        vocabulary: another one than the released; it is then stated in `videolavit.json`.
        vit_inside: put the vision transformer into `tokenizer_encoder` instead of a file of its own.
        shards: files that each language model is cut into.
        video_stem: path without ending of the file with the 3-D UNet and the motion encoder.
        change: from a key of the weight rule and its value to another value.
    """
    sizes = vocabulary or Vocabulary()
    language = LlamaConfig(**UNDERSTANDING["llama"] | {"vocab_size": sizes.size})
    for name, tensors in (
        ("language_model", _language_model(language, change)),
        ("language_model_sft", _fine_tuned_model(language, change)),
    ):
        _save_sharded(tensors, folder / name, suffix, shards)
        language.save_pretrained(folder / name)
        text_tokenizer().save_pretrained(folder / name)
    files = _visual_tokenizer(change, vit_inside) | {
        "motion_tokenizer": _weights(motion_tokenizer(), "motion_tokenizer.", released_tokenizer_name, change),
        video_stem: _video_unet_and_motion_encoder(change),
    }
    for path, module in libraries_models().items():
        files[f"{path}/diffusion_pytorch_model"] = _weights(module, f"{Path(path).name}.", str, change)
        module.save_config(folder / path)
    for stem, tensors in files.items():
        save(tensors, folder / f"{stem}{suffix}")
    golden_video_unet(VIDEO["unet"]).save_config(folder / "video_detokenizer/unet")
    _save_schedulers(folder)
    stated = STATED if vocabulary is None else STATED | {"vocabulary": to_dict(vocabulary)}
    (folder / "videolavit.json").write_text(json.dumps(stated))
    return folder


def write_playable_release(folder: Path) -> Path:
    """A release that every task runs on: a vocabulary its codebooks fit, and a selector that keeps most patches."""
    for path, content in _playable_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@functools.cache
def _playable_files() -> dict[Path, bytes]:
    """A few MB that are made once in a process: many tests want a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_small_release(Path(name), vocabulary=PLAYABLE_VOCABULARY, change=_keep_patches)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _keep_patches(key: str, value: torch.Tensor) -> torch.Tensor:
    return torch.tensor([1.0, -1.0]) if key.endswith("token_predictor.out_conv.4.bias") else value


def save(tensors: Tensors, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)


def text_tokenizer() -> LlamaTokenizer:
    """Llama's kind of tokenizer over single characters."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *SYMBOLS]
    return LlamaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])


def visual_tokenizer() -> VisualTokenizer:
    sizes = UNDERSTANDING["visual"]
    vit = VisionTransformerConfig(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=sizes["width"],
        layers=sizes["eva_layers"],
        heads=sizes["eva_heads"],
        unused_head_width=sizes["eva_head_out"],
    )
    return VisualTokenizer(
        VisualTokenizerConfig(
            vit=vit,
            merger_layers=sizes["merger_layers"],
            merger_heads=sizes["merger_heads"],
            num_codes=sizes["codebook_size"],
            code_dim=sizes["code_dim"],
            language_width=sizes["llm_width"],
        )
    )


def motion_tokenizer() -> MotionTokenizer:
    sizes = UNDERSTANDING["motion"]
    return MotionTokenizer(
        MotionTokenizerConfig(
            width=sizes["dim"], heads=sizes["num_heads"], num_codes=sizes["codebook_size"], code_dim=sizes["code_dim"]
        )
    )


def condition_decoder() -> ConditionDecoder:
    sizes = KEYFRAME["condition"]
    return ConditionDecoder(
        ConditionDecoderConfig(
            code_dim=sizes["in_chans"],
            num_positions=(sizes["image_size"] // sizes["patch_size"]) ** 2,
            width=sizes["embed_dim"],
            layers=sizes["depth"],
            heads=sizes["num_heads"],
        )
    )


def motion_encoder() -> MotionConditionEncoder:
    sizes = VIDEO["motion_encoder"]
    return MotionConditionEncoder(
        MotionConditionEncoderConfig(
            width=sizes["dim"], heads=sizes["num_heads"], depth=sizes["depth"], out_width=sizes["out_channel"]
        )
    )


def libraries_models() -> dict[str, UNet2DConditionModel | AutoencoderKL | AutoencoderKLTemporalDecoder]:
    return {
        "image_detokenizer/unet": UNet2DConditionModel(**KEYFRAME["unet"]),
        "image_detokenizer/vae": AutoencoderKL(**KEYFRAME["vae"]),
        "video_detokenizer/vae": AutoencoderKLTemporalDecoder(**VIDEO["vae"]),
    }


def _weights(module: nn.Module, prefix: str, name: Callable[[str], str], change: Change) -> Tensors:
    """Reference weights by released key; the rule sees the key behind `prefix`."""
    shapes = {name(key): tuple(value.shape) for key, value in module.state_dict().items()}
    return {key: change(prefix + key, weight_rule(prefix + key, shape)) for key, shape in shapes.items()}


def _language_model(config: LlamaConfig, change: Change) -> Tensors:
    return _weights(LlamaForCausalLM(config), "", str, change)


def _fine_tuned_model(config: LlamaConfig, change: Change) -> Tensors:
    visual, motion = "model.visual_tokenizer.", "model.motion_tokenizer."
    return (
        _language_model(config, change)
        | _prefixed(visual, _weights(visual_tokenizer(), visual, _released_visual, change))
        | _prefixed(motion, _weights(motion_tokenizer(), motion, released_tokenizer_name, change))
    )


def _visual_tokenizer(change: Change, vit_inside: bool) -> dict[str, Tensors]:
    decoder = _weights(
        condition_decoder(), "tokenizer_decoder.", lambda key: released_name(key, CONDITION_DECODER), change
    )
    files = {"visual_tokenizer/highres_tokenizer_decoder": decoder}
    tokenizer = _weights(visual_tokenizer(), "visual_tokenizer.", _released_visual, change)
    if not vit_inside:
        vit = {key: tokenizer.pop(key) for key in list(tokenizer) if key.startswith("encoder.")}
        files["visual_tokenizer/eva_vitg_psz14"] = {key.removeprefix("encoder."): vit[key] for key in vit}
    return files | {"visual_tokenizer/tokenizer_encoder": tokenizer}


def _video_unet_and_motion_encoder(change: Change) -> Tensors:
    unet = _weights(golden_video_unet(VIDEO["unet"]), "unet.", str, change)
    encoder = _weights(motion_encoder(), "motion_encoder.", released_condition_name, change)
    return _prefixed("unet.", unet) | _prefixed("motion_encoder.", encoder)


def _released_visual(key: str) -> str:
    return released_name(key, VISUAL_TOKENIZER)


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}


def _save_sharded(tensors: Tensors, folder: Path, suffix: str, shards: int) -> None:
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    if shards == 1:
        save(tensors, folder / f"{stem}{suffix}")
        return
    files = [f"{stem}-{i + 1:05}-of-{shards:05}{suffix}" for i in range(shards)]
    weight_map = {key: files[i % shards] for i, key in enumerate(tensors)}
    for file in files:
        save({key: tensors[key] for key in tensors if weight_map[key] == file}, folder / file)
    (folder / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _save_schedulers(folder: Path) -> None:
    keyframe = {key: value for key, value in KEYFRAME["scheduler"].items() if key != "type"}
    DDIMScheduler(**keyframe).save_pretrained(folder / "image_detokenizer/scheduler")
    EulerDiscreteScheduler(**VIDEO["scheduler"]).save_pretrained(folder / "video_detokenizer/scheduler")
