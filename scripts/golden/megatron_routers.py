"""Fixtures from the routing functions of Megatron-core.

Run by hand, with torch 2.15.0 and megatron-core 0.16.1 (installed with --no-deps; its routing
functions need no more than torch and numpy):

    python scripts/golden/megatron_routers.py crates/routers/fixtures

Scores are made here by a plain product, since Megatron's router layer needs a GPU.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from megatron.core.transformer.moe.moe_utils import (
    sinkhorn,
    switch_load_balancing_loss_func,
    topk_routing_with_score_function,
    z_loss_func,
)

from fill import fill

SOURCE = f"megatron-core {version('megatron-core')}, torch {torch.__version__.split('+')[0]}"
GROUPS, UNITS, WIDTH = 2, 6, 5


def numbers(tensor):
    return {"shape": list(tensor.shape), "values": [round(v, 9) for v in tensor.flatten().tolist()]}


def write(folder, name, function, seed, router, n_experts, run, state=None, training=False):
    """`run(s)` gives the weights [T, E] and the losses by name, for scores [T, E]."""
    weight = fill(seed, [WIDTH, n_experts], 2.0).requires_grad_()
    x = fill(seed + 1, [GROUPS, UNITS, WIDTH], 2.0).requires_grad_()
    combine, losses = run(x.reshape(-1, WIDTH) @ weight)
    goal = fill(seed + 2, list(combine.shape))
    ((combine * goal).sum() + sum(losses.values())).backward()
    shape = [GROUPS, UNITS, n_experts]
    fixture = {
        "source": f"{SOURCE}, {function}",
        "router": router,
        "n_experts": n_experts,
        "parameters": {"gate.weight": numbers(weight), **(state or {})},
        "x": numbers(x),
        "combine": numbers(combine.reshape(shape)),
        "target": numbers(goal.reshape(shape)),
        "losses": {name: loss.item() for name, loss in losses.items()},
        "gradients": {"gate.weight": numbers(weight.grad), "x": numbers(x.grad)},
        "training": training,
    }
    (Path(folder) / f"{name}.json").write_text(json.dumps(fixture) + "\n")


def switch_loss(p, chosen, k):
    tokens, experts = p.shape
    return switch_load_balancing_loss_func(p, chosen.sum(dim=0), tokens, k, experts, 1.0)


def main(folder):
    def top_k(s):
        weights, chosen = topk_routing_with_score_function(s, 2, use_pre_softmax=False)
        p = torch.softmax(s, dim=-1)
        return weights, {"balance": switch_loss(p, chosen, 2), "z": z_loss_func(s, 0.5)}

    options = {"kind": "top-k", "k": 2, "weights": "top-k-softmax", "balance": 1.0, "z": 0.5}
    write(folder, "megatron-top-k", "topk_routing_with_score_function", 110, options, 6, top_k)

    bias = fill(123, [8])

    def grouped(s):
        weights, _ = topk_routing_with_score_function(
            s,
            3,
            num_groups=4,
            group_topk=2,
            scaling_factor=2.5,
            score_function="sigmoid",
            expert_bias=bias,
        )
        return weights, {}

    options = {"kind": "deepseek-v3", "k": 3, "groups": 4, "groups_kept": 2, "scale": 2.5}
    options["sequence_balance"] = 0.0
    state = {"bias.bias": numbers(bias)}
    write(folder, "megatron-grouped", "topk_routing_with_score_function", 120, options, 8, grouped, state)

    def balanced(k):
        def run(s):
            with torch.no_grad():
                _, experts = torch.topk(sinkhorn(s.detach()), k, dim=1)
            p = torch.sigmoid(s) if k == 1 else torch.softmax(s, dim=-1)
            return torch.zeros_like(s).scatter(1, experts, p.gather(1, experts)), {}

        return run

    for k in [1, 2]:
        options = {"kind": "sinkhorn", "k": k}
        write(folder, f"megatron-sinkhorn-{k}", "sinkhorn", 130 + 10 * k, options, 6, balanced(k), training=True)


if __name__ == "__main__":
    main(sys.argv[1])
