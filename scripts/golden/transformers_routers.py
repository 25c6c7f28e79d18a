"""Fixtures from the routers of the transformers library.

Run by hand, with torch 2.15.0 and transformers 5.24.0:

    python scripts/golden/transformers_routers.py crates/routers/fixtures

Each fixture has a router of MoeLab in the first lines, then its parameters by path, an input, and what
the published code makes of them: the weight of each expert for each unit (0 where it is not chosen),
the loss, and the gradients of sum(weights * target) + loss.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import (
    DeepseekV3Config,
    GptOssConfig,
    GraniteMoeConfig,
    MixtralConfig,
    OlmoeConfig,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
    SwitchTransformersConfig,
)
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssTopKRouter
from transformers.models.granitemoe.modeling_granitemoe import GraniteMoeTopKRouter
from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter, load_balancing_loss_func
from transformers.models.olmoe.modeling_olmoe import OlmoeTopKRouter
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeTopKRouter
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter
from transformers.models.switch_transformers import modeling_switch_transformers as switch

from fill import fill

SOURCE = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
UNITS, WIDTH = [2, 6], 5


def numbers(tensor):
    return {"shape": list(tensor.shape), "values": [round(v, 9) for v in tensor.flatten().tolist()]}


def dense(weights, experts, n_experts):
    return torch.zeros(len(weights), n_experts).scatter(1, experts, weights)


def write(folder, name, seed, router, n_experts, module, run, loss_name=None, state=None):
    """`run(x)` gives the weights [T, E] and the loss."""
    weight = fill(seed, [n_experts, WIDTH], 2.0)
    target = module.classifier.weight if hasattr(module, "classifier") else module.weight
    with torch.no_grad():
        target.copy_(weight)
    x = fill(seed + 1, UNITS + [WIDTH], 2.0).requires_grad_()
    combine, loss = run(x)
    goal = fill(seed + 2, list(combine.shape))
    ((combine * goal).sum() + loss).backward()
    fixture = {
        "source": f"{SOURCE}, {type(module).__name__}",
        "router": router,
        "n_experts": n_experts,
        "parameters": {"gate.weight": numbers(weight.T), **(state or {})},
        "x": numbers(x),
        "combine": numbers(combine.reshape(UNITS + [n_experts])),
        "target": numbers(goal.reshape(UNITS + [n_experts])),
        "losses": {loss_name: loss.item()} if loss_name else {},
        "gradients": {"gate.weight": numbers(target.grad.T), "x": numbers(x.grad)},
    }
    (Path(folder) / f"{name}.json").write_text(json.dumps(fixture) + "\n")


def top_k(folder, name, seed, module, weights, k, n_experts):
    def run(x):
        logits, scores, experts = module(x.reshape(-1, WIDTH))
        loss = load_balancing_loss_func((logits,), n_experts, k)
        return dense(scores, experts, n_experts), loss

    options = {"kind": "top-k", "k": k, "weights": weights, "balance": 1.0, "balance_of": "units"}
    write(folder, name, seed, options, n_experts, module, run, "balance")


def main(folder):
    sizes = {"hidden_size": WIDTH, "num_experts_per_tok": 2}
    mixtral = MixtralTopKRouter(MixtralConfig(num_local_experts=6, **sizes))
    top_k(folder, "mixtral", 10, mixtral, "renormalised", 2, 6)
    olmoe = OlmoeTopKRouter(OlmoeConfig(num_experts=6, norm_topk_prob=False, **sizes))
    top_k(folder, "olmoe", 20, olmoe, "softmax", 2, 6)
    config = {"num_experts": 7, "hidden_size": WIDTH, "num_experts_per_tok": 3}
    qwen2 = Qwen2MoeTopKRouter(Qwen2MoeConfig(norm_topk_prob=False, **config))
    top_k(folder, "qwen2-moe", 30, qwen2, "softmax", 3, 7)
    qwen3 = Qwen3MoeTopKRouter(Qwen3MoeConfig(norm_topk_prob=True, **config))
    top_k(folder, "qwen3-moe", 40, qwen3, "renormalised", 3, 7)
    # Its gate has a bias, which stays 0 here.
    gpt_oss = GptOssTopKRouter(GptOssConfig(num_local_experts=6, **sizes))
    torch.nn.init.zeros_(gpt_oss.bias)
    top_k(folder, "gpt-oss", 50, gpt_oss, "top-k-softmax", 2, 6)

    granite = GraniteMoeTopKRouter(GraniteMoeConfig(num_local_experts=6, **sizes))
    top_k(folder, "granite-moe", 80, granite, "top-k-softmax", 2, 6)

    deepseek = DeepseekV3TopkRouter(
        DeepseekV3Config(
            hidden_size=WIDTH,
            num_local_experts=8,
            n_routed_experts=8,
            num_experts_per_tok=3,
            n_group=4,
            topk_group=2,
            routed_scaling_factor=2.5,
            norm_topk_prob=True,
        )
    )
    bias = fill(63, [8])
    deepseek.e_score_correction_bias.copy_(bias)

    def run_deepseek(x):
        _, scores, experts = deepseek(x.reshape(-1, WIDTH))
        return dense(scores, experts, 8), torch.zeros(())

    options = {"kind": "deepseek-v3", "k": 3, "groups": 4, "groups_kept": 2, "scale": 2.5}
    options |= {"sequence_balance": 0.0, "faithful": "reference"}
    state = {"bias.bias": numbers(bias)}
    write(folder, "deepseek-v3", 60, options, 8, deepseek, run_deepseek, state=state)

    config = SwitchTransformersConfig(hidden_size=WIDTH, num_experts=6, expert_capacity=64)
    router = switch.SwitchTransformersTop1Router(config).eval()

    def run_switch(x):
        chosen, best, logits = router(x)
        p = torch.softmax(logits, dim=-1)
        loss = switch.load_balancing_loss_func(p, chosen.argmax(dim=-1))
        return (chosen * best).reshape(-1, 6), loss

    # Its loss is the mean over the sequences.
    options = {"kind": "switch", "balance": 1.0, "balance_of": "sequence"}
    write(folder, "switch", 70, options, 6, router, run_switch, "balance")


if __name__ == "__main__":
    main(sys.argv[1])
