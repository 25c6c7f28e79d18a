"""Fixtures from Tutel's gates, for crates/routers/tests/published.rs.

Tutel is in no package index. Run by hand, with torch 2.15.0 and a checkout of
https://github.com/microsoft/Tutel at commit 82af7aa, installed by `NO_CUDA=1 pip install .`:

    python scripts/golden/tutel_routers.py crates/routers/fixtures

The weights are those of `extract_critical`, with room for all.
"""

import sys

import torch
from tutel.gates.cosine_top import CosineTopKGate
from tutel.gates.top import LinearTopKGate
from tutel.impls.fast_dispatch import extract_critical

from fill import fill
from fixture import numbers, write

WIDTH, UNITS, EXPERTS = 5, 6, 6
TORCH = f"torch {torch.__version__.split('+')[0]}"


def combined(gate, x, k, normalize):
    """Weights `[1, U, E]`, and the balance loss."""
    scores = torch.softmax(gate(x[0]), dim=1)
    critical, loss = extract_critical(scores, k, normalize_gate=normalize, capacity_factor=float(EXPERTS))
    weights = torch.zeros(UNITS, EXPERTS)
    for expert, weight in zip(critical[1], critical[3]):
        weights = weights.scatter_add(1, expert.long()[:, None], weight[:, None])
    return weights[None], loss


def fixture(folder, name, seed, gate, router, parameters, k, normalize, balance):
    """`parameters` gives for each path the tensor of Tutel, and whether it lies the other way round."""
    for at, (tensor, turned) in enumerate(parameters.values()):
        if tensor.dim() == 2:
            value = fill(seed + at, list(tensor.T.shape if turned else tensor.shape), 2.0)
            with torch.no_grad():
                tensor.copy_(value.T if turned else value)
    x = fill(seed + 8, [1, UNITS, WIDTH], 2.0).requires_grad_()
    combine, loss = combined(gate, x, k, normalize)
    goal = fill(seed + 9, list(combine.shape))
    ((combine * goal).sum() + balance * loss).backward()
    ours = lambda tensor, turned: numbers(tensor.T if turned else tensor)
    gradients = {path: ours(tensor.grad, turned) for path, (tensor, turned) in parameters.items()}
    write(
        folder,
        name,
        source=f"Tutel 82af7aa, {TORCH}, {type(gate).__name__} and extract_critical",
        router=router,
        n_experts=EXPERTS,
        parameters={path: ours(tensor.detach(), turned) for path, (tensor, turned) in parameters.items()},
        x=numbers(x.detach()),
        combine=numbers(combine.detach()),
        target=numbers(goal),
        losses={"balance": balance * loss.item()} if balance else {},
        gradients={**gradients, "x": numbers(x.grad)},
    )


def main(folder):
    gate = LinearTopKGate(WIDTH, EXPERTS, k=2)
    router = {"kind": "top-k", "k": 2, "weights": "renormalised", "balance": 1.0, "balance_of": "first-choices"}
    fixture(folder, "tutel-top-k", 71, gate, router, {"gate.weight": (gate.wg.weight, True)}, 2, True, 1.0)

    gate = CosineTopKGate(WIDTH, EXPERTS, k=2, proj_dim=EXPERTS // 2)
    torch.nn.init.zeros_(gate.cosine_projector.bias)
    parameters = {
        "reduce": (gate.cosine_projector.weight, True),
        "experts": (gate.sim_matrix, True),
        "sharpness": (gate.temperature, False),
    }
    router = {"kind": "x-moe", "k": 2, "balance": 0.0}
    fixture(folder, "tutel-cosine", 81, gate, router, parameters, 2, False, 0.0)


if __name__ == "__main__":
    main(sys.argv[1])
