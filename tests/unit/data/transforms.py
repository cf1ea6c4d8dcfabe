"""Writes transforms.inc: what ColorJitter gives in float64; transforms.cpp compares with it.

The formulas are those of torchvision.transforms.functional; hue goes through colorsys of the standard library.
Run: python transforms.py
"""

import colorsys
import pathlib

HEIGHT, WIDTH = 2, 3
CASES = [(1.3, 1, 1, 0), (0.5, 1, 1, 0), (1, 0.6, 1, 0), (1, 1.8, 1, 0), (1, 1, 0.0, 0), (1, 1, 1.7, 0), (1, 1, 1, 0.2), (1, 1, 1, -0.35),
         (1, 1, 1, 0.5), (1.2, 0.7, 1.4, -0.1)]


def image():
    """[pixel][channel]; in C++ the same formula. The last pixel is grey, the one before black."""
    pixels = [[((7 * p + 5 * c + 3) % 11) / 10 for c in range(3)] for p in range(HEIGHT * WIDTH)]
    pixels[-2] = [0.0, 0.0, 0.0]
    pixels[-1] = [0.6, 0.6, 0.6]
    return pixels


def clamp(x):
    return min(max(x, 0.0), 1.0)


def grey(pixel):
    return 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def blend(pixels, others, factor):
    return [[clamp(factor * v + (1 - factor) * other) for v in pixel] for pixel, other in zip(pixels, others)]


def turn(pixel, hue):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    return list(colorsys.hsv_to_rgb((h + hue) % 1.0, s, v))


def jitter(brightness, contrast, saturation, hue):
    pixels = blend(image(), [0.0] * (HEIGHT * WIDTH), brightness)
    mean = sum(map(grey, pixels)) / len(pixels)
    pixels = blend(pixels, [mean] * len(pixels), contrast)
    pixels = blend(pixels, [grey(p) for p in pixels], saturation)
    return [turn(p, hue) for p in pixels]


def main():
    lines = ["// Written by transforms.py. Brightness, contrast, saturation, hue; then [channel][pixel]."]
    for case in CASES:
        result = jitter(*case)
        values = [result[p][c] for c in range(3) for p in range(HEIGHT * WIDTH)]
        lines.append("{" + ", ".join(map(repr, map(float, case))) + ",")
        lines.append(" {" + ", ".join(map(repr, values)) + "}},")
    pathlib.Path(__file__).with_suffix(".inc").write_text("\n".join(lines) + "\n")


main()
