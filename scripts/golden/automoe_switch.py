"""Fixture from the Switch layer of AutoMoE.

Run by hand, with torch 2.15.0 and a checkout of https://github.com/microsoft/AutoMoE at e75bd33:

    python scripts/golden/automoe_switch.py AUTOMOE crates/training/fixtures

The layer has three experts of width 4 and hidden width 6 with the numbers of the tests in
crates/training/src/supernet/switch/tests.rs. `passed` is what all tokens give that are dropped; which ones
are dropped is random, so that `drops` has numbers of them alone. The balance loss is what
fairseq/models/transformer_super.py computes of two layers, the inputs of which have 3 and 8 tokens.
"""

import json
import sys
import types
from pathlib import Path

import torch

from fill import fill

SALT, TOKENS = 437, 8


def published(checkout, name, **known):
    """A file of the checkout as a module, without the package around it."""
    sys.modules["fairseq"] = types.ModuleType("fairseq")
    sys.modules["fairseq.modules"] = types.SimpleNamespace(**known)
    module = types.ModuleType(name)
    exec((Path(checkout) / "fairseq/modules" / f"{name}.py").read_text(), module.__dict__)
    return module


def layer(switch_layer, width=4, hidden=(6, 6, 6), k=1, scaled=True, capacity_factor=None, identity=False):
    module = switch_layer.SwitchFNN(
        capacity_factor=1.0 if capacity_factor is None else capacity_factor,
        drop_tokens=capacity_factor is not None,
        is_scale_prob=scaled,
        super_n_experts=3,
        super_d_model=4,
        super_ffn_embed_dim_this_layer=6,
        activation_fn=torch.relu,
        expert_dropout_ratio=1.0,
    )
    shapes = [[6, 4], [6], [4, 6], [4]] * 3 + [[3, 4], [3]]
    with torch.no_grad():
        for salt, (parameter, shape) in enumerate(zip(module.parameters(), shapes), 400):
            parameter.copy_(fill(salt, shape))
    module.eval()
    module.set_sample_config(
        sample_embed_dim=width,
        sample_ffn_embed_dim_this_layer=6,
        sample_dropout=0.0,
        sample_activation_dropout=0.0,
        sample_n_experts=3,
        sample_num_experts_to_route=k,
        sample_std_vs_dummy_experts=0 if identity else None,
        sample_each_expert_ffn_dim=list(hidden),
    )
    return module


def numbers(tensor):
    return [round(value, 9) for value in tensor.detach().flatten().tolist()]


def main(checkout, folder):
    torch.set_default_dtype(torch.float64)
    linear_super = published(checkout, "linear_super")
    code = published(checkout, "switch_layer", LinearSuper=linear_super.LinearSuper)
    x = fill(SALT, [TOKENS, 1, 4], 6.0).double()

    def case(switch, width=4, hidden=(6, 6, 6)):
        module = layer(code, width, hidden, **switch)
        y = module(x[..., :width])[0]
        y.square().sum().backward()
        gradient = numbers(module.switch.weight.grad[:, :width])
        return {"switch": switch, "width": width, "hidden": list(hidden), "y": numbers(y), "router_gradient": gradient}

    def drop(factor):
        switch = {"capacity_factor": factor}
        _, counts, _, dropped, _ = layer(code, **switch)(x)
        kept = [min(int(count), int(factor * TOKENS / 3)) for count in counts]
        return {"switch": switch, "dropped": dropped, "kept": kept}

    counts, probabilities, most = torch.zeros(3), torch.zeros(3), 3
    for tokens in [fill(430, [3, 1, 4], 2.0).double(), x]:
        _, count, probability, _, _ = layer(code)(tokens)
        counts, probabilities = counts + count, probabilities + probability
    total = counts.sum()
    loss = most * most * ((counts / total) * (probabilities / total)).sum()

    switches = [{"k": 1}, {"k": 2}, {"scaled": False}, {"identity": True}, {"identity": True, "k": 2}]
    cases = [case(switch) for switch in switches]
    fixture = {
        "source": f"AutoMoE e75bd33, switch_layer.py, torch {torch.__version__.split('+')[0]}",
        "cases": [*cases, case({"k": 3}, 3, (2, 4, 6))],
        "drops": [drop(factor) for factor in [0.5, 1.0, 1.5]],
        "passed": numbers(layer(code, capacity_factor=0.0)(x)[0]),
        "balance": {"switch": {"balance_over": "side"}, "loss": round(loss.item(), 9)},
    }
    (Path(folder) / "switch-layer.json").write_text(json.dumps(fixture) + "\n")


main(*sys.argv[1:])
