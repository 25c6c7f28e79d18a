"""Tiny GGUF files, and what the transformers library computes with them.

Run by hand, with gguf 0.19.0, torch 2.15.0 and transformers 5.24.0:

    python scripts/golden/gguf_checkpoints.py crates/interop/fixtures

`gguf-llama/model.gguf` is a random Llama with numbers of all formats that are read, written by gguf's own
writer and quantisation; queries and keys are reordered as llama.cpp's converter does it. `expected.safetensors`
has what the transformers library computes with that file. `tokens.json` has a text and its tokens by the
crate tokenizers, made directly from the vocabulary rather than from the file.

`gguf-mixtral/model.gguf` is the fixture `mixtral` by the names of gguf's table of tensors.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from transformers_checkpoints import expected

WIDTH, HEADS, KV, HIDDEN, DEPTH = 64, 4, 2, 96, 2
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789.,") + ["Ġ", "Ċ"]
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("1", "2"), ("i", "n"), ("e", "r")]
TOKENS = ["<|end|>"] + LETTERS + ["".join(pair) for pair in MERGES] + ["<tag>"]
TEXT = "in the other 1234 the<|end|> then, there\nthe 12th <tag>in"


def by_pairs(weight, heads):
    """The order of llama.cpp's converter (`LlamaModel.permute`)."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def tokenizer(writer):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    kinds = {"<|end|>": gguf.TokenType.CONTROL, "<tag>": gguf.TokenType.USER_DEFINED}
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in TOKENS])
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_eos_token_id(0)


def tokens():
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(TOKENS)}, merges=MERGES))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.add_special_tokens(["<|end|>"])
    made.add_tokens(["<tag>"])
    return {"text": TEXT, "ids": made.encode(TEXT).ids}


def sizes(writer, width, heads, kv, hidden, depth, vocab, epsilon, theta):
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(depth)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(epsilon)
    writer.add_rope_freq_base(theta)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(vocab)


def save(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama(folder):
    generator = np.random.default_rng(7)
    draw = lambda *shape: generator.standard_normal(shape).astype(np.float32)
    file = folder / "model.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    sizes(writer, WIDTH, HEADS, KV, HIDDEN, DEPTH, len(TOKENS), 1e-5, 1e4)
    tokenizer(writer)

    def add(name, weight, kind):
        writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)

    add("token_embd.weight", draw(len(TOKENS), WIDTH), Kind.F16)
    add("output.weight", draw(len(TOKENS), WIDTH), Kind.BF16)
    add("output_norm.weight", 1 + 0.25 * draw(WIDTH), Kind.F32)
    kv = WIDTH // HEADS * KV
    for block in range(DEPTH):
        for name, rows, columns, heads, kind in [
            ("attn_q", WIDTH, WIDTH, HEADS, Kind.Q8_0), ("attn_k", kv, WIDTH, KV, Kind.Q4_1),
            ("attn_v", kv, WIDTH, None, Kind.Q4_0), ("attn_output", WIDTH, WIDTH, None, Kind.Q4_0),
            ("ffn_gate", HIDDEN, WIDTH, None, Kind.Q4_1), ("ffn_up", HIDDEN, WIDTH, None, Kind.Q8_0),
            ("ffn_down", WIDTH, HIDDEN, None, Kind.Q4_0),
        ]:
            weight = 1.5 * draw(rows, columns) / columns**0.5
            add(f"blk.{block}.{name}.weight", by_pairs(weight, heads) if heads else weight, kind)
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{block}.{name}.weight", 1 + 0.25 * draw(WIDTH), Kind.F32)
    save(writer)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    save_file(expected(model, len(TOKENS)), folder / "expected.safetensors")
    (folder / "tokens.json").write_text(json.dumps(tokens()) + "\n")


def mixtral(folder):
    source = folder.parent / "mixtral"
    config = json.loads((source / "config.json").read_text())
    tensors = {name: tensor for file in sorted(source.glob("model*.safetensors")) for name, tensor in load_file(file).items()}
    depth, experts = config["num_hidden_layers"], config["num_local_experts"]
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    sizes(writer, config["hidden_size"], heads["q_proj"], heads["k_proj"], config["intermediate_size"], depth,
          config["vocab_size"], config["rms_norm_eps"], config["rope_parameters"]["rope_theta"])
    writer.add_expert_count(experts)
    writer.add_expert_used_count(config["num_experts_per_tok"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, depth)

    def add(there, tensor):
        data = tensor.contiguous().view(torch.int16).numpy().view(np.uint8)
        writer.add_tensor(names.get_name(there, try_suffixes=(".weight",)), data, raw_dtype=Kind.BF16)

    for name, tensor in tensors.items():
        kind = name.split(".")[-2]
        if ".experts." not in name:
            add(name, by_pairs(tensor, heads[kind]) if kind in heads else tensor)
    for block in range(depth):
        for kind in ("w1", "w2", "w3"):
            of = f"model.layers.{block}.block_sparse_moe.experts"
            stack = torch.stack([tensors[f"{of}.{e}.{kind}.weight"] for e in range(experts)])
            add(f"model.layers.{block}.block_sparse_moe.experts.{kind}.weight", stack)
    save(writer)


if __name__ == "__main__":
    for name, make in (("gguf-llama", llama), ("gguf-mixtral", mixtral)):
        path = Path(sys.argv[1]) / name
        path.mkdir(parents=True, exist_ok=True)
        make(path)
        print(name, sum(file.stat().st_size for file in path.iterdir()), "bytes")
