"""Fixtures from whole encoder-decoders and encoders of the transformers library.

Run by hand, with torch 2.15.0 and transformers 5.24.0:

    python scripts/golden/transformers_seq2seq.py crates/backbones/fixtures

Each fixture has a network of MoeLab, how its parameters are filled, token ids with their
numbers of real tokens, and the published code's logits at real tokens. A parameter is `plus` +
fill(salt, shape, scale), with the shape that it has in MoeLab: maps stand on their sides there, [in, out].
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    MarianConfig,
    MarianMTModel,
)

from fill import fill

SOURCE = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
VOCAB, WIDTH, HEADS, HIDDEN, LONGEST = 13, 16, 4, 12, 8


class Parameters:
    """Filled one after the other, and remembered by their path in MoeLab."""

    def __init__(self):
        self.known = []

    def make(self, path, shape, scale=1.0, plus=0.0):
        salt = 500 + len(self.known)
        self.known.append({"path": path, "shape": shape, "salt": salt, "scale": scale, "plus": plus})
        return fill(salt, shape, scale) + plus

    def norm(self, path, norm):
        norm.weight.copy_(self.make(f"{path}.gamma", [WIDTH], 0.5, 1.0))
        norm.bias.copy_(self.make(f"{path}.beta", [WIDTH]))

    def linear(self, path, linear):
        shape = [linear.in_features, linear.out_features]
        linear.weight.copy_(self.make(f"{path}.weight", shape).T)
        linear.bias.copy_(self.make(f"{path}.bias", shape[1:]))

    def attention(self, path, attention):
        names = ["query", "key", "value", "output"]
        maps = [attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj]
        for name, linear in zip(names, maps):
            self.linear(f"{path}.{name}", linear)

    def feed_forward(self, path, layer):
        for number, linear in [(1, layer.fc1), (2, layer.fc2)]:
            d_in, d_out = linear.in_features, linear.out_features
            linear.weight.copy_(self.make(f"{path}.w{number}", [1, d_in, d_out])[0].T)
            linear.bias.copy_(self.make(f"{path}.bias{number}", [1, 1, d_out])[0, 0])


def fill_side(parameters, side, module, learned):
    if learned:
        # BART counts positions from 2.
        module.embed_positions.weight[2:] = parameters.make(f"{side}.entrance.positions.learned", [LONGEST, WIDTH])
        parameters.norm(f"{side}.entrance.norm", module.layernorm_embedding)
    for index, layer in enumerate(module.layers):
        path = f"{side}.layers.{index}"
        parameters.attention(f"{path}.attention", layer.self_attn)
        parameters.norm(f"{path}.attention_norm", layer.self_attn_layer_norm)
        if side == "decoder":
            parameters.attention(f"{path}.cross", layer.encoder_attn)
            parameters.norm(f"{path}.cross_norm", layer.encoder_attn_layer_norm)
        parameters.feed_forward(f"{path}.feed_forward.Dense", layer)
        parameters.norm(f"{path}.feed_forward_norm", layer.final_layer_norm)


def ids(rows, tokens, shift):
    rows = [[(5 * i + 3 * i * i + row + shift) % VOCAB for i in range(tokens)] for row in range(rows)]
    return torch.tensor(rows)


@torch.no_grad()
def write(folder, name, model, backbone, learned):
    parameters, model = Parameters(), model.eval()
    model.model.shared.weight.copy_(parameters.make("embedding.weight", [VOCAB, WIDTH], 2.0))
    fill_side(parameters, "encoder", model.model.encoder, learned)
    fill_side(parameters, "decoder", model.model.decoder, learned)
    model.final_logits_bias.copy_(parameters.make("head.bias", [VOCAB]).unsqueeze(0))
    source, target, counts = ids(2, 7, 1), ids(2, 5, 4), [7, 4]
    mask = torch.arange(7).unsqueeze(0) < torch.tensor(counts).unsqueeze(1)
    logits = model(input_ids=source, attention_mask=mask.long(), decoder_input_ids=target).logits
    fixture = {
        "source": f"{SOURCE}, {type(model).__name__}",
        "backbone": {
            "kind": "transformer-seq2seq",
            "width": WIDTH,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_heads": HEADS,
            "decoder_heads": HEADS,
            "cross_heads": HEADS,
            "head": {"tied": True, "bias": True},
            **backbone,
        },
        "vocab": VOCAB,
        "lengths": [LONGEST, LONGEST],
        "parameters": parameters.known,
        "sources": source.tolist(),
        "counts": counts,
        "targets": target.tolist(),
        "logits": [round(value, 7) for value in logits.flatten().tolist()],
    }
    (Path(folder) / f"{name}.json").write_text(json.dumps(fixture) + "\n")


@torch.no_grad()
def write_bert(folder):
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=HIDDEN,
        max_position_embeddings=LONGEST,
    )
    parameters, model = Parameters(), BertForMaskedLM(config).eval()
    embeddings, head = model.bert.embeddings, model.cls.predictions
    embeddings.word_embeddings.weight.copy_(parameters.make("embedding.weight", [VOCAB, WIDTH], 2.0))
    positions = parameters.make("encoder.entrance.positions.learned", [LONGEST, WIDTH])
    # The vector of the one type of tokens is part of the positions in MoeLab.
    kind = fill(499, [WIDTH])
    embeddings.token_type_embeddings.weight[0] = kind
    embeddings.position_embeddings.weight.copy_(positions - kind)
    parameters.norm("encoder.entrance.norm", embeddings.LayerNorm)
    for index, layer in enumerate(model.bert.encoder.layer):
        path = f"encoder.layers.{index}"
        own = layer.attention.self
        for name, linear in zip(
            ["query", "key", "value", "output"], [own.query, own.key, own.value, layer.attention.output.dense]
        ):
            parameters.linear(f"{path}.attention.{name}", linear)
        parameters.norm(f"{path}.attention_norm", layer.attention.output.LayerNorm)
        layer.fc1, layer.fc2 = layer.intermediate.dense, layer.output.dense
        parameters.feed_forward(f"{path}.feed_forward.Dense", layer)
        parameters.norm(f"{path}.feed_forward_norm", layer.output.LayerNorm)
    parameters.linear("transform.map", head.transform.dense)
    parameters.norm("transform.norm", head.transform.LayerNorm)
    bias = parameters.make("head.bias", [VOCAB])
    head.bias.copy_(bias)
    head.decoder.bias.copy_(bias)
    tokens, counts = ids(2, 7, 1), [7, 4]
    mask = torch.arange(7).unsqueeze(0) < torch.tensor(counts).unsqueeze(1)
    logits = model(input_ids=tokens, attention_mask=mask.long()).logits
    real = [row[:count] for row, count in zip(logits.tolist(), counts)]
    fixture = {
        "source": f"{SOURCE}, {type(model).__name__}",
        "backbone": {
            "kind": "transformer-encoder",
            "width": WIDTH,
            "heads": HEADS,
            "dense": {"kind": "ffn", "hidden": HIDDEN},
        },
        "vocab": VOCAB,
        "lengths": [LONGEST, LONGEST],
        "parameters": parameters.known,
        "sources": tokens.tolist(),
        "counts": counts,
        "targets": [],
        "logits": [round(value, 7) for rows in real for row in rows for value in row],
    }
    (Path(folder) / "bert.json").write_text(json.dumps(fixture) + "\n")


def main(folder):
    write_bert(folder)
    sizes = {
        "vocab_size": VOCAB,
        "d_model": WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": HIDDEN,
        "decoder_ffn_dim": HIDDEN,
        "max_position_embeddings": LONGEST,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "forced_eos_token_id": 1,
    }
    marian = MarianMTModel(MarianConfig(activation_function="relu", scale_embedding=True, **sizes))
    relu = {"kind": "ffn", "hidden": HIDDEN, "activation": "relu"}
    write(folder, "marian", marian, {"dense": relu}, learned=False)
    bart = BartForConditionalGeneration(BartConfig(activation_function="gelu", scale_embedding=False, **sizes))
    gelu = {
        "dense": {"kind": "ffn", "hidden": HIDDEN, "activation": "gelu"},
        "positions": "learned",
        "scale_embedding": False,
        "embedding_norm": True,
    }
    write(folder, "bart", bart, gelu, learned=True)


if __name__ == "__main__":
    main(sys.argv[1])
