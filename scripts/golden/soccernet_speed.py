"""How long the official packages take for submissions of a real size; the set-up is that of
soccernet.py. Writes the files to FOLDER, then

    cargo run -p soccernet --example score -- TASK FOLDER/TASK/gt FOLDER/TASK/pr

takes the same ones.

    VENV/bin/python scripts/golden/soccernet_speed.py FOLDER
"""

import contextlib
import io
import json
import os
import sys
import time
import zipfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
from SoccerNet.Evaluation import ActionSpotting, CameraCalibration

import soccernet_actions as actions
import soccernet_people as people
import soccernet_pitch as pitch


def timed(name, work):
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = work()
    print(f"{name}: {time.perf_counter() - start:.2f} s, {result}", flush=True)


def spotting(folder, metric):
    """100 games, 27,678 predictions, 110 labels a game."""
    rng = np.random.default_rng(0)
    truth, prediction = {}, {}
    left = 27_678
    for game in range(100):
        place, count = f"league/2015/game {game:03d}", left // (100 - game)
        left -= count
        labels, spots = [], []
        for _ in range(110):
            half, at = int(rng.integers(1, 3)), int(rng.integers(0, 2_700_000))
            labels.append({"gameTime": actions.clock(half, at // 1000), "position": str(at),
                           "label": str(rng.choice(actions.ACTIONS)), "team": "home",
                           "visibility": str(rng.choice(["visible", "not shown"]))})
        for _ in range(count):
            near = labels[int(rng.integers(len(labels)))]
            at = max(0, int(near["position"]) + int(rng.normal(0, 4000)))
            spots.append({"gameTime": "1 - 00:00", "label": near["label"], "position": str(at),
                          "half": near["gameTime"][0], "confidence": str(round(rng.random(), 4))})
        truth[f"{place}/Labels-v2.json"] = json.dumps({"annotations": labels})
        prediction[f"{place}/results_spotting.json"] = json.dumps({"predictions": spots})
    actions.write(folder / "gt", truth)
    actions.write(folder / "pr", prediction)
    games = sorted({os.path.dirname(name) for name in truth})
    ActionSpotting.getListGames = lambda *_, **__: games
    timed(f"spotting {metric}", lambda: ActionSpotting.evaluate(
        str(folder / "gt"), str(folder / "pr"), prediction_file="results_spotting.json",
        label_files="Labels-v2.json", version=2, metric=metric,
        EVENT_DICTIONARY=actions.EVENT_DICTIONARY_V2)["a_mAP"])


def calibration(folder):
    """200 images."""
    rng = np.random.default_rng(1)
    (folder / "gt/test").mkdir(parents=True, exist_ok=True)
    (folder / "pr").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "gt.zip", "w") as gt, zipfile.ZipFile(folder / "pr.zip", "w") as pr:
        for i in range(200):
            view = pitch.camera(rng, True)
            real, seen = json.dumps(pitch.annotations(rng, view, False)), json.dumps(pitch.moved(rng, view, 0.1))
            gt.writestr(f"test/{i:05d}.json", real)
            pr.writestr(f"camera_{i:05d}.json", seen)
            (folder / f"gt/test/{i:05d}.json").write_text(real)
            (folder / f"pr/camera_{i:05d}.json").write_text(seen)
    timed("calibration", lambda: CameraCalibration.evaluate(
        str(folder / "gt.zip"), str(folder / "pr.zip"), 5)["meanAccuracies"])


def tracking(folder):
    """Five clips of 750 images with 23 people."""
    rng = np.random.default_rng(2)
    sequences = {}
    for index in range(5):
        truth, seen = people.sequence(rng, 750, 23)
        sequences[f"SNMOT-{index}"] = (750, truth, seen)
    official, truth, prediction = people.lay_out(sequences)
    actions.write(folder / "official", official)
    actions.write(folder / "gt", truth)
    actions.write(folder / "pr", prediction)
    timed("tracking", lambda: float(np.mean(people.track(
        folder / "official", list(sequences))["COMBINED_SEQ"]["pedestrian"]["HOTA"]["HOTA"])))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    calibration(folder / "camera-calibration-2022")
    tracking(folder / "multi-object-tracking-2022")
    spotting(folder / "spotting", "loose")
