"""Cases of spotting, grounding, camera shots and boundaries."""

import importlib.util
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from SoccerNet.Evaluation import ActionSpotting, ReplayGrounding
from SoccerNet.Evaluation.utils import EVENT_DICTIONARY_V1, EVENT_DICTIONARY_V2

np.float = float
ACTIONS = list(EVENT_DICTIONARY_V2)
METRICS = ["loose", "tight", "at1", "at2", "at3", "at4", "at5"]
CAMERAS = [
    "Main camera center", "Close-up player or field referee", "Main camera left",
    "Main camera right", "Goal line technology camera", "Main behind the goal", "Spider camera",
    "Close-up side staff", "Close-up corner", "Close-up behind the goal", "Inside the goal",
    "Public", "other",
]


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder, files):
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            path.write_bytes(bytes.fromhex(content["hex"]))
        else:
            path.write_text(content)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return {"hex": file.getvalue().hex()}


def clock(half, seconds):
    return f"{half} - {seconds // 60:02d}:{seconds % 60:02d}"


def labels(rng, names, count):
    entries = []
    for _ in range(count):
        half, position = int(rng.integers(1, 3)), int(rng.integers(0, 400_000))
        entry = {
            "gameTime": clock(half, position // 1000),
            "label": str(rng.choice(names)),
            "position": str(position),
            "team": "home",
            "visibility": str(rng.choice(["visible", "visible", "not shown"])),
        }
        if rng.random() < 0.05:
            del entry["position"]
        if rng.random() < 0.02:
            entry["gameTime"] = "3" + entry["gameTime"][1:]
        entries.append(entry)
    return entries


def spots(rng, truth, names, noise):
    entries = []
    for label in truth:
        for _ in range(rng.integers(0, 3)):
            position = int(label.get("position", 5000)) + int(rng.normal(0, 1500))
            entries.append([label["gameTime"][0], position, label["label"]])
    for _ in range(noise):
        half, position = str(rng.integers(1, 3)), int(rng.integers(0, 400_000))
        entries.append([half, position, str(rng.choice(names))])
    out = []
    for half, position, label in entries:
        score = float(np.round(rng.random(), int(rng.integers(1, 5))))
        odd = rng.random()
        if odd < 0.02:
            score = [-0.2, 1.5, "nan", 0.0][rng.integers(4)]
        elif odd < 0.03:
            position = [-500, -2600, 7_300_000, -100][rng.integers(4)]
        elif odd < 0.04:
            half = "3"
        entry = {"gameTime": f"{half} - 0:8", "label": label, "position": str(position),
                 "half": half, "confidence": str(score)}
        if rng.random() < 0.3:
            entry.update(position=position, half=int(half))
        out.append(entry)
    rng.shuffle(out)
    return out


def spotting_case(seed, old=None, version=2):
    rng = np.random.default_rng([1, seed, version, int(old is not None)])
    classes = list(rng.choice(ACTIONS, int(rng.integers(1, 6)), replace=False))
    names = classes if version == 2 else ["soccer-ball", "y-card", "substitution-in subs"]
    truth, prediction = {}, {}
    for game in range(int(rng.integers(1, 4))):
        place = f"league/2015/game {game}"
        game_labels = labels(rng, names + ["I don't know"], int(rng.integers(0, 12)))
        seen = list(EVENT_DICTIONARY_V1) if version == 1 else classes + ["rubbish"]
        if version == 1:
            for entry in game_labels:
                entry["label"] = str(rng.choice(names))
        known = [dict(entry) for entry in game_labels]
        if version == 1:
            for entry in known:
                entry["label"] = str(rng.choice(seen))
        found = spots(rng, known, seen, int(rng.integers(0, 8)))
        file = "Labels-v2.json" if version == 2 else "Labels.json"
        truth[f"{place}/{file}"] = json.dumps({"annotations": game_labels})
        prediction[f"{place}/results_spotting.json"] = json.dumps({"predictions": found})
    metric = METRICS[int(rng.integers(2 if old else 7))] if seed % 4 else "loose"
    options = {"tolerances": metric, "version": version}
    if old:
        options["label_time"] = "game-time"
    case = {"task": "spotting", "options": options, "truth": truth, "prediction": prediction}
    games = sorted({os.path.dirname(name) for name in truth})
    module = old or ActionSpotting
    dictionary = EVENT_DICTIONARY_V2 if version == 2 else EVENT_DICTIONARY_V1

    def evaluate():
        with tempfile.TemporaryDirectory() as folder:
            write(f"{folder}/gt", truth)
            write(f"{folder}/pr", prediction)
            module.getListGames = lambda *_, **__: games
            more = {} if old else {"EVENT_DICTIONARY": dictionary}
            result = module.evaluate(
                SoccerNet_path=f"{folder}/gt", Predictions_path=f"{folder}/pr",
                prediction_file="results_spotting.json",
                label_files="Labels-v2.json" if version == 2 else "Labels.json",
                split="test", version=version, framerate=2, metric=metric, **more)
        expected = {}
        for kind in ["", "_visible", "_unshown"] if version == 2 else [""]:
            expected[f"/a_mAP{kind}"] = float(result[f"a_mAP{kind}"])
            for name, value in zip(dictionary, result[f"a_mAP_per_class{kind}"]):
                name = name.replace("~", "~0").replace("/", "~1")
                expected[f"/a_mAP_per_class{kind}/{name}"] = float(value)
        return expected

    return case, evaluate


def shots(rng, count, linked):
    entries, seconds, half = [], 0, 1
    for i in range(count):
        if i == count // 2:
            half, seconds = 2, 0
        seconds += int(rng.integers(0 if rng.random() < 0.1 else 1, 30))
        entry = {"change_type": str(rng.choice(["abrupt", "smooth", "logo", "other"])),
                 "gameTime": clock(half, seconds), "label": str(rng.choice(CAMERAS + ["Other"])),
                 "position": str(seconds * 1000), "replay": "real-time"}
        if linked and (i > 0 or rng.random() < 0.03) and rng.random() < 0.5:
            at = int(rng.integers(0, 500))
            entry["replay"] = "replay"
            entry["link"] = {
                "half": str(half if rng.random() < 0.8 else 3 - half),
                "label": str(rng.choice(["Goal", "Foul", "Corner", "I don't know"])),
                "position": str(at * 1000), "team": "home", "visibility": "visible",
                "time": f"{at // 60:02d}:{at % 60:02d}"}
        entries.append(entry)
    return entries


def grounding_case(seed):
    rng = np.random.default_rng([2, seed])
    truth, prediction = {}, {}
    for game in range(int(rng.integers(1, 3))):
        place = f"league/2015/game {game}"
        entries = shots(rng, int(rng.integers(2, 12)), True)
        replays = []
        for entry in entries:
            if "link" not in entry or rng.random() < 0.1:
                continue
            end = int(entry["gameTime"][-5:-3]) * 60 + int(entry["gameTime"][-2:])
            minutes, seconds = entry["link"]["time"].split(":")
            at = int(minutes) * 60 + int(seconds)
            detection = []
            for _ in range(rng.integers(0, 6)):
                near = at + rng.normal(0, 3) if rng.random() < 0.6 else rng.random() * 600
                near = float(np.round(near, 1)) if rng.random() < 0.98 else 3600.0
                score = float(np.round(rng.random(), 2))
                detection.append({"time": near, "score": float("nan") if rng.random() < 0.01 else score})
            half = int(entry["link"]["half"])
            half = half if rng.random() < 0.95 else 3 - half
            end = end if rng.random() < 0.95 else end + 1
            replay = {"half": half, "start": max(0, end - 7), "end": end, "detection": detection}
            replays += [replay] * (2 if rng.random() < 0.05 else 1)
        truth[f"{place}/Labels-cameras.json"] = json.dumps({"annotations": entries})
        prediction[f"{place}/results_grounding.json"] = json.dumps({"Replays": replays})
    metric = ["loose", "tight"][seed % 2]
    case = {"task": "grounding", "options": {"tolerances": metric}, "truth": truth,
            "prediction": prediction}
    games = sorted({os.path.dirname(name) for name in truth})

    def evaluate():
        with tempfile.TemporaryDirectory() as folder:
            write(f"{folder}/gt", truth)
            write(f"{folder}/pr", prediction)
            ReplayGrounding.getListGames = lambda *_, **__: games
            result = ReplayGrounding.evaluate(
                f"{folder}/gt", f"{folder}/pr", prediction_file="results_grounding.json",
                split="test", metric=metric)
        return {"/a_AP": float(result["a_AP"])}

    return case, evaluate


def shot_game(rng, task):
    entries = shots(rng, int(rng.integers(1, 14)), False)
    frames = [int(rng.integers(60, 260)) for _ in range(2)]
    ends, changes = shot_ends(entries, frames)
    return entries, frames, ends, changes


def shot_ends(entries, frames):
    """By half: at the last frame of each shot its camera, and how the next one begins."""
    ends = [np.zeros((count, 13)) for count in frames]
    changes = [np.zeros((count, 1)) for count in frames]
    for entry in entries:
        half = int(entry["gameTime"][0]) - 1
        second = int(entry["gameTime"][-5:-3]) * 60 + int(entry["gameTime"][-2:])
        frame = min(2 * second - 1, frames[half] - 1)
        if entry["label"] in CAMERAS:
            ends[half][frame, CAMERAS.index(entry["label"])] = 1
        if entry["change_type"] != "other":
            changes[half][frame] = ["abrupt", "smooth", "logo"].index(entry["change_type"]) + 1
    return ends, changes


def segmentation_values(pairs, tools):
    """The loop of the basic model's training script, written anew."""
    from sklearn.metrics import f1_score

    inter, union = np.zeros(13), np.zeros(13)
    all_truth, all_seen = [], []
    for half_ends, seen in pairs:
        real = tools.oneHotToAlllabels(half_ends.copy()).argmax(1)
        for c in range(13):
            inter[c] += np.sum((real == c) & (seen == c)) + 1
            union[c] += np.sum((real == c) | (seen == c)) + 1
        all_truth.append(real)
        all_seen.append(seen)
    real, seen = np.concatenate(all_truth), np.concatenate(all_seen)
    return {"/mIoU": float(np.mean(inter / union)),
            "/f1_macro": float(f1_score(real, seen, average="macro")),
            "/f1_micro": float(f1_score(real, seen, average="micro"))}


def segmentation_case(seed, tools):
    rng = np.random.default_rng([3, seed])
    truth, prediction, pairs = {}, {}, []
    for game in range(int(rng.integers(1, 3))):
        place = f"league/2015/game {game}"
        entries, frames, ends, _ = shot_game(rng, "segmentation")
        truth[f"{place}/Labels-cameras.json"] = json.dumps({"annotations": entries})
        for half in range(2):
            classes = np.repeat(rng.integers(0, 13, frames[half] // 10 + 1), 10)[: frames[half]]
            real = tools.oneHotToAlllabels(ends[half].copy()).argmax(1)
            classes = np.where(rng.random(frames[half]) < 0.6, real, classes)
            kind = ["<f4", "<f8", "<f2"][rng.integers(3)]
            array = classes.astype(kind)
            if rng.random() < 0.1:
                array = np.eye(13, dtype=kind)[classes]
            prediction[f"{place}/{half + 1}_segmentation.npy"] = npy(array)
            pairs.append((ends[half], classes))
    case = {"task": "segmentation", "options": {}, "truth": truth, "prediction": prediction}

    return case, lambda: segmentation_values(pairs, tools)


def boundary_values(pairs, tools):
    expected = {}
    for kind, name in enumerate(["abrupt", "smooth", "logo"]):
        signed = [np.where(c == 0, 0.0, np.where(c == kind + 1, 1.0, -1.0)) for c, _ in pairs]
        result = tools.average_mAP_visibility(signed, [s for _, s in pairs], 2)
        expected["/mAP"] = float(result[0][0])
        expected[f"/mAP_per_change/{name}"] = float(result[2][0])
    return expected


def boundary_case(seed, tools):
    rng = np.random.default_rng([4, seed])
    truth, prediction, pairs = {}, {}, []
    for game in range(int(rng.integers(1, 3))):
        place = f"league/2015/game {game}"
        entries, frames, _, changes = shot_game(rng, "boundary")
        truth[f"{place}/Labels-cameras.json"] = json.dumps({"annotations": entries})
        for half in range(2):
            scores = np.full(frames[half], -1.0)
            for frame in np.where(changes[half][:, 0] > 0)[0]:
                near = int(np.clip(frame + rng.integers(-2, 3), 0, frames[half] - 1))
                scores[near] = np.round(rng.random(), 2)
            for frame in rng.integers(0, frames[half], int(rng.integers(0, 10))):
                scores[frame] = np.round(rng.random(), 2)
            scores = scores.astype(["<f4", "<f8"][rng.integers(2)])
            prediction[f"{place}/{half + 1}_boundary.npy"] = npy(scores)
            pairs.append((changes[half], scores[:, None].astype(float)))
    case = {"task": "boundary", "options": {}, "truth": truth, "prediction": prediction}

    return case, lambda: boundary_values(pairs, tools)


def devkit(folder):
    """The modules of a clone of SoccerNetv2-DevKit."""
    task = folder / "Task2-CameraShotSegmentation"
    return [load(task / "BasicModel-segmentation/src/preprocessing.py", "basic"),
            load(task / "CALF-detection/src/metrics_visibility_fast.py", "calf")]


def makers(arguments):
    made = {
        "spotting": spotting_case,
        "spotting-v1": lambda seed: spotting_case(seed, version=1),
        "grounding": grounding_case,
    }
    if arguments.old:
        old = load(arguments.old / "SoccerNet/Evaluation/ActionSpotting.py", "old_spotting")
        made["spotting-game-time"] = lambda seed: spotting_case(seed, old)
    if arguments.devkit:
        basic, calf = devkit(arguments.devkit)
        made["segmentation"] = lambda seed: segmentation_case(seed, basic)
        made["boundary"] = lambda seed: boundary_case(seed, calf)
    return made
