"""Fixtures from routers of smaller packages: OLMo-core, and those of lucidrains.

Run by hand, with torch 2.13.0, ai2-olmo-core 3.0.0, st-moe-pytorch 0.1.8, mixture-of-experts 0.2.3 and
PEER-pytorch 0.2.2:

    python scripts/golden/package_routers.py crates/routers/fixtures

Where a package drops what does not fit, its capacity is set so that all fits.
"""

import sys
from importlib.metadata import version

import torch
from mixture_of_experts.mixture_of_experts import Top2Gating
from olmo_core.nn.moe import MoERouterConfig
from PEER_pytorch import PEER
from st_moe_pytorch.st_moe_pytorch import TopNGating

from fill import fill
from fixture import numbers, write

WIDTH, UNITS = 5, 6
TORCH = f"torch {torch.__version__.split('+')[0]}"


def source(package, function):
    return f"{package} {version(package)}, {TORCH}, {function}"


def gate(folder, name, seed, made_by, router, n_experts, groups, parameter, run, **more):
    """`run(x)` gives the weights `[G, U, E]`, the losses by name, and the states afterwards."""
    weight = fill(seed, [WIDTH, n_experts], 2.0)
    with torch.no_grad():
        parameter.copy_(weight.T.reshape(parameter.shape) if more.pop("turned", True) else weight)
    x = fill(seed + 1, [groups, UNITS, WIDTH], 2.0).requires_grad_()
    combine, losses, after = run(x)
    goal = fill(seed + 2, list(combine.shape))
    ((combine * goal).sum() + sum(losses.values())).backward()
    gradient = parameter.grad
    if gradient.shape != weight.shape:
        gradient = gradient.reshape(n_experts, WIDTH).T
    write(
        folder,
        name,
        source=made_by,
        router=router,
        n_experts=n_experts,
        parameters={"gate.weight": numbers(weight), **more.pop("states", {})},
        x=numbers(x),
        combine=numbers(combine),
        target=numbers(goal),
        losses={name: loss.item() for name, loss in losses.items()},
        gradients={"gate.weight": numbers(gradient), "x": numbers(x.grad)},
        after=after,
        **more,
    )


def olmo_core(folder):
    for name, granularity, kind in [("batch", "local_batch", "choices"), ("instance", "instance", "sequence")]:
        config = MoERouterConfig(top_k=2, gating_function="softmax")
        losses = {"lb_loss_weight": 1.0, "lb_loss_granularity": granularity, "z_loss_weight": 0.5}
        router = config.build(WIDTH, 6, init_device="cpu", **losses).train()

        def run(x):
            weights, experts, _, _ = router(x)
            combine = torch.zeros(*x.shape[:2], 6).scatter(2, experts, weights)
            # One by one, since the router adds them up.
            losses = {}
            for loss, other in [("balance", "z_loss_weight"), ("z", "lb_loss_weight")]:
                kept = getattr(router, other)
                setattr(router, other, None)
                losses[loss] = router(x)[3]
                setattr(router, other, kept)
            return combine, losses, {}

        options = {"kind": "top-k", "k": 2, "weights": "softmax", "balance": 1.0, "z": 0.5}
        options["balance_of"] = kind
        made_by = source("ai2-olmo-core", f"MoELinearRouter, {granularity}")
        gate(folder, f"olmo-core-{name}", 200, made_by, options, 6, 2, router.weight, run)

    config = MoERouterConfig(
        top_k=2, gating_function="sigmoid", bias_gamma=0.01, normalize_expert_weights=1.0
    )
    router = config.build(WIDTH, 6, lb_loss_weight=None, z_loss_weight=None, init_device="cpu").train()
    bias = fill(213, [6])
    router.score_bias.copy_(bias)

    def run(x):
        weights, experts, _, _ = router(x)
        router.post_batch()
        combine = torch.zeros(*x.shape[:2], 6).scatter(2, experts, weights)
        return combine, {}, {"bias.bias": numbers(router.score_bias)}

    options = {"kind": "loss-free", "k": 2, "score": "sigmoid", "renormalise": True, "bias_step": 0.01}
    made_by = source("ai2-olmo-core", "MoELinearRouter with post_batch")
    states = {"bias.bias": numbers(bias)}
    gate(folder, "olmo-core-bias", 210, made_by, options, 6, 2, router.weight, run, states=states, training=True)


