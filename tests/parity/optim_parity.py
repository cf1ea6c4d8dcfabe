"""Writes optim_parity.inc: what torch.optim and clip_grad_norm_ of Python give; optim_parity.cpp compares with it.

Run: python optim_parity.py   (torch 2.11.0; float64 on the CPU; a second run gives the same bytes)
"""

import itertools
import pathlib

import torch

STEPS = 50
SNAPSHOTS = (5, STEPS)
SKIPPED = (0, 3)  # the updates that a mask suppresses, in the cases that have one


def parameters():
    """Three parameters, the last a transposed view; in C++ the same formula."""
    value = lambda n, k: torch.tensor([((5 * i + 3 * k) % 11 - 5) / 8 for i in range(n)], dtype=torch.float64)
    a = value(6, 0).reshape(2, 3)
    b = value(5, 1)
    c = value(6, 2).reshape(3, 2).t()
    return [torch.nn.Parameter(p) for p in (a, b, c)]


def gradient(p, k, t):
    n = p.numel()
    base = torch.tensor([((7 * i + 13 * t + 5 * k) % 29 - 14) / 16 for i in range(n)], dtype=torch.float64)
    return base.reshape(p.shape) + p.detach() * 0.25


def has_gradient(k, t, missing):
    return not (missing and k == 1 and (t == 0 or t % 3 == 1))


def run(make, slots, missing, masked):
    ps = parameters()
    optimizer = make(ps)
    snapshots = []
    for t in range(STEPS):
        for k, p in enumerate(ps):
            p.grad = gradient(p, k, t) if has_gradient(k, t, missing) else None
        if not (masked and t in SKIPPED):
            optimizer.step()
        if t + 1 in SNAPSHOTS:
            values = []
            for p in ps:
                values += p.detach().flatten().tolist()
                for slot in slots:
                    state = optimizer.state[p].get(slot)
                    if state is None:
                        state = torch.zeros_like(p)
                    values += state.detach().flatten().tolist()
            snapshots.append(values)
    return snapshots


def cpp(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, tuple):
        return "{" + ", ".join(cpp(y) for y in x) + "}"
    return repr(x)


def emit(out, kind, options, snapshots, missing, masked):
    name = ", ".join(f"{k} {v}" for k, v in options.items()) + (", missing" * missing) + (", masked" * masked)
    fields = ", ".join(f".{k} = {cpp(v)}" for k, v in options.items())
    out.append(f'{{"{name}", {kind}{{{fields}}}, {cpp(missing)}, {cpp(masked)}, {{')
    for values in snapshots:
        line = "    {"
        for v in values:
            text = repr(v) + ", "
            if len(line) + len(text) > 118:
                out.append(line.rstrip())
                line = "     "
            line += text
        out.append(line.rstrip(", ") + "},")
    out.append("}},")


def sgd_cases():
    o = dict
    plain = [
        o(lr=0.05),
        o(lr=0.05, weight_decay=0.1, maximize=True),
        o(lr=0.05, momentum=0.9),
        o(lr=0.05, momentum=0.9, dampening=0.3),
        o(lr=0.05, momentum=0.9, nesterov=True),
        o(lr=0.05, momentum=0.8, dampening=0.5, weight_decay=0.02, maximize=True),
        o(lr=0.05, momentum=0.9, weight_decay=0.02, nesterov=True, maximize=True),
    ]
    yield from ((x, False, False) for x in plain)
    yield o(lr=0.05, momentum=0.9), True, False
    yield o(lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.02), True, False
    yield o(lr=0.05, momentum=0.9, weight_decay=0.02, nesterov=True), True, True
    yield o(lr=0.05, momentum=0.9, dampening=0.3), True, True
    yield o(lr=0.05, momentum=0.7, dampening=1.0, maximize=True), False, True


def adamw_cases():
    o = dict
    yield o(lr=0.02), False, False
    yield o(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.0), False, False
    yield o(lr=0.02, weight_decay=0.1, amsgrad=True), False, False
    yield o(lr=0.02, weight_decay=0.1, maximize=True), True, False
    yield o(lr=0.02, weight_decay=0.1), True, True
    yield o(lr=0.02, weight_decay=0.1, amsgrad=True, maximize=True), True, True


