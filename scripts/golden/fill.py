"""Numbers that follow from a seed alone, the same as `fill` in crates/routers/src/testing.rs."""

import torch

MASK = (1 << 64) - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def fill(seed, shape, scale=1.0):
    count = 1
    for size in shape:
        count *= size
    values = [((mix((seed << 32) + i) >> 11) * 2.0**-53 - 0.5) * scale for i in range(count)]
    return torch.tensor(values, dtype=torch.float32).reshape(shape)
