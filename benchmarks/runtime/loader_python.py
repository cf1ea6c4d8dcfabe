"""Python's DataLoader on the sets of `loader`, in one run with it: `loader_python.py PROGRAM [REPEATS]`. Needs torch."""

import resource
import statistics
import subprocess
import sys
import time
import zlib

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

torch.set_num_threads(1)


class Slow(Dataset):
    def __len__(self):
        return 512

    def __getitem__(self, index):
        time.sleep(0.001)
        return torch.full((16,), float(index)), index


class Inflate(Dataset):
    packed = [zlib.compress(bytes((k * (i + 3) // 7) % 61 for k in range(10_000))) for i in range(64)]

    def __len__(self):
        return 8192

    def __getitem__(self, index):
        raw = bytearray(zlib.decompress(self.packed[index % 64]))
        return torch.frombuffer(raw, dtype=torch.uint8).float().div_(61), index


def main():
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    subprocess.run([sys.argv[1], "--repeats", str(repeats)], check=True)
    in_memory = TensorDataset(torch.zeros(50_000, 784), torch.zeros(50_000, dtype=torch.long))
    for name, data, workers in [("in memory", in_memory, 0), ("in memory", in_memory, 2), ("1 ms", Slow(), 0), ("1 ms", Slow(), 4), ("inflate", Inflate(), 0), ("inflate", Inflate(), 2)]:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            seen = sum(x.size(0) for x, _ in DataLoader(data, batch_size=64, shuffle=True, num_workers=workers))
            times.append(time.perf_counter() - start)
            assert seen == len(data)
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:<10} {workers} workers   python {len(data) / statistics.median(times):8.0f} samples/s {mib:6.0f} MiB and the workers' own", flush=True)


if __name__ == "__main__":
    main()
