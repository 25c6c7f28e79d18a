"""Fixtures from the routers of V-MoE, in JAX.

Run by hand, with jax 0.10.2, flax 0.12.8, jaxopt 0.8.5, optax 0.2.8, torch 2.15.0 (for `fill`), and a
checkout of https://github.com/google-research/vmoe at 942a78b:

    PYTHONPATH=path/to/vmoe python scripts/golden/vmoe_routers.py crates/routers/fixtures

Weights are those of the einsum dispatcher, with a capacity at which nothing is dropped.
"""

import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
from vmoe.nn.routing import NoisyTopExpertsPerItemRouter, NoisyTopItemsPerExpertRouter
from vmoe.projects.soft_moe.router import SoftRouter
from vmoe.projects.sparsity_constrained_ot.ksparse_projection_routing import (
    KSparseProjectionTransportTopExpertsPerItemRouter,
)

from fill import fill
from fixture import numbers, write

VERSIONS = ", ".join(f"{name} {version(name)}" for name in ["jax", "flax", "jaxopt", "optax"])
SOURCE = f"google-research/vmoe 942a78b, {VERSIONS}"
WIDTH = 5
jax.config.update("jax_default_matmul_precision", "highest")


def array(seed, shape, scale=1.0):
    return jnp.array(fill(seed, shape, scale).numpy())


def gate(folder, name, seed, router, reference, groups, n_experts, losses=lambda metrics: {}):
    """A router whose only parameter is a gate."""
    weight, x = array(seed, [WIDTH, n_experts], 2.0), array(seed + 1, [groups, 6, WIDTH], 2.0)
    goal = array(seed + 2, [groups, 6, n_experts])

    def run(weight, x):
        dispatcher, metrics = reference.apply({"params": {"dense": {"kernel": weight}}}, x)
        combine = dispatcher.combine_weights.sum(axis=-1)
        own = losses(metrics)
        return (combine * goal).sum() + sum(own.values()), (combine, own)

    (_, (combine, own)), gradients = jax.value_and_grad(run, argnums=(0, 1), has_aux=True)(weight, x)
    write(
        folder,
        name,
        source=f"{SOURCE}, {type(reference).__name__}",
        router=router,
        n_experts=n_experts,
        parameters={"gate.weight": numbers(weight)},
        x=numbers(x),
        combine=numbers(combine),
        target=numbers(goal),
        losses={name: float(loss) for name, loss in own.items()},
        gradients={"gate.weight": numbers(gradients[0]), "x": numbers(gradients[1])},
    )


def soft(folder, seed):
    experts, slots, units = 3, 4, 6
    mu, x = array(seed, [WIDTH, experts, slots], 2.0), array(seed + 1, [2, units, WIDTH], 2.0)
    scale = jnp.array(1.5)
    goal = array(seed + 2, [2, units, experts, slots])
    reference = SoftRouter(num_experts=experts, num_slots=slots, dtype=jnp.float32)

    def run(mu, scale, x):
        dispatcher, _ = reference.apply({"params": {"mu": mu, "scale": scale}}, x)
        # Behind a dispatcher that rounds to bfloat16.
        inner = dispatcher.dispatcher
        return (inner.combine_weights * goal).sum(), (inner.combine_weights, inner.dispatch_weights)

    run = jax.value_and_grad(run, argnums=(0, 1, 2), has_aux=True)
    (_, (combine, dispatch)), gradients = run(mu, scale, x)
    write(
        folder,
        "vmoe-soft",
        source=f"{SOURCE}, SoftRouter",
        router={"kind": "soft", "factor": experts * slots / units},
        n_experts=experts,
        parameters={
            "phi": numbers(mu.reshape(WIDTH, experts * slots)),
            "scale": numbers(scale.reshape(1)),
        },
        x=numbers(x),
        combine=numbers(combine),
        dispatch=numbers(dispatch),
        target=numbers(goal),
        losses={},
        gradients={
            "phi": numbers(gradients[0].reshape(WIDTH, experts * slots)),
            "scale": numbers(gradients[1].reshape(1)),
            "x": numbers(gradients[2]),
        },
    )


def main(folder):
    enough = {"name": "einsum", "capacity_factor": 8.0, "batch_priority": False}
    reference = NoisyTopExpertsPerItemRouter(
        num_experts=6, num_selected_experts=2, dispatcher=enough, deterministic=True
    )
    options = {"kind": "v-moe", "k": 2, "importance": 1.0}
    importance = lambda metrics: {"importance": metrics["importance_loss"].mean()}
    gate(folder, "vmoe-top-experts", 150, options, reference, 1, 6, importance)

    reference = NoisyTopItemsPerExpertRouter(
        num_experts=4, dispatcher={"name": "einsum", "capacity": 3}, deterministic=True
    )
    gate(folder, "vmoe-top-items", 160, {"kind": "expert-choice", "factor": 2.0}, reference, 2, 4)

    soft(folder, 170)

    for k in [1, 2]:
        reference = KSparseProjectionTransportTopExpertsPerItemRouter(
            num_experts=6, num_selected_experts=k, dispatcher=enough
        )
        options = {"kind": "sparse-transport", "k": k}
        gate(folder, f"vmoe-sparse-transport-{k}", 170 + 10 * k, options, reference, 2, 6)


if __name__ == "__main__":
    main(sys.argv[1])
