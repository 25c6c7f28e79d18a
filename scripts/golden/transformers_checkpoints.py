"""Tiny checkpoints of Hugging Face models, with what the transformers library computes with them.

Run by hand, with torch 2.15.0 and transformers 5.24.0 (some names as arguments write those alone):

    python scripts/golden/transformers_checkpoints.py crates/interop/fixtures [NAME ...]

Each folder has the files of `save_pretrained` and `expected.safetensors`: `ids` `[B, T]`, `logits`
`[B, T, V]`, `choices` `[layers, B * T, K]` (the experts of each token, in rising order), `prompt` `[P]` and
`greedy` `[32]`, what greedy decoding adds to the prompt. All weights are drawn at random, wide enough that
neither experts nor tokens tie.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

VOCAB, WIDTH, LENGTH, GREEDY = 48, 16, 10, 32
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def causal(family, config, **options):
    made = getattr(transformers, f"{config}Config")(**{**SIZES, **options})
    return lambda: getattr(transformers, f"{config}ForCausalLM")(made)


MODELS = {
    "mixtral": causal("mixtral", "Mixtral", intermediate_size=12, num_local_experts=4, rms_norm_eps=1e-5),
    "olmoe": causal("olmoe", "Olmoe", intermediate_size=8, num_experts=8, num_experts_per_tok=3,
                    clip_qkv=1.25, num_key_value_heads=4),
    "qwen2-moe": causal("qwen2-moe", "Qwen2Moe", intermediate_size=20, moe_intermediate_size=8,
                        shared_expert_intermediate_size=12, num_experts=6, num_experts_per_tok=2,
                        mlp_only_layers=[0], num_hidden_layers=3),
    "qwen3-moe": causal("qwen3-moe", "Qwen3Moe", intermediate_size=20, moe_intermediate_size=8,
                        num_experts=6, num_experts_per_tok=3, norm_topk_prob=True, head_dim=6,
                        decoder_sparse_step=2, tie_word_embeddings=True),
    "granite-moe": causal("granite-moe", "GraniteMoe", intermediate_size=8, num_local_experts=6,
                          num_experts_per_tok=3, embedding_multiplier=3.0, logits_scaling=1.5,
                          residual_multiplier=0.4, attention_multiplier=0.3, tie_word_embeddings=True),
    "llama": causal("llama", "Llama", intermediate_size=24, head_dim=6, attention_bias=True,
                    rms_norm_eps=1e-6),
    "llama3": causal("llama3", "Llama", intermediate_size=24, num_hidden_layers=1, max_position_embeddings=64,
                     tie_word_embeddings=True,
                     rope_parameters={"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0,
                                      "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                      "original_max_position_embeddings": 16}),
    "llama-linear": causal("llama-linear", "Llama", intermediate_size=24, num_hidden_layers=1,
                           tie_word_embeddings=True,
                           rope_parameters={"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}),
    "gpt-oss": causal("gpt-oss", "GptOss", intermediate_size=8, num_local_experts=4, num_experts_per_tok=2,
                      head_dim=6, sliding_window=6, swiglu_limit=1.5,
                      rope_parameters={"rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0,
                                       "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                                       "original_max_position_embeddings": 16}),
    "gpt-oss-mxfp4": causal("gpt-oss-mxfp4", "GptOss", hidden_size=32, intermediate_size=32, num_local_experts=4,
                            num_experts_per_tok=2, head_dim=8, sliding_window=6, num_hidden_layers=2),
    "deepseek-v2": causal("deepseek-v2", "DeepseekV2", intermediate_size=20, moe_intermediate_size=8,
                          num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3,
                          n_shared_experts=2, first_k_dense_replace=1, q_lora_rank=None, kv_lora_rank=10,
                          qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
                          topk_method="group_limited_greedy", n_group=4, topk_group=2,
                          routed_scaling_factor=1.5),
    "deepseek-v3": causal("deepseek-v3", "DeepseekV3", intermediate_size=20, moe_intermediate_size=8,
                          num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=4,
                          n_shared_experts=1, first_k_dense_replace=1, q_lora_rank=12, kv_lora_rank=10,
                          qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5, n_group=4, topk_group=2,
                          routed_scaling_factor=2.5, num_mtp_layers=0),
}


def mxfp4(model, path):
    """The experts as blocks of four bits, drawn at random, as the published checkpoints have them."""
    generator = torch.Generator().manual_seed(4)
    tensors = load_file(path / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        e, width, out = tensors.pop(name).shape
        blocks = torch.randint(0, 256, (e, out, width // 32, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(122, 126, (e, out, width // 32), generator=generator, dtype=torch.uint8)
        tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        experts, parameter = name.rsplit(".", 1)
        numbers = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
        getattr(model.get_submodule(experts), parameter).data.copy_(numbers)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    config |= {"experts_per_token": config["num_experts_per_tok"], "initial_context_length": 16}
    (path / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


@torch.no_grad()
def fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted({**dict(model.named_parameters()), **dict(model.named_buffers())}.items()):
        if "inv_freq" in name or not tensor.is_floating_point():
            continue
        draw = torch.randn(tensor.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            tensor.copy_(1.0 + 0.25 * draw)
        elif tensor.ndim < 2 or "bias" in name:
            tensor.copy_(0.3 * draw)
        elif "embed" in name or "lm_head" in name:
            tensor.copy_(draw)
        elif "router" in name or name.endswith("gate.weight"):
            tensor.copy_(draw)
        else:
            fan_in = tensor.shape[-2] if "gpt_oss" in model.config.model_type and tensor.ndim == 3 else tensor.shape[-1]
            tensor.copy_(1.5 * draw / fan_in**0.5)


class Choices:
    """The experts that the routers of a pass choose, layer by layer."""

    def __init__(self, model):
        self.layers = []
        for _, module in model.named_modules():
            if type(module).__name__.lower().endswith("router"):
                module.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        self.layers.append(output[2].reshape(-1, module.top_k).sort(-1).values)


@torch.no_grad()
def expected(model, vocab=VOCAB):
    ids = torch.tensor([[(7 * i + 3 * i * i + 11 * row) % vocab for i in range(LENGTH)] for row in range(2)])
    choices = Choices(model)
    logits = model(ids).logits
    tensors = {"ids": ids, "logits": logits}
    if choices.layers:
        tensors["choices"] = torch.stack(choices.layers)
    text = ids[0, :5].tolist()
    tensors["prompt"] = torch.tensor(text)
    for _ in range(GREEDY):
        last = model(torch.tensor([text])).logits[0, -1]
        best = last.topk(2).values
        assert best[0] - best[1] > 1e-3, "two tokens tie"
        text.append(int(last.argmax()))
    tensors["greedy"] = torch.tensor(text[5:])
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def write(folder, name):
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    model = MODELS[name]().eval()
    fill(model, sum(map(ord, name)))
    path = Path(folder) / name
    path.mkdir(parents=True, exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    if name == "mixtral":  # Sharded, and in bfloat16, as published.
        model.to(torch.bfloat16).save_pretrained(path, max_shard_size="8kB")
    elif name == "olmoe":
        model.to(torch.float16).save_pretrained(path)
    else:
        model.save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    if name == "gpt-oss-mxfp4":
        model.set_attn_implementation("eager")
        mxfp4(model, path)
        save_file(expected(model), path / "expected.safetensors")
        return
    loaded = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    save_file(expected(loaded), path / "expected.safetensors")
    names = [key for file in path.glob("model*.safetensors") for key in load_file(file)]
    print(name, len(names), "tensors", sum(file.stat().st_size for file in path.iterdir()), "bytes")


if __name__ == "__main__":
    for name in sys.argv[2:] or MODELS:
        write(sys.argv[1], name)
