"""The quickstart's model in two processes under torchrun: `processes_python.py PROGRAM [ROUNDS]`.

PROGRAM is runtime_processes. Beside it run Python's DistributedDataParallel and pytorch-accelerated on the same model, batch and number of
steps, each job of its own, in rounds of all of them; medians. Needs torch and pytorch-accelerated, and torchrun beside this Python. An epoch
warms up, the next one is timed. Each job asserts that it is one job of two processes: on a CPU pytorch-accelerated trains two separate
models unless ACCELERATE_USE_CPU says otherwise.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

BATCH, BATCHES, PROCESSES = 32, 600, 2


def build():
    import torch
    from torch import nn
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    samples = BATCH * BATCHES * PROCESSES
    data = torch.utils.data.TensorDataset(torch.rand(samples, 784), torch.randint(10, (samples,)))
    return net, data, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)


def run_ddp():
    import torch
    torch.distributed.init_process_group("gloo")
    assert torch.distributed.get_world_size() == PROCESSES
    net, data, loss, optimizer = build()
    net = torch.nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=True)
    sampler = torch.utils.data.DistributedSampler(data)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, sampler=sampler)

    def epoch():
        total = 0.0
        for x, y in loader:
            value = loss(net(x), y)
            total += value.item() * x.size(0)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
    return epoch, torch.distributed.get_rank()


def run_original():
    from pytorch_accelerated import Trainer
    from pytorch_accelerated.callbacks import MoveModulesToDeviceCallback, TerminateOnNaNCallback
    net, data, loss, optimizer = build()
    trainer = Trainer(net, loss_func=loss, optimizer=optimizer, callbacks=(MoveModulesToDeviceCallback, TerminateOnNaNCallback))
    assert trainer._accelerator.num_processes == PROCESSES, "two separate models would be trained"
    epoch = lambda: trainer.train(train_dataset=data, num_epochs=1, per_device_batch_size=BATCH, train_dataloader_kwargs={"num_workers": 0})
    return epoch, trainer._accelerator.process_index


def measure(name):
    epoch, rank = {"ddp": run_ddp, "original": run_original}[name]()
    epoch()
    start = time.perf_counter()
    epoch()
    if rank == 0:
        print(f"RESULT {1e6 * (time.perf_counter() - start) / BATCHES:.1f}", flush=True)


def job(command):
    torchrun = str(pathlib.Path(sys.executable).parent / "torchrun")
    result = subprocess.run([torchrun, "--nproc-per-node", str(PROCESSES), *command], capture_output=True, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})
    if result.returncode != 0:
        sys.exit(result.stdout + result.stderr)
    return result.stdout


def main():
    if sys.argv[1] == "measure":
        return measure(sys.argv[2])
    program = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    times = {"tacit": [], "tacit, agreement every 50 updates": [], "ddp": [], "original": []}
    for _ in range(rounds):
        for name, arguments in (("tacit", []), ("tacit, agreement every 50 updates", ["--log-every", "50"])):
            text = job(["--no-python", program, "--batches", str(BATCHES), *arguments])
            times[name].append(float(re.search(rf"^{PROCESSES} processes: (\d+) us a step", text, re.MULTILINE).group(1)))
        for name in ("ddp", "original"):
            times[name].append(float(re.search(r"^RESULT (\S+)", job([__file__, "measure", name]), re.MULTILINE).group(1)))
    ours = statistics.median(times["tacit"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<36} {median:7.0f} us a step ({min(values):.0f} to {max(values):.0f}), {median / ours:5.2f} times tacit's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
