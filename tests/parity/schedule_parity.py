"""Prints schedule_parity.inc: the rates that torch's schedulers (2.11) give 40 updates, the first one's base rate being 1.

Run it as `python schedule_parity.py > schedule_parity.inc` in an environment with torch.
"""
import torch
from torch.optim import lr_scheduler as s

UPDATES = 40


def table(name, make, count=UPDATES):
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=1.0)
    schedule = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    print(f"inline std::vector<double> const {name}{{{', '.join(repr(float(rate)) for rate in rates)}}};")


print("// Made by schedule_parity.py with torch " + torch.__version__.split("+")[0] + "; do not edit.")
table("constant_factor", lambda o: s.ConstantLR(o, factor=0.25, total_iters=12))
table("linear", lambda o: s.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=10))
table("cosine", lambda o: s.CosineAnnealingLR(o, T_max=UPDATES, eta_min=0.05))
table("cosine_restarts", lambda o: s.CosineAnnealingWarmRestarts(o, T_0=10, eta_min=0.1))
table("one_cycle", lambda o: s.OneCycleLR(o, max_lr=1.0, total_steps=UPDATES + 1, pct_start=13 / 41, div_factor=25.0, final_div_factor=1e4, cycle_momentum=False))
table("step", lambda o: s.StepLR(o, step_size=7, gamma=0.5))
table("multi_step", lambda o: s.MultiStepLR(o, milestones=[5, 20], gamma=0.3))
table("exponential", lambda o: s.ExponentialLR(o, gamma=0.9))
table("polynomial", lambda o: s.PolynomialLR(o, total_iters=UPDATES, power=2.0))
table("inverse_sqrt", lambda o: s.LambdaLR(o, lambda u: (8.0 / (8.0 + u)) ** 0.5))
table("warmup_cosine", lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.01, 1.0, 8), s.CosineAnnealingLR(o, UPDATES - 8)], milestones=[8]))
