"""Writes the golden files of safetensors_test.cpp: `safetensors_golden.py DIRECTORY`. Needs the packages safetensors (0.8.0) and numpy."""

import json
import pathlib
import sys

import numpy
import safetensors
import safetensors.numpy

# Name in a header, name for the package's writer, bits of an element.
DTYPES = [("BOOL", "bool", 8), ("F4", "float4_e2m1fn_x2", 4), ("F6_E2M3", None, 6), ("F6_E3M2", None, 6), ("U8", "uint8", 8), ("I8", "int8", 8),
          ("F8_E5M2", "float8_e5m2", 8), ("F8_E4M3", "float8_e4m3fn", 8), ("F8_E8M0", "float8_e8m0fnu", 8),
          ("F8_E4M3FNUZ", "float8_e4m3fnuz", 8), ("F8_E5M2FNUZ", "float8_e5m2fnuz", 8), ("I16", "int16", 16), ("U16", "uint16", 16),
          ("F16", "float16", 16), ("BF16", "bfloat16", 16), ("I32", "int32", 32), ("U32", "uint32", 32), ("F32", "float32", 32),
          ("C64", "complex64", 64), ("F64", "float64", 64), ("I64", "int64", 64), ("U64", "uint64", 64)]


def content(count, start):
    """The bytes that safetensors_test.cpp makes too."""
    return bytes((start + 7 * i) % 251 for i in range(count))


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {}
    buffers = []
    for position, (name, python, bits) in enumerate(DTYPES):
        if python is None:
            continue  # the package's Python side has no name for it
        size = 12 * bits // 8
        shape = [3, 2] if name == "F4" else [3, 4]  # the Python side counts pairs of 4-bit values
        buffers.append(numpy.frombuffer(content(size, position), dtype=numpy.uint8))
        tensors["t." + name] = safetensors.TensorSpec(dtype=python, shape=shape, data_ptr=buffers[-1].ctypes.data, data_len=size)
    (directory / "every_dtype.safetensors").write_bytes(safetensors.serialize(tensors, {"format": "pt"}))

    corners = {
        "scalar": numpy.array(2.5, dtype=numpy.float32),
        "empty": numpy.zeros((0, 4), dtype=numpy.float64),
        "b": numpy.arange(6, dtype=numpy.int64).reshape(2, 3),
        "a": numpy.arange(3, dtype=numpy.int64),
        "flags": numpy.array([True, False, True]),
        'quote " back \\ tab \t low \x01 slash / é \U0001f600': numpy.array([1, 2, 3], dtype=numpy.uint8),
    }
    (directory / "corners.safetensors").write_bytes(safetensors.numpy.save(corners))
    (directory / "nothing.safetensors").write_bytes(safetensors.numpy.save({}))

    shards = {"model-00001-of-00002.safetensors": {"a": numpy.arange(4, dtype=numpy.float32), "b": numpy.arange(2, dtype=numpy.float32)},
              "model-00002-of-00002.safetensors": {"c": numpy.arange(6, dtype=numpy.float32)}}
    for name, part in shards.items():
        (directory / name).write_bytes(safetensors.numpy.save(part, {"format": "pt"}))
    index = {"metadata": {"total_size": 48}, "weight_map": {tensor: name for name, part in shards.items() for tensor in part}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
