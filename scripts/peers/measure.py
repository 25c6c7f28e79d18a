"""Times PyTorch layers of experts, in the settings and with the JSON of `bench speed`.

Needs `torch`; for SwiGLU experts `transformers` too. Run it by hand:

    python scripts/peers/measure.py --tokens 2048 --width 256 --hidden 512 --experts 8 --k 2 --json

Every layer routes (linear scores, softmax, top-k), dispatches, computes and combines, as ours does.
With `--device auto` that is on a card if torch sees one. A layer that cannot run there is named on stderr.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Route(nn.Module):
    """Scores, the k largest, their softmax: `[N, D] -> weights [N, k], experts [N, k]`."""

    def __init__(self, width, experts, k):
        super().__init__()
        self.gate, self.k = nn.Linear(width, experts, bias=False), k

    def forward(self, x):
        return torch.topk(torch.softmax(self.gate(x), dim=-1), self.k, dim=-1)


def stacks(kind, width, hidden, experts):
    """The stacked matrices of the experts: in, (gate,) out."""
    first = [(experts, width, hidden)] * (2 if kind == "swiglu" else 1)
    shapes = [*first, (experts, hidden, width)]
    return nn.ParameterList([nn.Parameter(torch.randn(s) * s[1] ** -0.5) for s in shapes])


def activate(kind, parts):
    return F.silu(parts[0]) * parts[1] if kind == "swiglu" else F.gelu(parts[0])


class Dense(nn.Module):
    """One network with the hidden width of all the experts that a token visits."""

    def __init__(self, kind, width, hidden, experts, k):
        super().__init__()
        self.kind, self.weights = kind, stacks(kind, width, hidden * k, 1)

    def forward(self, x):
        *first, last = [w[0] for w in self.weights]
        return activate(self.kind, [x @ w for w in first]) @ last


class Loop(nn.Module):
    """The expert loop: the rows of each expert by index, added back by index."""

    def __init__(self, kind, width, hidden, experts, k):
        super().__init__()
        self.kind, self.route = kind, Route(width, experts, k)
        # A parameter for each expert: slices of one stack would write zeros over all of it in backward.
        self.experts = nn.ModuleList()
        for _ in range(experts):
            self.experts.append(stacks(kind, width, hidden, 1))

    def forward(self, x):
        weights, chosen = self.route(x)
        out = torch.zeros_like(x)
        for e, stack in enumerate(self.experts):
            token, rank = torch.where(chosen == e)
            *first, last = [w[0] for w in stack]
            rows = x[token]
            y = activate(self.kind, [rows @ w for w in first]) @ last
            out = out.index_add(0, token, y * weights[token, rank, None])
        return out


class Grouped(nn.Module):
    """Sorted by expert, one grouped product for each matrix."""

    def __init__(self, kind, width, hidden, experts, k):
        super().__init__()
        self.kind, self.k, self.n = kind, k, experts
        self.route, self.weights = Route(width, experts, k), stacks(kind, width, hidden, experts)

    def forward(self, x):
        weights, chosen = self.route(x)
        order = torch.argsort(chosen.flatten(), stable=True)
        ends = torch.bincount(chosen.flatten(), minlength=self.n).cumsum(0).to(torch.int32)
        product = getattr(F, "grouped_mm", None) or torch._grouped_mm
        *first, last = self.weights
        rows = x[order // self.k]
        hidden = activate(self.kind, [product(rows, w, offs=ends) for w in first])
        y = product(hidden, last, offs=ends) * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add(0, order // self.k, y)


class Mixtral(nn.Module):
    """The block of Hugging Face's Mixtral."""

    def __init__(self, how, width, hidden, experts, k):
        super().__init__()
        from transformers import MixtralConfig
        from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

        config = MixtralConfig(
            hidden_size=width,
            intermediate_size=hidden,
            num_local_experts=experts,
            num_experts_per_tok=k,
        )
        config._experts_implementation = how
        self.block = MixtralSparseMoeBlock(config)
        for p in self.block.parameters():
            nn.init.normal_(p, std=0.02)

    def forward(self, x):
        y = self.block(x[None])
        return (y[0] if isinstance(y, tuple) else y)[0]


def peers(a):
    sizes = (a.width, a.hidden, a.experts, a.k)
    yield "torch dense", Dense(a.kind, *sizes)
    yield "torch loop", Loop(a.kind, *sizes)
    yield "torch grouped", Grouped(a.kind, *sizes)
    if a.kind == "swiglu":
        yield "mixtral eager", Mixtral("eager", *sizes)
        yield "mixtral grouped", Mixtral("grouped_mm", *sizes)


def clock(x):
    """The time, when the device has done all that it was told."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


def forward(model, x):
    with torch.no_grad():
        started = clock(x)
        model(x)
        return (clock(x) - started) * 1e3


def both(model, x):
    x = x.detach().requires_grad_()
    model.zero_grad(set_to_none=True)
    started = clock(x)
    model(x).sum().backward()
    return (clock(x) - started) * 1e3


def able(models, x):
    """The models that run on the device of x."""
    for name, model in models:
        try:
            both(model.to(x.device), x)
            yield name, model
        except (RuntimeError, NotImplementedError) as err:
            print(f"{name} does not run on {x.device}: {err}", file=sys.stderr)


def measure(a):
    torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high" if a.tf32 else "highest")
    torch.manual_seed(0)
    x = torch.randn(a.tokens, a.width).to(a.device)
    models = list(peers(a))
    if x.is_cuda:
        models = list(able(models, x))
    times, memory = {name: ([], []) for name, _ in models}, {}
    for turn in range(a.repeat + 1):
        for name, model in models:
            if x.is_cuda:
                torch.cuda.reset_peak_memory_stats(x.device)
            pair = forward(model, x), both(model, x)
            if x.is_cuda:
                memory[name] = torch.cuda.max_memory_allocated(x.device)
            if turn:  # the first turn warms up
                for all_times, one in zip(times[name], pair):
                    all_times.append(one)
    flops = 2 * (3 if a.kind == "swiglu" else 2) * a.tokens * a.k * a.width * a.hidden
    for name, (fwd, two) in times.items():
        yield dict(
            engine=name, kind=a.kind, tokens=a.tokens, width=a.width, hidden=a.hidden,
            experts=a.experts, k=a.k, threads=a.threads,
            forward_ms=statistics.median(fwd), forward_backward_ms=statistics.median(two),
            forward_min_ms=min(fwd), forward_backward_min_ms=min(two),
            gflops=flops / min(fwd) / 1e6,
            device=torch.cuda.get_device_name(x.device) if x.is_cuda else "cpu", tf32=a.tf32,
            # Bytes at most during a step, with the parameters of all layers here.
            device_peak_memory=memory.get(name),
        )  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = dict(tokens=2048, width=256, hidden=512, experts=8, k=2, threads=1, repeat=7)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kind", choices=["ffn", "swiglu"], default="ffn")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1; auto: cuda if torch sees a card")
    parser.add_argument("--tf32", action="store_true", help="products in TF32, as Burn's on CUDA")
    parser.add_argument("--json", action="store_true", help="as bench speed prints it")
    found = parser.parse_args()
    if found.device == "auto":
        found.device = "cuda" if torch.cuda.is_available() else "cpu"
    return found


if __name__ == "__main__":
    args = arguments()
    rows = list(measure(args))
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['engine']:<16} {row['forward_min_ms']:9.2f} {row['forward_backward_min_ms']:9.2f} ms")
