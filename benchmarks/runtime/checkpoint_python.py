"""Throughput of Python's safetensors and torch.save beside that of `checkpoint`, in one run: `checkpoint_python.py PROGRAM [MIB]`.

Needs torch and safetensors. Their files are synced here, which neither does by itself; so that like is compared with like."""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import safetensors.torch
import torch

RUNS = 7


def synced(path, save):
    save(path)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    mib = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    subprocess.run([sys.argv[1], "--mib", str(mib)], check=True)
    tensors = {f"layer{i}": torch.randn(1024, 1024) for i in range(max(mib // 4, 1))}
    directory = pathlib.Path("checkpoint_benchmark")
    directory.mkdir(exist_ok=True)
    ways = {"safetensors": (lambda p: safetensors.torch.save_file(tensors, p), safetensors.torch.load_file),
            "torch.save": (lambda p: torch.save(tensors, p), lambda p: torch.load(p, weights_only=True))}
    for name, (save, load) in ways.items():
        saves, loads = [], []
        for run in range(RUNS + 1):
            path = directory / "python"
            path.unlink(missing_ok=True)
            saved = timed(lambda: synced(path, save))
            # Mapped files are read when they are copied into a model.
            loaded = timed(lambda: [tensors[k].copy_(v) for k, v in load(path).items()])
            if run > 0:
                saves.append(saved)
                loads.append(loaded)
        print(f"{name + ', save + fsync':<34} {mib / statistics.median(saves):8.1f} MiB/s")
        print(f"{name + ', load + copy':<34} {mib / statistics.median(loads):8.1f} MiB/s")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
