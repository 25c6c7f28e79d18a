"""Checkpoints of `torch.save` with the numbers of safetensors fixtures.

Run by hand, with torch 2.15.0:

    python scripts/golden/pytorch_checkpoints.py crates/interop/fixtures

`pytorch/pytorch_model.bin` has the tensors of `llama3`, its head by both of its names, and one matrix as a
transposed view; `pytorch/old.pt` is the same in the stream of pickles from before PyTorch 1.6. `pytorch/code.bin`
would make a folder if its pickle were run, `pytorch/wide.bin` is a view that repeats one number, `pytorch/packed.bin`
has compressed numbers, and `pytorch/double.bin` numbers of double precision. `pytorch-shards` has the tensors of
`mixtral`, in bfloat16, in two files with their index.
"""

import json
import os
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file


class Command:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-run",)


def plain(folder):
    tensors = load_file(folder / "llama3" / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    tensors[name] = tensors[name].t().contiguous().t()
    assert not tensors[name].is_contiguous()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    to = folder / "pytorch"
    to.mkdir(exist_ok=True)
    torch.save(tensors, to / "pytorch_model.bin")
    torch.save(tensors, to / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(tensors | {"command": Command()}, to / "code.bin")


def refused(folder):
    to = folder / "pytorch"
    torch.save({"a": torch.zeros(1).expand(1 << 30)}, to / "wide.bin")
    torch.save({"a": torch.zeros(3, dtype=torch.float64)}, to / "double.bin")
    torch.save({"a": torch.zeros(1 << 14)}, to / "packed.bin")
    with zipfile.ZipFile(to / "packed.bin") as plain:
        files = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(to / "packed.bin", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def shards(folder):
    index = json.loads((folder / "mixtral" / "model.safetensors.index.json").read_text())
    to = folder / "pytorch-shards"
    to.mkdir(exist_ok=True)
    files = sorted(set(index["weight_map"].values()))
    named = {file: file.replace("model-", "pytorch_model-").replace(".safetensors", ".bin") for file in files}
    for file in files:
        torch.save(load_file(folder / "mixtral" / file), to / named[file])
    index["weight_map"] = {tensor: named[file] for tensor, file in index["weight_map"].items()}
    (to / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    plain(Path(sys.argv[1]))
    refused(Path(sys.argv[1]))
    shards(Path(sys.argv[1]))
