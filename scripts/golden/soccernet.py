"""Random submissions with the numbers of the official packages, for crates/soccernet.

    python3 -m venv VENV
    VENV/bin/pip install --no-deps SoccerNet==0.1.62 sn-trackeval==0.4.0
    VENV/bin/pip install --no-deps --target OLD SoccerNet==0.1.38
    VENV/bin/pip install "numpy<2" scipy tqdm scikit-learn opencv-python-headless pandas pycocotools \
        matplotlib scikit-image tabulate
    git clone https://github.com/SilvioGiancola/SoccerNetv2-DevKit DEVKIT
    git clone https://github.com/SoccerNet/sn-calibration SNCAL; git -C SNCAL checkout 1dedcab
    VENV/bin/python scripts/golden/soccernet.py ALL --old OLD --devkit DEVKIT --calibration SNCAL
    cargo run -p soccernet --example golden -- ALL

writes all cases to the folder ALL, one file a metric; with `--sample N --fixtures FOLDER` also N
small ones of each, which are the fixtures of crates/soccernet/tests/golden.

What is run: the packages' own functions. Where an evaluation is part of a training script and not a
function (segmentation, and the loop over images of localisation) the loop is written anew here.
"""

import argparse
import contextlib
import io
import json
import os
import time
from pathlib import Path

import soccernet_actions
import soccernet_pitch
import soccernet_people

MODULES = [soccernet_actions, soccernet_pitch, soccernet_people]


def measure(case, evaluate):
    """Adds what the official evaluator says, or that it fails, and how long it took."""
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            case["expected"] = evaluate()
    except (Exception, SystemExit) as error:
        case["fails"] = type(error).__name__
    case["seconds"] = round(time.perf_counter() - start, 6)
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("all", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--devkit", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--only")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--fixtures", type=Path)
    arguments = parser.parse_args()
    arguments.all.mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        for name, make in module.makers(arguments).items():
            if arguments.only and arguments.only not in name:
                continue
            cases = [measure(*make(seed)) for seed in range(arguments.cases)]
            lines = [json.dumps(case, separators=(",", ":")) for case in cases]
            (arguments.all / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            failed = sum("fails" in case for case in cases)
            print(f"{name}: {len(cases)} cases, {failed} of which fail", flush=True)
            if arguments.fixtures:
                ordered = sorted(lines, key=len)
                step = max(1, len(ordered) // 60)
                small = ordered[len(ordered) // 8 :: step][: arguments.sample]
                (arguments.fixtures / f"{name}.jsonl").write_text("\n".join(small) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
