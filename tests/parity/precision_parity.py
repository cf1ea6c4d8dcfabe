"""Prints precision_parity.inc: what torch.amp.GradScaler, parameter groups, clipping by value and a loop with float32 masters
give in Python (torch 2.11, CPU, one thread); precision_parity.cpp repeats them.

No optimizer here is fused: torch's fused SGD takes its first momentum from memory that nobody has written where the scaler
skips the first update.

Run: python precision_parity.py > precision_parity.inc
"""
import torch

torch.set_num_threads(1)


def wave(count, step, scale, dtype=torch.float32):
    # By double numbers, and rounded once: the same bits in C++.
    return (torch.sin(torch.arange(count, dtype=torch.float64) * step) * scale).to(dtype)


def show(name, values):
    print(f"std::vector<double> const {name}{{")
    for at in range(0, len(values), 6):
        print("    " + ", ".join(repr(float(v)) for v in values[at:at + 6]) + ",")
    print("};")


def scaler(name, optimizer):
    """One parameter of three elements, gradients with infinities at updates 0, 6, 7 and 15."""
    p = torch.nn.Parameter(wave(3, 0.7, 1.0))
    step = optimizer([p])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    scales, parameters = [], []
    for t in range(24):
        c = wave(3, 0.3 + 0.01 * t, 1.0)
        if t in (0, 6, 7, 15):
            c[1] = float("inf")
        step.zero_grad()
        scaler.scale((p * c).sum()).backward()
        scaler.step(step)
        scaler.update()
        scales.append(scaler.get_scale())
        parameters += p.detach().tolist()
    show(f"{name}_scales", scales)
    show(f"{name}_parameters", parameters)


def model(dtype):
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(wave(parameter.numel(), 0.7 + 0.1 * number, 0.5).reshape(parameter.shape))
    return net.to(dtype)


def data(dtype=torch.float32):
    return wave(32 * 6, 0.37, 2.0, dtype).reshape(32, 6), wave(32, 0.11, 3.0, dtype).reshape(32, 1)


def float16():
    """Autocast and scaling on a network: its first scale is too large, so that the first updates are skipped."""
    net = model(torch.float32)
    inputs, targets = data()
    step = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=10)
    losses, scales = [], []
    for _ in range(4):
        total = 0.0
        for first in range(0, 32, 8):
            step.zero_grad()
            with torch.autocast("cpu", dtype=torch.float16):
                loss = torch.nn.functional.mse_loss(net(inputs[first:first + 8]), targets[first:first + 8])
            scaler.scale(loss).backward()
            scaler.unscale_(step)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            scaler.step(step)
            scaler.update()
            scales.append(scaler.get_scale())
            total += loss.item() / 4
        losses.append(total)
    show("float16_losses", losses)
    show("float16_scales", scales)
    show("float16_parameters", [v for p in net.parameters() for v in p.detach().flatten().tolist()])


def masters():
    """The network in bfloat16, its optimizer over float32 masters."""
    master = model(torch.float32)
    net = model(torch.bfloat16)
    inputs, targets = data(torch.bfloat16)
    step = torch.optim.SGD(master.parameters(), lr=0.05, momentum=0.9)
    for _ in range(4):
        for first in range(0, 32, 8):
            net.zero_grad()
            torch.nn.functional.mse_loss(net(inputs[first:first + 8]), targets[first:first + 8]).backward()
            for m, p in zip(master.parameters(), net.parameters()):
                m.grad = p.grad.float()
            torch.nn.utils.clip_grad_norm_(master.parameters(), 2.0)
            step.step()
            with torch.no_grad():
                for m, p in zip(master.parameters(), net.parameters()):
                    p.copy_(m)
    show("master_parameters", [v for p in master.parameters() for v in p.detach().flatten().tolist()])
    show("bfloat16_parameters", [v for p in net.parameters() for v in p.detach().float().flatten().tolist()])


def groups():
    """AdamW in float64: biases do not decay and have a rate of their own; a cosine schedule over both; clipped by value."""
    net = model(torch.float64)
    inputs, targets = data(torch.float64)
    step = torch.optim.AdamW([{"params": [p for p in net.parameters() if p.dim() <= 1], "lr": 0.01, "weight_decay": 0.0},
                              {"params": [p for p in net.parameters() if p.dim() > 1]}], lr=0.05, weight_decay=0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(step, 20)
    for _ in range(5):
        for first in range(0, 32, 8):
            step.zero_grad()
            torch.nn.functional.mse_loss(net(inputs[first:first + 8]), targets[first:first + 8]).backward()
            torch.nn.utils.clip_grad_value_(net.parameters(), 0.25)
            step.step()
            schedule.step()
    show("group_parameters", [v for p in net.parameters() for v in p.detach().flatten().tolist()])


scaler("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
scaler("adamw", lambda p: torch.optim.AdamW(p, lr=0.1))
float16()
masters()
groups()
