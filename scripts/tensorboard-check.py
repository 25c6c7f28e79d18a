"""Reads event files back with the Python package tensorboard and compares them with metrics.csv.

    pip install tensorboard
    cargo run -p bench -- run smoke && cargo run -p bench -- tensorboard smoke
    python scripts/tensorboard-check.py runs runs/smoke-tensorboard
"""

import csv
import pathlib
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

runs, events = map(pathlib.Path, sys.argv[1:])
numbers = 0
for folder in sorted(events.iterdir()):
    run = folder.name.rsplit("-", 1)[1]
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    with open(runs / run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {(f"{row['split']}/{row['metric']}", int(row["step"]), np.float32(row["value"])) for row in rows}
    found = {(tag, one.step, np.float32(one.value)) for tag in read.Tags()["scalars"] for one in read.Scalars(tag)}
    assert found == wanted, (folder, found ^ wanted)
    numbers += len(found)
assert numbers > 0, "there are no numbers"
print(f"{numbers} numbers of {len(list(events.iterdir()))} runs are as they were written")
