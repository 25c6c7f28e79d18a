"""Tiny encoder-decoders of Hugging Face, with what the transformers library computes with them.

Run by hand, with torch 2.15.0 and transformers 5.24.0 (some names as arguments write those alone):

    python scripts/golden/transformers_encoder_decoders.py crates/interop/fixtures [NAME ...]

Each folder has the files of `save_pretrained` and `expected.safetensors`: `source` `[B, S]`, of which `counts` `[B]`
tokens are real, `target` `[B, T]`, `logits` `[B, T, V]`, `choices` (the expert of each real token, -1 for one that an
expert has no slot for: row by row, layer by layer, the encoder first), `greedy` `[32]` and `whole` `[32]`, what greedy
decoding answers to the first source with a cache and without. (With a cache each token is routed by itself, so that
capacity never binds.) All weights are drawn at random, wide enough that neither experts nor tokens tie.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

VOCAB, WIDTH, GREEDY = 48, 16, 32
SIZES = {
    "vocab_size": VOCAB,
    "d_model": WIDTH,
    "d_kv": 6,
    "d_ff": 20,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}


def made(name, **options):
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **options})
    return getattr(transformers, f"{name}ForConditionalGeneration")(config)


MODELS = {
    "switch": lambda: made("SwitchTransformers", num_layers=4, num_sparse_encoder_layers=2, num_decoder_layers=2,
                           num_sparse_decoder_layers=2, num_experts=4, expert_capacity=3, d_ff=12),
    "t5": lambda: made("T5"),
    "t5-gated": lambda: made("T5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}


# A seed, and how large the numbers of embeddings and of maps are: such that greedy decoding goes on writing.
DRAWS = {"switch": (658, 0.7, 2.5), "t5": (1, 0.3, 2.0), "t5-gated": (786, 1.0, 1.5)}


@torch.no_grad()
def fill(model, seed, embedding, maps):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(model.named_parameters()):
        draw = torch.randn(tensor.shape, generator=generator)
        if "layer_norm" in name:
            tensor.copy_(1.0 + 0.25 * draw)
        elif "shared" in name:
            tensor.copy_(embedding * draw)
        elif "lm_head" in name or "relative_attention_bias" in name:
            tensor.copy_(draw)
        elif "classifier" in name:
            tensor.copy_(0.6 * draw)
        else:
            tensor.copy_(maps * draw / tensor.shape[-1] ** 0.5)


class Choices:
    """The experts that the routers of a pass choose, layer by layer."""

    def __init__(self, model):
        self.layers = []
        for module in model.modules():
            if type(module).__name__.endswith("Router"):
                module.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        served = output[0]
        self.layers.append(torch.where(served.sum(-1) > 0, served.argmax(-1), -1).flatten())

    def take(self):
        layers, self.layers = self.layers, []
        return layers


def best(logits):
    two = logits.topk(2).values
    assert two[0] - two[1] > 1e-3, "two tokens tie"
    return int(logits.argmax())


@torch.no_grad()
def greedy(model, source, cached):
    read, text, cache = model.encoder(input_ids=source), [0], None
    for _ in range(GREEDY):
        ids = torch.tensor([text[-1:] if cached else text])
        output = model(encoder_outputs=read, decoder_input_ids=ids, cache=cache, use_cache=cached)
        cache = output.cache if cached else None
        text.append(best(output.logits[0, -1]))
    return torch.tensor(text[1:])


@torch.no_grad()
def expected(model):
    source = torch.tensor([[(7 * i + 3 * i * i + 11 * row) % VOCAB for i in range(14)] for row in range(2)])
    target = torch.tensor([[0] + [(5 * i + 2 * i * i + 7 * row) % VOCAB for i in range(8)] for row in range(2)])
    counts = torch.tensor([14, 9])
    mask = (torch.arange(14)[None] < counts[:, None]).long()
    logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
    tensors = {"source": source, "counts": counts, "target": target, "logits": logits}
    kept, rows = Choices(model), []
    for row, count in enumerate(counts):
        alone = model(input_ids=source[row:row + 1, :count], decoder_input_ids=target[row:row + 1]).logits
        assert (alone - logits[row]).abs().max() < 1e-4, "a row of a batch is as alone"
        rows += kept.take()
    if rows:
        tensors["choices"] = torch.cat(rows)
        print("dropped", int((tensors["choices"] < 0).sum()), "of", len(tensors["choices"]))
    for name, cached in [("greedy", True), ("whole", False)]:
        tensors[name] = greedy(model, source[:1], cached)
    print("greedy", tensors["greedy"].tolist(), "whole", tensors["whole"].tolist())
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def untied(model, path):
    """A head of its own, as T5 v1.1 is published; the library ties fresh ones."""
    generator = torch.Generator().manual_seed(9)
    tensors = load_file(path / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(VOCAB, WIDTH, generator=generator) / WIDTH**0.5
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config["tie_word_embeddings"] = False
    (path / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write(folder, name):
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    model = MODELS[name]().eval()
    fill(model, *DRAWS[name])
    path = Path(folder) / name
    path.mkdir(parents=True, exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    if name == "t5-gated":
        untied(model, path)
    loaded = type(model).from_pretrained(path, attn_implementation="eager").eval()
    head = load_file(path / "model.safetensors").get("lm_head.weight")
    assert head is None or torch.equal(loaded.lm_head.weight, head), "the head is its own"
    save_file(expected(loaded), path / "expected.safetensors")
    print(name, len(load_file(path / "model.safetensors")), "tensors", sum(f.stat().st_size for f in path.iterdir()))


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        write(sys.argv[1], name)
