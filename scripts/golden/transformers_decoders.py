"""Fixtures from whole decoders of the transformers library.

Run by hand, with torch 2.15.0 and transformers 5.24.0:

    python scripts/golden/transformers_decoders.py crates/backbones/fixtures

Each fixture has a decoder of MoeLab, how its parameters are filled, token ids, and the published
code's logits. A parameter is `plus` + fill(salt, shape, scale), with the shape that it has in MoeLab:
maps stand on their sides there, [in, out], with queries, keys and values side by side. Rotary
positions pair the halves of a head in both.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from fill import fill

SOURCE = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
VOCAB, WIDTH, HEADS, KV_HEADS, HIDDEN, EXPERTS, LENGTH = 13, 16, 4, 2, 12, 4, 9
HEAD = WIDTH // HEADS
LINE = WIDTH + 2 * KV_HEADS * HEAD


class Parameters:
    """Filled one after the other, and remembered by their path in MoeLab."""

    def __init__(self):
        self.known = []

    def make(self, path, shape, scale=1.0, plus=0.0):
        salt = 400 + len(self.known)
        self.known.append({"path": path, "shape": shape, "salt": salt, "scale": scale, "plus": plus})
        return fill(salt, shape, scale) + plus

    def norm(self, path):
        return self.make(f"{path}.gamma", [WIDTH], 0.5, 1.0)


def fill_attention(parameters, path, attention, bias):
    cuts = [WIDTH, LINE - WIDTH >> 1, LINE - WIDTH >> 1]
    maps = [attention.q_proj, attention.k_proj, attention.v_proj]
    for part, linear in zip(parameters.make(f"{path}.qkv.weight", [WIDTH, LINE]).split(cuts, 1), maps):
        linear.weight.copy_(part.T)
    attention.o_proj.weight.copy_(parameters.make(f"{path}.output.weight", [WIDTH, WIDTH]).T)
    if bias:
        for part, linear in zip(parameters.make(f"{path}.qkv.bias", [LINE]).split(cuts), maps):
            linear.bias.copy_(part)
        attention.o_proj.bias.copy_(parameters.make(f"{path}.output.bias", [WIDTH]))


def fill_experts(parameters, path, mlp):
    mlp.gate.weight.copy_(parameters.make(f"{path}.router.gate.weight", [WIDTH, EXPERTS], 2.0).T)
    gate = parameters.make(f"{path}.experts.w", [EXPERTS, WIDTH, HIDDEN])
    up = parameters.make(f"{path}.experts.v", [EXPERTS, WIDTH, HIDDEN])
    down = parameters.make(f"{path}.experts.w2", [EXPERTS, HIDDEN, WIDTH])
    mlp.experts.gate_up_proj.copy_(torch.cat([gate, up], 2).transpose(1, 2))
    mlp.experts.down_proj.copy_(down.transpose(1, 2))


def fill_dense(parameters, path, mlp):
    mlp.gate_proj.weight.copy_(parameters.make(f"{path}.w", [1, WIDTH, HIDDEN])[0].T)
    mlp.up_proj.weight.copy_(parameters.make(f"{path}.v", [1, WIDTH, HIDDEN])[0].T)
    mlp.down_proj.weight.copy_(parameters.make(f"{path}.w2", [1, HIDDEN, WIDTH])[0].T)


@torch.no_grad()
def write(folder, name, model, backbone, moe, bias):
    parameters, model = Parameters(), model.eval()
    model.model.embed_tokens.weight.copy_(parameters.make("embedding.weight", [VOCAB, WIDTH], 2.0))
    for index, layer in enumerate(model.model.layers):
        path = f"blocks.{index}"
        layer.input_layernorm.weight.copy_(parameters.norm(f"{path}.attention_norm"))
        fill_attention(parameters, f"{path}.attention", layer.self_attn, bias)
        layer.post_attention_layernorm.weight.copy_(parameters.norm(f"{path}.feed_forward_norm"))
        if moe["layers"] == "all":
            fill_experts(parameters, f"{path}.feed_forward.Moe", layer.mlp)
        else:
            fill_dense(parameters, f"{path}.feed_forward.Dense", layer.mlp)
    model.model.norm.weight.copy_(parameters.norm("norm"))
    if not model.config.tie_word_embeddings:
        model.lm_head.weight.copy_(parameters.make("head.weight", [WIDTH, VOCAB], 2.0).T)
    ids = torch.tensor([[(5 * i + 3 * i * i + row) % VOCAB for i in range(LENGTH)] for row in range(2)])
    logits = model(ids).logits
    fixture = {
        "source": f"{SOURCE}, {type(model).__name__}",
        "backbone": {"kind": "transformer-lm", "width": WIDTH, "depth": 2, "heads": HEADS,
                     "kv_heads": KV_HEADS, "theta": model.config.rope_parameters["rope_theta"],
                     "epsilon": model.config.rms_norm_eps, **backbone},
        "moe": moe,
        "vocab": VOCAB,
        "parameters": parameters.known,
        "ids": ids.tolist(),
        "logits": [round(value, 7) for value in logits.flatten().tolist()],
    }
    (Path(folder) / f"{name}.json").write_text(json.dumps(fixture) + "\n")


def main(folder):
    sizes = {
        "vocab_size": VOCAB,
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
    }
    mixtral = MixtralForCausalLM(
        MixtralConfig(num_local_experts=EXPERTS, num_experts_per_tok=2, **sizes)
    )
    moe = {
        "layers": "all",
        "experts": EXPERTS,
        "router": {"kind": "top-k", "k": 2, "weights": "renormalised"},
        "expert": {"kind": "swiglu", "hidden": HIDDEN},
    }
    write(folder, "mixtral", mixtral, {}, moe, bias=False)
    llama = LlamaForCausalLM(
        LlamaConfig(attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-6, **sizes)
    )
    backbone = {
        "bias": True,
        "head": {"tied": True},
        "dense": {"kind": "swiglu", "hidden": HIDDEN},
    }
    write(folder, "llama", llama, backbone, {"layers": "none"}, bias=True)


if __name__ == "__main__":
    main(sys.argv[1])
