"""Writes the golden files of weights.cpp: `weights_golden.py DIRECTORY`. Needs torch (2.11.0) and safetensors (0.8.0)."""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file, save_model


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2)
        self.norm = torch.nn.BatchNorm2d(3)
        self.body = torch.nn.Linear(6, 4)
        self.head = torch.nn.Linear(4, 4, bias=False)
        self.twin = torch.nn.Linear(4, 4, bias=False)
        self.twin.weight = self.head.weight


def fill(net):
    """Values that float16 has too, and that weights.cpp makes again; twin comes last and decides for the tied ones."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_((torch.arange(tensor.numel()) * 0.25 + len(name)).reshape(tensor.shape))
            else:
                tensor.fill_(7)


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    net = Net()
    fill(net)
    copies = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    save_file(copies, directory / "model.safetensors", {"format": "pt"})
    save_model(net, directory / "tied_once.safetensors")

    half = {"backbone." + name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in copies.items() if not name.startswith("twin")}
    half["fc.weight"] = torch.ones(10, 4, dtype=torch.float16)
    save_file(half, directory / "half.safetensors")

    # What weights.cpp writes has the bytes of these files; Python takes them strictly.
    Net().load_state_dict(load_file(directory / "model.safetensors"), strict=True)


if __name__ == "__main__":
    main()
