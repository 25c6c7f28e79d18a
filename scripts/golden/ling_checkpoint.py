"""A tiny random checkpoint of Ling v1 (`bailing_moe`), with what its network computes.

Run by hand, with torch 2.15.0:

    python scripts/golden/ling_checkpoint.py crates/interop/fixtures

The transformers library has no such family. The network below is written from the equations of the published
code, `modeling_bailing_moe.py` of github.com/inclusionAI/Ling; names, shapes and keys are those of the published
checkpoints (Ling-lite). The files are those of `transformers_checkpoints.py`.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import silu

D, HEADS, KV, H, EXPERTS, K, SHARED, DEPTH, DENSE, VOCAB = 16, 4, 2, 8, 6, 3, 2, 3, 1, 48
CONFIG = {
    "architectures": ["BailingMoeForCausalLM"], "attention_dropout": 0.0, "embedding_dropout": 0.0,
    "first_k_dense_replace": DENSE, "hidden_act": "silu", "hidden_size": D, "initializer_range": 0.006,
    "intermediate_size": 20, "max_position_embeddings": 64, "model_type": "bailing_moe",
    "moe_intermediate_size": H, "norm_head": True, "norm_softmax": False, "norm_topk_prob": True,
    "num_attention_heads": HEADS, "num_experts": EXPERTS, "num_experts_per_tok": K, "num_hidden_layers": DEPTH,
    "num_key_value_heads": KV, "num_shared_experts": SHARED, "output_dropout": 0.0, "output_router_logits": False,
    "pretraining_tp": 1, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 600000,
    "tie_word_embeddings": False, "torch_dtype": "float32", "transformers_version": "4.40.0", "use_bias": False,
    "use_cache": True, "use_qkv_bias": False, "vocab_size": VOCAB,
}


def weights():
    generator = torch.Generator().manual_seed(11)
    made = {}

    def draw(name, *shape, scale=None):
        scale = scale or 1.5 / shape[-1] ** 0.5
        made[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)

    def norm(name):
        made[f"{name}.weight"] = 1 + 0.25 * torch.randn(D, generator=generator)

    def mlp(name, hidden):
        draw(f"{name}.gate_proj", hidden, D)
        draw(f"{name}.up_proj", hidden, D)
        draw(f"{name}.down_proj", D, hidden)

    draw("model.word_embeddings", VOCAB, D, scale=1.0)
    draw("lm_head", VOCAB, D, scale=1.0)
    norm("model.norm")
    for layer in range(DEPTH):
        at = f"model.layers.{layer}"
        norm(f"{at}.input_layernorm")
        norm(f"{at}.post_attention_layernorm")
        draw(f"{at}.attention.query_key_value", (HEADS + 2 * KV) * D // HEADS, D)
        draw(f"{at}.attention.dense", D, D)
        if layer < DENSE:
            mlp(f"{at}.mlp", CONFIG["intermediate_size"])
            continue
        draw(f"{at}.mlp.gate", EXPERTS, D, scale=1.0)
        mlp(f"{at}.mlp.shared_experts", SHARED * H)
        for expert in range(EXPERTS):
            mlp(f"{at}.mlp.experts.{expert}", H)
    return made


class Network:
    def __init__(self, tensors):
        self.tensors, self.choices = tensors, []

    def map(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T

    def norm(self, name, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.tensors[f"{name}.weight"]

    def mlp(self, name, x):
        return self.map(f"{name}.down_proj", silu(self.map(f"{name}.gate_proj", x)) * self.map(f"{name}.up_proj", x))

    def turned(self, x):
        """Rotary positions on halves, of `[B, heads, T, d]`."""
        t, d = x.shape[2:]
        angles = torch.outer(torch.arange(t).float(), 600000.0 ** (-torch.arange(0, d, 2) / d))
        cos, sin = angles.cos(), angles.sin()
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, name, x):
        batch, t, d = *x.shape[:2], D // HEADS
        q, k, v = self.map(f"{name}.query_key_value", x).split([HEADS * d, KV * d, KV * d], -1)
        heads = lambda y: y.view(batch, t, -1, d).transpose(1, 2)
        q, k, v = self.turned(heads(q)), self.turned(heads(k)), heads(v)
        k, v = (y.repeat_interleave(HEADS // KV, 1) for y in (k, v))
        scores = q @ k.transpose(2, 3) / d**0.5 + torch.full((t, t), float("-inf")).triu(1)
        return self.map(f"{name}.dense", (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, t, D))

    def experts(self, name, x):
        rows = x.reshape(-1, D)
        best = self.map(f"{name}.gate", rows).softmax(-1).topk(K)
        shares = best.values / best.values.sum(-1, keepdim=True)
        self.choices.append(best.indices.sort(-1).values)
        mixed = torch.zeros_like(rows)
        for row, (chosen, share) in enumerate(zip(best.indices, shares)):
            for expert, weight in zip(chosen, share):
                mixed[row] += weight * self.mlp(f"{name}.experts.{expert}", rows[row])
        return mixed.view_as(x) + self.mlp(f"{name}.shared_experts", x)

    def logits(self, ids):
        x = self.tensors["model.word_embeddings.weight"][ids]
        for layer in range(DEPTH):
            at = f"model.layers.{layer}"
            x = x + self.attention(f"{at}.attention", self.norm(f"{at}.input_layernorm", x))
            branch = self.mlp if layer < DENSE else self.experts
            x = x + branch(f"{at}.mlp", self.norm(f"{at}.post_attention_layernorm", x))
        head = self.tensors["lm_head.weight"]
        head = head / (head.norm(p=2, dim=0, keepdim=True) + 1e-7)  # NormHead
        return self.norm("model.norm", x) @ head.T


@torch.no_grad()
def main(folder):
    path = Path(folder) / "bailing-moe"
    path.mkdir(parents=True, exist_ok=True)
    tensors = weights()
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(CONFIG, indent=2, sort_keys=True) + "\n")
    ids = torch.tensor([[(7 * i + 3 * i * i + 11 * row) % VOCAB for i in range(10)] for row in range(2)])
    network = Network(tensors)
    logits = network.logits(ids)
    text, prompt = ids[0, :5].tolist(), ids[0, :5]
    choices = torch.stack(network.choices)
    for _ in range(32):
        last = network.logits(torch.tensor([text]))[0, -1]
        best = last.topk(2).values
        assert best[0] - best[1] > 1e-3, "two tokens tie"
        text.append(int(last.argmax()))
    save_file({"ids": ids, "logits": logits.contiguous(), "choices": choices, "prompt": prompt.contiguous().clone(),
               "greedy": torch.tensor(text[5:])}, path / "expected.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
