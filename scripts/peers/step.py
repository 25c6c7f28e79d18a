"""Times whole training steps in PyTorch eager, in the settings and with the JSON of `bench speed --step`.

    python scripts/peers/step.py --step decoder --tokens 1024 --width 48 --hidden 64 --experts 8 --k 2 --json

The networks are small ones: pre-norm blocks with four heads, of which every second has experts.
A step is forward, loss, backward, clipping of the global norm, AdamW (PyTorch's fused one).
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from measure import Dense, Grouped, Loop

HEADS, LENGTH = 4, {"vit": 16, "decoder": 64}


def rotate(x):
    """Rotary positions, halves paired: `[B, heads, T, head]`."""
    t, head = x.shape[-2:]
    pair = torch.arange(head // 2) * (-2.0 / head)
    angle = torch.arange(t)[:, None] * 10_000.0**pair
    c, s = angle.cos(), angle.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * c - b * s, b * c + a * s], dim=-1)


class Block(nn.Module):
    def __init__(self, width, feed_forward, causal):
        super().__init__()
        norm = nn.RMSNorm if causal else nn.LayerNorm
        self.norms = nn.ModuleList([norm(width, eps=1e-5), norm(width, eps=1e-5)])
        self.qkv = nn.Linear(width, 3 * width, bias=not causal)
        self.out = nn.Linear(width, width, bias=not causal)
        self.feed_forward, self.causal = feed_forward, causal

    def forward(self, x):
        b, t, d = x.shape
        qkv = self.qkv(self.norms[0](x)).view(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.causal:
            q, k = rotate(q), rotate(k)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, d))
        y = self.feed_forward(self.norms[1](x).view(b * t, d))
        return x + y.view(b, t, d)


class Network(nn.Module):
    def __init__(self, a, experts):
        super().__init__()
        causal = a.step == "decoder"
        sizes = (a.kind, a.width, a.hidden, a.experts, a.k)
        self.causal = causal
        self.enter = nn.Embedding(97, a.width) if causal else nn.Linear(4, a.width)
        self.positions = None if causal else nn.Parameter(torch.randn(1, 16, a.width) * 0.02)
        kinds = [experts if at % 2 else Dense for at in range(a.depth)]
        self.blocks = nn.ModuleList([Block(a.width, kind(*sizes), causal) for kind in kinds])
        self.norm = (nn.RMSNorm if causal else nn.LayerNorm)(a.width, eps=1e-5)
        self.head = nn.Linear(a.width, 97 if causal else 10, bias=not causal)

    def forward(self, x):
        if not self.causal:
            b = x.shape[0]
            x = x.view(b, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(b, 16, 4)
        x = self.enter(x) if self.causal else self.enter(x) + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x).flatten(0, 1) if self.causal else self.head(x.mean(1))


def step(network, optimizer, x, labels):
    """Milliseconds of the loss of a batch, and of a training step; reading the loss waits for the device."""
    started = time.perf_counter()
    with torch.no_grad():
        F.cross_entropy(network(x), labels).item()
    middle = time.perf_counter()
    loss = F.cross_entropy(network(x), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    loss.item()
    return (middle - started) * 1e3, (time.perf_counter() - middle) * 1e3


def measure(a):
    torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high" if a.tf32 else "highest")
    torch.manual_seed(0)
    n, length = a.tokens // LENGTH[a.step], LENGTH[a.step]
    if a.step == "decoder":
        x, labels = torch.randint(97, (n, length)), torch.randint(97, (n * length,))
    else:
        x, labels = torch.rand(n, 8, 8), torch.randint(10, (n,))
    kinds = {"torch dense": Dense, "torch loop": Loop, "torch grouped": Grouped}
    kinds = {name: kind for name, kind in kinds.items() if a.only in (None, name)}
    networks = {name: Network(a, kind) for name, kind in kinds.items()}
    optimizers = {
        name: torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        for name, network in networks.items()
    }
    times = {}
    for turn in range(a.repeat + 1):
        for name, network in list(networks.items()):
            try:
                pair = step(network, optimizers[name], x, labels)
            except (RuntimeError, NotImplementedError) as err:
                print(f"{name} does not run on {x.device}: {err}", file=sys.stderr)
                del networks[name]
                continue
            if turn:  # the first turn warms up
                for all_times, one in zip(times.setdefault(name, ([], [])), pair):
                    all_times.append(one)
    for name, (fwd, both) in times.items():
        yield dict(
            engine=name, kind=a.kind, tokens=a.tokens, width=a.width, hidden=a.hidden,
            experts=a.experts, k=a.k, threads=a.threads,
            forward_ms=statistics.median(fwd), forward_backward_ms=statistics.median(both),
            forward_min_ms=min(fwd), forward_backward_min_ms=min(both), tf32=a.tf32,
        )  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", choices=list(LENGTH), required=True)
    defaults = dict(tokens=1024, width=48, hidden=64, experts=8, k=2, depth=2, threads=1, repeat=20)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kind", choices=["ffn", "swiglu"], default="ffn")
    parser.add_argument("--only", choices=["torch dense", "torch loop", "torch grouped"])
    parser.add_argument("--tf32", action="store_true", help="products in TF32, as Burn's on CUDA")
    parser.add_argument("--json", action="store_true", help="as bench speed prints it")
    return parser.parse_args()


if __name__ == "__main__":
    args = arguments()
    rows = list(measure(args))
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['engine']:<16} {row['forward_min_ms']:9.2f} {row['forward_backward_min_ms']:9.2f} ms")
