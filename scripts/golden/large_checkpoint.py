"""A random Mixtral checkpoint of about 500 MB, and what it costs transformers to read one.

    python scripts/golden/large_checkpoint.py write FOLDER
    python scripts/golden/large_checkpoint.py read FOLDER
"""

import resource
import sys
import time

import torch
from transformers import MixtralConfig, MixtralForCausalLM


def write(folder):
    torch.manual_seed(0)
    config = MixtralConfig(vocab_size=8000, hidden_size=512, intermediate_size=1088, num_hidden_layers=8,
                           num_attention_heads=8, num_key_value_heads=4, num_local_experts=8,
                           max_position_embeddings=512)
    MixtralForCausalLM(config).save_pretrained(folder, max_shard_size="100MB")


def read(folder):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    started = time.perf_counter()
    model = MixtralForCausalLM.from_pretrained(folder, dtype=torch.float32)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    size = sum(parameter.numel() for parameter in model.parameters()) * 4 / 1e6
    print(f"{size:.0f} MB of parameters in {seconds:.2f} s")
    print(f"peak memory {peak:.0f} MB, {before:.0f} MB of it before: {peak / size:.2f} times the parameters")


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](sys.argv[2])
