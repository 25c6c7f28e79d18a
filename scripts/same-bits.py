"""Does a program give the same bits on a processor without AVX-512?

Runs it twice, on this processor and on an emulated one that has AVX2 and other caches, and compares the
metrics and the weights of all runs bit by bit. Needs qemu-x86_64 (Debian: qemu-user), and patience: the
emulation is some fifty times slower.

    python3 scripts/same-bits.py target/debug/bench run smoke
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile


def run(command: list[str], folder: pathlib.Path, before: list[str]) -> None:
    """Runs the program with its runs kept in the folder."""
    subprocess.run([*before, *command, "--runs", str(folder)], check=True, stdout=subprocess.DEVNULL)


def weights(checkpoint: pathlib.Path) -> bytes:
    """The numbers of the model, without the names and random ids that stand before them."""
    data = checkpoint.read_bytes()
    # The name of the format, the length of a header, the header, the model.
    (length,) = struct.unpack("<Q", data[8:16])
    model = data[16 + length :][: json.loads(data[16 : 16 + length])["model"]]
    # The magic, a version of two bytes, the length of the metadata; numbers begin at a multiple of 256.
    (metadata,) = struct.unpack("<I", model[6:10])
    first = -(-(10 + metadata) // 256) * 256
    assert first < len(model), f"{checkpoint}: no weights"
    return model[first:]


def differences(here: pathlib.Path, there: pathlib.Path) -> tuple[int, list[str]]:
    """The number of runs, and what differs."""
    ids = sorted(path.parent.name for path in here.glob("*/metrics.csv"))
    found = []
    for run_id in ids:
        metrics = [folder / run_id / "metrics.csv" for folder in (here, there)]
        if metrics[0].read_bytes() != metrics[1].read_bytes():
            found.append(f"{run_id}: metrics.csv")
        if weights(here / run_id / "checkpoint.bin") != weights(there / run_id / "checkpoint.bin"):
            found.append(f"{run_id}: weights")
    return len(ids), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cpu", default="Haswell", help="the emulated processor (default: Haswell)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the program and its arguments")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here, there = pathlib.Path(folder, "here"), pathlib.Path(folder, "there")
        run(args.command, here, [])
        run(args.command, there, ["qemu-x86_64", "-cpu", args.cpu])
        count, found = differences(here, there)
    if count == 0:
        sys.exit("there are no runs to compare")
    print("\n".join(found) or f"{count} runs are equal to the bit")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
