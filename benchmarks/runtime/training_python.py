"""The models of `training` under Python's trainers, in one run with it: `training_python.py PROGRAM [ROUNDS] [MODEL ...]`.

Needs torch, pytorch-accelerated, accelerate and lightning. Each measurement is a process of its own: rounds of all of them, medians. A
process trains one epoch to warm up and then one that is timed; the start is the time to the end of a first step, imports included.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

SAMPLES = {"mlp": 5000, "cnn": 1600, "gpt": 320, "one": 32000}
BATCH = {"mlp": 32, "cnn": 32, "gpt": 8, "one": 32}
TRAINERS = ["plain", "pytorch-accelerated", "accelerate", "lightning"]


def build(model, samples):
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.between = nn.LayerNorm(64), nn.LayerNorm(64)
            self.mix, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
            self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

        def forward(self, x):
            rows, length, _ = x.shape
            q, k, v = self.mix(self.before(x)).view(rows, length, 3, 2, 32).permute(2, 0, 3, 1, 4)
            seen = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            h = x + self.out(seen.transpose(1, 2).reshape(rows, length, 64))
            return h + self.down(f.gelu(self.up(self.between(h))))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(65, 64), nn.Embedding(64, 64)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 65)

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.token(x) + self.place(torch.arange(x.size(1)))))).transpose(1, 2)

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x * self.weight

    torch.set_num_threads(1)
    if model == "mlp":
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    elif model == "cnn":
        net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 7 * 7, 10))
    elif model == "gpt":
        net = Gpt()
    else:
        net = One()
    if model in ("mlp", "cnn"):
        x, y = torch.rand(samples, 1, 28, 28), torch.randint(10, (samples,))
    elif model == "gpt":
        tokens = torch.randint(65, (samples, 65))
        x, y = tokens[:, :64].contiguous(), tokens[:, 1:].contiguous()
    else:
        x = torch.randn(samples, 1)
        y = 2 * x
    loss = nn.MSELoss() if model == "one" else nn.CrossEntropyLoss()
    return net, torch.utils.data.TensorDataset(x, y), loss, torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)


def epoch_of(trainer, model, samples):
    """A function that trains an epoch."""
    import torch
    net, data, loss, optimizer = build(model, samples)
    batch = BATCH[model]
    if trainer == "pytorch-accelerated":
        from pytorch_accelerated import Trainer
        from pytorch_accelerated.callbacks import MoveModulesToDeviceCallback, TerminateOnNaNCallback
        tool = Trainer(net, loss_func=loss, optimizer=optimizer, callbacks=(MoveModulesToDeviceCallback, TerminateOnNaNCallback))
        return lambda: tool.train(train_dataset=data, num_epochs=1, per_device_batch_size=batch, train_dataloader_kwargs={"num_workers": 0})
    if trainer == "lightning":
        import logging
        import warnings
        import lightning
        warnings.filterwarnings("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

        class Module(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = net

            def training_step(self, batch, _):
                return loss(self.net(batch[0]), batch[1])

            def configure_optimizers(self):
                return optimizer

        module = Module()

        def run():
            tool = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
            tool.fit(module, torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True))
        return run
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
    backward = torch.Tensor.backward
    if trainer == "accelerate":
        from accelerate import Accelerator
        accelerator = Accelerator(cpu=True)
        net, optimizer, loader = accelerator.prepare(net, optimizer, loader)
        backward = accelerator.backward

    def run():
        net.train()
        total = 0.0
        for x, y in loader:
            value = loss(net(x), y)
            total += value.item() * x.size(0)
            backward(value)
            optimizer.step()
            optimizer.zero_grad()
    return run


def measure(trainer, model):
    samples = SAMPLES[model]
    epoch = epoch_of(trainer, model, samples)
    epoch()
    start = time.perf_counter()
    epoch()
    seconds = time.perf_counter() - start
    steps = -(-samples // BATCH[model])
    print("RESULT", json.dumps({"us": 1e6 * seconds / steps, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def call(*arguments):
    output = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
    return [json.loads(line[7:]) for line in output.splitlines() if line.startswith("RESULT ")]


def start_of(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - start


def main():
    if sys.argv[1] == "--run":
        return measure(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "--first-step":
        SAMPLES["mlp"] = 32
        return epoch_of(sys.argv[2], "mlp", 32)()
    program = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    models = sys.argv[3:] or list(SAMPLES)
    for model in models:
        ours, times, memory = [], {t: [] for t in TRAINERS}, {}
        for _ in range(rounds):
            text = subprocess.run([program, "--model", model], check=True, capture_output=True, text=True).stdout
            ours.append(float(next(line for line in text.splitlines() if f"{model:<4} trainer  " in line).split()[2]))
            for trainer in TRAINERS:
                result = call("--run", trainer, model)[0]
                times[trainer].append(result["us"])
                memory[trainer] = result["mib"]
        mine = statistics.median(ours)
        print(f"{model:<4} {'tacit':<20} {mine:9.1f} us a step")
        for trainer in TRAINERS:
            median = statistics.median(times[trainer])
            print(f"{model:<4} {trainer:<20} {median:9.1f} us a step ({min(times[trainer]):.1f} to {max(times[trainer]):.1f}), {median / mine:5.2f} times tacit's, {memory[trainer]:.0f} MiB", flush=True)
    starts = {t: statistics.median(start_of([sys.executable, __file__, "--first-step", t]) for _ in range(rounds)) for t in TRAINERS}
    print(f"first step of the mlp after {statistics.median(start_of([program, '--first-step']) for _ in range(rounds)):.2f} s; " +
          ", ".join(f"{t} {s:.2f} s" for t, s in starts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
