"""Prints loop_parity.inc: what plain PyTorch (2.11, float64, one thread) makes of the runs that loop_parity.cpp repeats.

Run it as `python loop_parity.py > loop_parity.inc` in an environment with torch and numpy.
"""
import torch

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def wave(count, step, scale):
    return torch.sin(torch.arange(count, dtype=torch.float64) * step) * scale


def model():
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(wave(parameter.numel(), 0.7 + 0.1 * number, 0.5).reshape(parameter.shape))
    return net


def data(samples):
    inputs = wave(samples * 6, 0.37, 1.0).reshape(samples, 6)
    targets = (torch.arange(samples) * 7) % 3
    return inputs, targets


def run(name, samples, batch, accumulation, clip, optimizer, epochs):
    net = model()
    inputs, targets = data(samples)
    step = optimizer(net.parameters())
    losses = []
    norms = []
    for _ in range(epochs):
        total = 0.0
        window = batch * accumulation
        for first in range(0, samples, window):
            end = min(first + window, samples)
            # The whole window at once: accumulation must not differ from it.
            loss = torch.nn.functional.cross_entropy(net(inputs[first:end]), targets[first:end])
            step.zero_grad()
            loss.backward()
            if clip:
                norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), clip)))
            total += float(loss.detach()) * (end - first)
            step.step()
        losses.append(total / samples)
    flat = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    print(f"inline std::vector<double> const {name}_losses{{{', '.join(repr(x) for x in losses)}}};")
    print(f"inline std::vector<double> const {name}_norms{{{', '.join(repr(x) for x in norms)}}};")
    print(f"inline std::vector<double> const {name}_parameters{{{', '.join(repr(float(x)) for x in flat)}}};")


print("// Made by loop_parity.py with torch " + torch.__version__.split("+")[0] + "; do not edit.")
run("plain", 23, 4, 1, 0.0, lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9), 4)
run("accumulated", 23, 3, 3, 0.0, lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9), 4)
run("clipped", 23, 3, 2, 0.05, lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1), 4)
