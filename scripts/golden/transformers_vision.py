"""Tiny vision transformers, with what the transformers library computes with them.

Run by hand, with torch 2.15.0 and transformers 5.24.0:

    python scripts/golden/transformers_vision.py crates/interop/fixtures

`vit` has the files of `save_pretrained` and `expected.safetensors`: `pixels` `[B, C, H, W]` and `logits` `[B, K]`.
`vit-digits` is one for the digits of 8 x 8 pixels, without expected numbers. `deit` has a token for distillation.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (DeiTConfig, DeiTForImageClassificationWithTeacher, ViTConfig,
                          ViTForImageClassification)


@torch.no_grad()
def write(folder, name, seed, config=ViTConfig, network=ViTForImageClassification, **options):
    path = Path(folder) / name
    path.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = network(config(num_hidden_layers=2, **options)).eval()
    for key, tensor in sorted(model.named_parameters()):
        draw = torch.randn(tensor.shape)
        scale = 0.3 if tensor.ndim != 2 else 1.0 / tensor.shape[-1] ** 0.5
        tensor.copy_(1 + 0.25 * draw if "layernorm" in key and key.endswith("weight") else scale * draw)
    model.save_pretrained(path)
    return model, path


@torch.no_grad()
def expected(model, path):
    pixels = torch.randn(3, 2, 6, 6)
    save_file({"pixels": pixels, "logits": model(pixels).logits.contiguous()}, path / "expected.safetensors")


def main(folder):
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 24, "image_size": 6,
             "patch_size": 3, "num_channels": 2, "num_labels": 5}
    expected(*write(folder, "vit", 1, **sizes))
    expected(*write(folder, "deit", 3, DeiTConfig, DeiTForImageClassificationWithTeacher, **sizes))
    write(folder, "vit-digits", 2, hidden_size=16, num_attention_heads=2, intermediate_size=24,
          image_size=8, patch_size=4, num_channels=1, num_labels=10)


if __name__ == "__main__":
    main(sys.argv[1])
