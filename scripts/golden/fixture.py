"""Writes fixtures for crates/routers/tests/published.rs."""

import json
from pathlib import Path


def numbers(array):
    flat = array.flatten().tolist()
    return {"shape": list(array.shape), "values": [round(value, 9) for value in flat]}


def write(folder, name, **fixture):
    """`source`, `router`, `n_experts`, `parameters`, `x`, `combine`, `target`, `losses`, `gradients`;
    if there are any, `training`, `dispatch` and `after`, states after the pass."""
    (Path(folder) / f"{name}.json").write_text(json.dumps(fixture) + "\n")
