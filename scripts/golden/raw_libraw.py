"""What LibRaw makes of mosaics: crates/raw/tests/golden/libraw.json.

    pip install rawpy==0.28.0 numpy
    python scripts/golden/raw_libraw.py crates/raw/tests/golden/libraw.json
    python scripts/golden/raw_libraw.py --compare PROGRAM   # 400 random mosaics against our conversion

A DNG file of each mosaic is written here, by code that shares nothing with the crate, and is converted by
rawpy with bilinear interpolation: once to linear numbers of 16 bits in the camera's colours, and once to
sRGB of 8 bits with the curve of BT.709. The mosaics are drawn with seeds; some have too much light in
places, some have another pattern, other levels and another white balance.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import rawpy

PATTERNS = {"RGGB": (0, 1, 1, 2), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1), "BGGR": (2, 1, 1, 0)}
MATRICES = [
    [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6],
    [0.65, -0.1, -0.08, -0.5, 1.3, 0.2, -0.1, 0.25, 0.55],
]


def dng(values, pattern, black, white, matrix, neutral):
    height, width = values.shape
    data = values.astype("<u2").tobytes()
    fraction = lambda x: struct.pack("<ii", round(x * 10**6), 10**6)
    short = lambda x: (3, 1, struct.pack("<H", x))
    long = lambda x: (4, 1, struct.pack("<I", x))
    text = lambda s: (2, len(s) + 1, s.encode() + b"\0")
    entries = {
        254: long(0), 256: long(width), 257: long(height), 258: short(16), 259: short(1),
        262: short(32803), 271: text("MoeLab"), 272: text("Golden"), 273: long(0), 274: short(1),
        277: short(1), 278: long(height), 279: long(len(data)), 284: short(1),
        33421: (3, 2, struct.pack("<HH", 2, 2)), 33422: (1, 4, bytes(PATTERNS[pattern])),
        50706: (1, 4, bytes([1, 4, 0, 0])), 50707: (1, 4, bytes([1, 1, 0, 0])),
        50708: text("MoeLab Golden"), 50714: long(black), 50717: long(white),
        50721: (10, 9, b"".join(map(fraction, matrix))),
        50728: (5, 3, b"".join(map(fraction, neutral))), 50778: short(21),
    }
    start = 8 + 2 + 12 * len(entries) + 4
    extra = b""
    places = {}
    for tag in sorted(entries):
        value = entries[tag][2]
        if len(value) > 4:
            places[tag] = start + len(extra)
            extra += value + b"\0" * (len(value) % 2)
    entries[273] = long(start + len(extra))
    out = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag in sorted(entries):
        kind, count, value = entries[tag]
        value = struct.pack("<I", places[tag]) if tag in places else value.ljust(4, b"\0")
        out += struct.pack("<HHI", tag, kind, count) + value
    return out + b"\0" * 4 + extra + data


def case(seed, height=24, width=28):
    rng = np.random.default_rng(seed)
    pattern = list(PATTERNS)[seed % 4]
    black, white = int(rng.integers(0, 600)), int(rng.integers(4000, 60000))
    smooth = rng.random((height // 4, width // 4)).repeat(4, 0).repeat(4, 1)
    light = 0.7 * smooth + 0.4 * rng.random((height, width))
    if seed % 2:
        light *= 1.5  # too much light in places
    values = np.clip(black + light * (white - black) - 30 * rng.random((height, width)), 0, 65535)
    return {
        "pattern": pattern, "black": black, "white": white, "height": height, "width": width,
        "matrix": MATRICES[seed % len(MATRICES)],
        "neutral": [round(float(x), 3) for x in (rng.uniform(0.3, 1), 1.0, rng.uniform(0.3, 1))],
        "values": values.astype(np.uint16),
    }


def libraw(case):
    """Linear numbers of 16 bits, and codes of 8 bits."""
    keys = ("pattern", "black", "white", "matrix", "neutral")
    with tempfile.NamedTemporaryFile(suffix=".dng") as file:
        file.write(dng(case["values"], *(case[key] for key in keys)))
        file.flush()
        alike = dict(
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR, no_auto_bright=True,
            adjust_maximum_thr=0.0, user_flip=0, user_wb=None,
        )
        with rawpy.imread(file.name) as raw:
            linear = raw.postprocess(
                **{**alike, "user_wb": [1, 1, 1, 1]}, gamma=(1, 1), output_bps=16,
                output_color=rawpy.ColorSpace.raw,
            )
        with rawpy.imread(file.name) as raw:
            codes = raw.postprocess(
                **alike, use_camera_wb=True, output_bps=8, output_color=rawpy.ColorSpace.sRGB,
            )
    return linear, codes


def fixture(path):
    cases = []
    for seed in range(6):
        made = case(seed)
        linear, codes = libraw(made)
        made["values"] = made["values"].ravel().tolist()
        made["linear"], made["codes"] = linear.ravel().tolist(), codes.ravel().tolist()
        cases.append(made)
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


def compare(program):
    """`PROGRAM IN.dng OUT` writes codes, three bytes a pixel."""
    worst, total, count = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "a.dng"), os.path.join(folder, "a.rgb")
        for seed in range(1000, 1400):
            made = case(seed, 24 + 4 * (seed % 5), 28 + 4 * (seed % 7))
            keys = ("pattern", "black", "white", "matrix", "neutral")
            with open(source, "wb") as file:
                file.write(dng(made["values"], *(made[key] for key in keys)))
            subprocess.run([program, source, target], check=True)
            ours = np.fromfile(target, np.uint8).astype(int)
            theirs = libraw(made)[1].ravel().astype(int)
            worst = max(worst, int(np.abs(ours - theirs).max()))
            total, count = total + int(np.abs(ours - theirs).sum()), count + ours.size
    print(f"400 mosaics, {count} codes: largest difference {worst}, mean {total / count:.3f}")


if __name__ == "__main__":
    compare(sys.argv[2]) if sys.argv[1] == "--compare" else fixture(sys.argv[1])
