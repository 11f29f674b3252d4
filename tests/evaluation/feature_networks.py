"""Small feature networks in the forms of the real ones, with weights of a seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class SmallI3d(nn.Module):
    """Takes the flags of the I3D file; 6 numbers of a video."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(3, 6, 3, stride=(2, 8, 8))

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        if rescale:
            x = x / 127.5 - 1
        return self.layer(x).relu().mean(dim=(2, 3, 4))


class SmallClassifier(nn.Module):
    """101 logits of a video of values from 0 to 255, as C3D."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 101)

    def forward(self, x: Tensor) -> Tensor:
        return 20 * self.layer(x.mean(dim=(2, 3, 4)) / 127.5 - 1)


class SmallInception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 9, stride=9)

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        return self.layer(img.float() / 255).mean(dim=(2, 3))


def write_networks(folder: Path, seed: int = 3) -> dict[str, Path]:
    """Files by the names of the networks."""
    found = {}
    torch.manual_seed(seed)
    for name, module in {"i3d": SmallI3d(), "c3d": SmallClassifier(), "inception": SmallInception()}.items():
        found[name] = folder / f"{name}.pt"
        torch.jit.script(module).save(str(found[name]))
    found["clip"] = found["clip32"] = write_clip(folder / "clip")
    return found


def write_clip(folder: Path) -> Path:
    """A CLIP model with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "red", "blue", "circle", "square", "moves", "left", "right", "a"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(words), "eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 16}, projection_dim=8)
    torch.manual_seed(4)
    CLIPModel(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def write_lpips(folder: Path) -> dict[str, Path]:
    """A VGG16 whose first filters are few but whose keys are right is no VGG16: all sizes are the real ones."""
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    random = torch.Generator().manual_seed(5)
    vgg = {}
    for place, index in enumerate(indices):
        before, after = channels[place], channels[place + 1]
        weight = torch.randn(after, before, 3, 3, generator=random) * (2 / (9 * before)) ** 0.5
        vgg |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.zeros(after)}
    heads = {
        f"lin{depth}.model.1.weight": torch.rand(1, width, 1, 1, generator=random)
        for depth, width in enumerate([64, 128, 256, 512, 512])
    }
    paths = {"vgg": folder / "vgg16.pth", "lpips": folder / "vgg_lin.pth"}
    torch.save(vgg, paths["vgg"])
    torch.save(heads, paths["lpips"])
    return paths