def masked_or_not(options):
    """Every combination once plain; the first and the last also with gradients that come and go, and with masks."""
    options = list(options)
    yield from ((o, False, False) for o in options)
    for o in (options[0], options[-1]):
        yield o, True, False
        yield o, True, True


def combinations(base, **choices):
    for values in itertools.product(*choices.values()):
        yield base | {name: value for name, value in zip(choices, values) if value is not None}


def adam_cases():
    yield from masked_or_not(
        combinations(dict(lr=0.02), betas=(None, (0.8, 0.95)), weight_decay=(None, 0.1), amsgrad=(None, True),
                     maximize=(None, True), decoupled_weight_decay=(None, True)))
    yield dict(lr=0.02, eps=1e-3), False, False


def adagrad_cases():
    yield from masked_or_not(
        combinations(dict(lr=0.05), lr_decay=(None, 0.01), weight_decay=(None, 0.1),
                     initial_accumulator_value=(None, 0.5), eps=(None, 1e-3), maximize=(None, True)))


def rmsprop_cases():
    yield from masked_or_not(
        combinations(dict(lr=0.01), alpha=(None, 0.9), eps=(1e-4,), weight_decay=(None, 0.1), momentum=(None, 0.9),
                     centered=(None, True), maximize=(None, True)))
    yield dict(lr=0.01), False, False


def clip_cases(out):
    for kind, dtype in (("float", torch.float32), ("double", torch.float64)):
        for maximum in (0.5, 100.0):
            ps = parameters()
            ps = [torch.nn.Parameter(p.detach().to(dtype)) for p in ps]
            for k, p in enumerate(ps):
                p.grad = gradient(p, k, 3).to(dtype)
            norm = torch.nn.utils.clip_grad_norm_(ps, maximum).item()
            values = [v for p in ps for v in p.grad.flatten().tolist()]
            out.append(f"{{at::k{kind.capitalize()}, {maximum!r}, {norm!r}, {{")
            out.append("    " + ",\n    ".join(", ".join(map(repr, values[i : i + 5])) for i in range(0, len(values), 5)))
            out.append("}},")


def main():
    assert torch.__version__.startswith("2.11.0"), torch.__version__
    torch.set_num_threads(1)
    out = ["// Written by optim_parity.py with torch 2.11.0. Do not edit.", "#ifdef TACIT_PARITY_SGD"]
    for options, missing, masked in sgd_cases():
        slots = ["momentum_buffer"] if options.get("momentum") else []
        make = lambda ps: torch.optim.SGD(ps, **options, foreach=False, fused=False)
        emit(out, "Sgd", options, run(make, slots, missing, masked), missing, masked)
    out += ["#endif", "#ifdef TACIT_PARITY_ADAMW"]
    for options, missing, masked in adamw_cases():
        slots = ["step", "exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if options.get("amsgrad") else [])
        make = lambda ps: torch.optim.AdamW(ps, **options, foreach=False, fused=False)
        emit(out, "AdamW", options, run(make, slots, missing, masked), missing, masked)
    out += ["#endif", "#ifdef TACIT_PARITY_ADAM"]
    for options, missing, masked in adam_cases():
        slots = ["step", "exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if options.get("amsgrad") else [])
        make = lambda ps: torch.optim.Adam(ps, **options, foreach=False, fused=False)
        emit(out, "Adam", options, run(make, slots, missing, masked), missing, masked)
    out += ["#endif", "#ifdef TACIT_PARITY_ADAGRAD"]
    for options, missing, masked in adagrad_cases():
        make = lambda ps: torch.optim.Adagrad(ps, **options, foreach=False, fused=False)
        emit(out, "Adagrad", options, run(make, ["step", "sum"], missing, masked), missing, masked)
    out += ["#endif", "#ifdef TACIT_PARITY_RMSPROP"]
    for options, missing, masked in rmsprop_cases():
        slots = ["square_avg"] + ["momentum_buffer"] * ("momentum" in options) + ["grad_avg"] * ("centered" in options)
        make = lambda ps: torch.optim.RMSprop(ps, **options, foreach=False)
        emit(out, "RMSprop", options, run(make, slots, missing, masked), missing, masked)
    out += ["#endif", "#ifdef TACIT_PARITY_CLIP"]
    clip_cases(out)
    out += ["#endif", ""]
    pathlib.Path(__file__).with_suffix(".inc").write_text("\n".join(out))


main()
