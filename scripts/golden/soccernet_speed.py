"""How long the official packages take for submissions of a real size; the set-up is that of
soccernet.py. Writes the files to FOLDER, then

    cargo run -p soccernet --example score -- TASK FOLDER/TASK/gt FOLDER/TASK/pr

takes the same ones.

    VENV/bin/python scripts/golden/soccernet_speed.py FOLDER --devkit DEVKIT --calibration SNCAL

Without the two clones the metrics of the pip packages are timed alone. Times are those of
the processor, and contain reading the files.
"""

import argparse
import contextlib
import io
import json
import os
import time
import zipfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
from SoccerNet.Evaluation import ActionSpotting, CameraCalibration, ReIdentification, ReplayGrounding

import soccernet_actions as actions
import soccernet_people as people
import soccernet_pitch as pitch


def timed(name, work):
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = work()
    print(f"{name}: {time.process_time() - start:.2f} s, {result}", flush=True)


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


def shot_entries(rng, count, linked):
    """So many shots a half, of 5 to 12 seconds; one in six is a replay of an action if linked."""
    entries = []
    for half in (1, 2):
        seconds = 0
        for i in range(count):
            seconds += int(rng.integers(5, 13))
            entry = {"change_type": str(rng.choice(["abrupt", "smooth", "logo"])),
                     "gameTime": actions.clock(half, seconds), "position": str(seconds * 1000),
                     "label": str(rng.choice(actions.CAMERAS)), "replay": "real-time"}
            if linked and i > 0 and rng.random() < 1 / 6:
                at = max(0, seconds - int(rng.integers(20, 90)))
                entry["replay"] = "replay"
                entry["link"] = {"half": str(half), "label": "Goal", "position": str(at * 1000),
                                 "team": "home", "visibility": "visible",
                                 "time": f"{at // 60:02d}:{at % 60:02d}"}
            entries.append(entry)
    return entries


def grounding(folder):
    """100 games with some 100 replays each, ten candidates a replay."""
    rng = np.random.default_rng(3)
    truth, prediction = {}, {}
    for game in range(100):
        place, replays = f"league/2015/game {game:03d}", []
        entries = shot_entries(rng, 300, True)
        for entry in (entry for entry in entries if "link" in entry):
            end, at = int(entry["position"]) // 1000, int(entry["link"]["position"]) // 1000
            times = np.clip(at + rng.normal(0, 20, 10), 0, 3400).round(1)
            replays.append({"half": int(entry["link"]["half"]), "start": end - 6, "end": end,
                            "detection": [{"time": float(time), "score": float(score)} for time, score
                                          in zip(times, rng.random(10).round(3))]})
        truth[f"{place}/Labels-cameras.json"] = json.dumps({"annotations": entries})
        prediction[f"{place}/results_grounding.json"] = json.dumps({"Replays": replays})
    actions.write(folder / "gt", truth)
    actions.write(folder / "pr", prediction)
    games = sorted({os.path.dirname(name) for name in truth})
    ReplayGrounding.getListGames = lambda *_, **__: games
    timed("grounding loose", lambda: ReplayGrounding.evaluate(
        str(folder / "gt"), str(folder / "pr"), prediction_file="results_grounding.json",
        metric="loose")["a_AP"])


FRAMES = 5400


def shot_frames(folder, name, make):
    """40 games with halves of 5,400 frames; `make(rng)` has what is handed in for a half."""
    rng = np.random.default_rng(4)
    for game in range(40):
        place = f"league/2015/game {game:03d}"
        entries = json.dumps({"annotations": shot_entries(rng, 300, False)})
        actions.write(folder / "gt", {f"{place}/Labels-cameras.json": entries})
        actions.write(folder / "pr", {f"{place}/{half}_{name}.npy": actions.npy(make(rng))
                                      for half in (1, 2)})


def read_shots(folder, name):
    """What the training scripts have in memory: ends of shots and what is handed in, by half."""
    for path in sorted(folder.glob("gt/*/*/*/Labels-cameras.json")):
        entries = json.loads(path.read_text())["annotations"]
        place = folder / "pr" / path.parent.relative_to(folder / "gt")
        ends, changes = actions.shot_ends(entries, [FRAMES, FRAMES])
        for half in range(2):
            yield ends[half], changes[half], np.load(place / f"{half + 1}_{name}.npy")


def segmentation(folder, tools):
    make = lambda rng: np.repeat(rng.integers(0, 13, FRAMES // 10), 10).astype("<f4")
    shot_frames(folder, "segmentation", make)
    pairs = lambda: [(ends, seen) for ends, _, seen in read_shots(folder, "segmentation")]
    timed("segmentation", lambda: actions.segmentation_values(pairs(), tools)["/mIoU"])


def boundary(folder, tools):
    make = lambda rng: np.where(rng.random(FRAMES) < 0.1, rng.random(FRAMES), -1.0).astype("<f4")
    shot_frames(folder, "boundary", make)
    pairs = lambda: [(changes, seen[:, None].astype(float))
                     for _, changes, seen in read_shots(folder, "boundary")]
    timed("boundary", lambda: actions.boundary_values(pairs(), tools)["/mAP"])


def reidentification(folder):
    """10,000 queries in 1,000 actions, each with 30 boxes of its gallery."""
    rng = np.random.default_rng(5)
    query, gallery, ranking = {}, {}, {}
    for action in range(1000):
        people = [action * 100 + i for i in range(10)]
        ours = list(range(30 * action, 30 * action + 30))
        for i, box in enumerate(ours):
            gallery[str(box)] = {"bbox_idx": box, "action_idx": action, "person_uid": people[i % 10]}
        for person in people:
            key = str(len(query))
            query[key] = {"bbox_idx": int(key), "action_idx": action, "person_uid": person}
            ranking[key] = [int(i) for i in rng.permutation(ours)]
    actions.write(folder, {"gt/test_bbox_info.json": json.dumps({"query": query, "gallery": gallery}),
                           "pr/ranking.json": json.dumps(ranking)})
    timed("re-identification", lambda: ReIdentification.evaluate(
        str(folder / "gt/test_bbox_info.json"), str(folder / "pr/ranking.json"))["mAP"])


def localization(folder, repository):
    """1,000 images."""
    rng = np.random.default_rng(6)
    for i in range(1000):
        view = pitch.camera(rng, False)
        seen = pitch.annotations(rng, view, True)
        actions.write(folder, {f"gt/test/{i:05d}.json": json.dumps(pitch.annotations(rng, view, False)),
                               f"pr/test/extremities_{i:05d}.json": json.dumps(seen)})

    def pairs():
        for path in sorted((folder / "gt/test").iterdir()):
            other = folder / "pr/test" / f"extremities_{path.name}"
            yield json.loads(path.read_text()), json.loads(other.read_text())

    timed("localisation at 5, 10 and 20 pixels",
          lambda: pitch.localization_values(list(pairs()), repository)["/0/accuracy"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--devkit", type=Path)
    parser.add_argument("--calibration", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    calibration(folder / "camera-calibration-2022")
    tracking(folder / "multi-object-tracking-2022")
    spotting(folder / "spotting", "loose")
    grounding(folder / "grounding")
    reidentification(folder / "player-reidentification-2022")
    if arguments.devkit:
        basic, calf = actions.devkit(arguments.devkit)
        segmentation(folder / "segmentation", basic)
        boundary(folder / "boundary", calf)
    if arguments.calibration:
        localization(folder / "pitch-localization-2022", pitch.repository(arguments.calibration))


if __name__ == "__main__":
    main()
