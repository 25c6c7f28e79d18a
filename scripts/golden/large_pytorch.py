"""A random Llama of 536 MB as a file of `torch.save`, written without PyTorch, to measure what reading it costs.

    python scripts/golden/large_pytorch.py FOLDER
    cargo run -p interop --example import-cost -- FOLDER
"""

import array
import io
import json
import pickle
import random
import sys
import types
import zipfile
from collections import OrderedDict
from math import prod
from pathlib import Path

WIDTH, HIDDEN, DEPTH, HEADS, VOCAB = 768, 2048, 12, 12, 32000
FIXTURE = Path(__file__).resolve().parents[2] / "crates/interop/fixtures/llama/config.json"


def named(name, module):
    """Something that pickles as `module.name`."""
    thing = type(name, (), {"__module__": module})
    sys.modules.setdefault(module, types.ModuleType(module))
    setattr(sys.modules[module], name, thing)
    return thing


FLOATS = named("FloatStorage", "torch")
REBUILD = named("_rebuild_tensor_v2", "torch._utils")


class Storage:
    """The numbers of a tensor: an entry of the archive."""

    def __init__(self, key, count):
        self.key, self.count = key, count


class Tensor:
    """A tensor that has a storage for itself."""

    def __init__(self, key, shape):
        self.key, self.shape = key, shape

    def __reduce__(self):
        strides = tuple(prod(self.shape[at + 1:]) for at in range(len(self.shape)))
        storage = Storage(self.key, prod(self.shape))
        return REBUILD, (storage, 0, self.shape, strides, False, OrderedDict())


class Pickler(pickle.Pickler):
    """Storages are not in the pickle but beside it."""

    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return "storage", FLOATS, thing.key, "cpu", thing.count
        return None


def shapes():
    yield "model.embed_tokens.weight", (VOCAB, WIDTH)
    for layer in range(DEPTH):
        here = f"model.layers.{layer}."
        for name in "qkvo":
            yield f"{here}self_attn.{name}_proj.weight", (WIDTH, WIDTH)
        yield f"{here}mlp.gate_proj.weight", (HIDDEN, WIDTH)
        yield f"{here}mlp.up_proj.weight", (HIDDEN, WIDTH)
        yield f"{here}mlp.down_proj.weight", (WIDTH, HIDDEN)
        yield f"{here}input_layernorm.weight", (WIDTH,)
        yield f"{here}post_attention_layernorm.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (VOCAB, WIDTH)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads(FIXTURE.read_text()) | {
        "attention_bias": False, "head_dim": WIDTH // HEADS, "hidden_size": WIDTH, "intermediate_size": HIDDEN,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "num_hidden_layers": DEPTH, "vocab_size": VOCAB,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    random.seed(0)
    block = array.array("f", [random.uniform(-0.05, 0.05) for _ in range(1 << 16)]).tobytes()
    tensors = {name: Tensor(str(at), shape) for at, (name, shape) in enumerate(shapes())}
    table = io.BytesIO()
    Pickler(table, protocol=2).dump(tensors)
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", table.getvalue())
        archive.writestr("archive/version", "3\n")
        for tensor in tensors.values():
            size = 4 * prod(tensor.shape)
            archive.writestr(f"archive/data/{tensor.key}", (block * (size // len(block) + 1))[:size])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