def lucidrains(folder):
    # A threshold of next to nothing: all n experts are visited.
    router = TopNGating(WIDTH, 6, top_n=3, threshold_train=1e-9, capacity_factor_train=9.0).train()

    def run(x):
        _, combine, balance, z = router(x)
        return combine.sum(dim=-1), {"balance": balance, "z": z}, {}

    options = {"kind": "st-moe", "k": 3, "threshold": 1e-9, "balance": 1.0, "z": 1.0}
    made_by = source("st-moe-pytorch", "TopNGating")
    weight = router.to_gates.weight
    gate(folder, "st-moe-pytorch", 220, made_by, options, 6, 1, weight, run, training=True)

    # In evaluation the second expert is visited if that is as likely as not, g2 > 1/4.
    router = Top2Gating(
        WIDTH, 6, second_policy_eval="threshold", second_threshold_eval=0.25, capacity_factor_eval=9.0
    ).eval()

    def run(x):
        _, combine, balance = router(x)
        return combine.sum(dim=-1), {"balance": balance}, {}

    options = {"kind": "gshard", "balance": 1.0}
    made_by = source("mixture-of-experts", "Top2Gating")
    gate(folder, "mixture-of-experts", 230, made_by, options, 6, 1, router.w_gating, run, turned=False)


def peer(folder, seed):
    width, heads, query, side, k = 6, 2, 3, 4, 3
    model = PEER(
        width,
        heads=heads,
        num_experts=side * side,
        num_experts_per_head=k,
        dim_key=query,
        non_competing_scores=False,
    )
    # [D, heads * 2 * query] here, halves before heads there.
    weight = fill(seed, [width, heads, 2, query], 2.0)
    first, second = fill(seed + 1, [heads, query, side], 2.0), fill(seed + 2, [heads, query, side], 2.0)
    linear = model.to_queries[0].weight
    with torch.no_grad():
        linear.copy_(weight.permute(2, 1, 3, 0).reshape(-1, width))
        model.keys.copy_(torch.stack([first, second]).permute(1, 3, 0, 2))
    seen = {}
    model.score_activation.register_forward_hook(lambda module, inputs, output: seen.update(weights=output))
    model.weight_down_embed.register_forward_hook(lambda module, inputs, output: seen.update(experts=inputs[0]))
    x = fill(seed + 3, [2, UNITS, width], 2.0).requires_grad_()
    model(x)
    weights, experts = (seen[key].reshape(2, UNITS, heads * k) for key in ["weights", "experts"])
    combine = torch.zeros(2, UNITS, side * side).scatter_add(2, experts, weights)
    goal = fill(seed + 4, list(combine.shape))
    (combine * goal).sum().backward()
    keys = model.keys.grad.permute(2, 0, 3, 1)
    of_query = linear.grad.reshape(2, heads, query, width).permute(3, 1, 0, 2)
    write(
        folder,
        "peer-pytorch",
        source=source("PEER-pytorch", "PEER"),
        router={"kind": "peer", "k": k, "heads": heads, "query": query},
        n_experts=side * side,
        parameters={
            "query": numbers(weight.reshape(width, -1)),
            "first_keys": numbers(first),
            "second_keys": numbers(second),
        },
        x=numbers(x),
        combine=numbers(combine),
        target=numbers(goal),
        losses={},
        gradients={
            "query": numbers(of_query.reshape(width, -1)),
            "first_keys": numbers(keys[0]),
            "second_keys": numbers(keys[1]),
            "x": numbers(x.grad),
        },
    )


def main(folder):
    olmo_core(folder)
    lucidrains(folder)
    peer(folder, 240)


if __name__ == "__main__":
    main(sys.argv[1])
