"""Cases of pitch localisation and camera calibration."""

import importlib.util
import json
import sys
import tempfile
import zipfile

import numpy as np
from SoccerNet.Evaluation import CameraCalibration
from SoccerNet.Evaluation import utils_calibration as tools

WIDTH, HEIGHT = 960, 540


def camera(rng, distorted):
    side = 1 if rng.random() < 0.9 else -1
    small = lambda size, n: [float(v) for v in rng.normal(0, size, n)] if distorted else [0.0] * n
    return {
        "pan_degrees": float(rng.uniform(-35, 35)) + (0 if side == 1 else 180),
        "tilt_degrees": float(rng.uniform(65, 85)),
        "roll_degrees": float(rng.normal(0, 1)),
        "position_meters": [float(rng.uniform(-5, 5)), side * float(rng.uniform(50, 90)),
                            float(rng.uniform(-25, -10))],
        "x_focal_length": float(rng.uniform(800, 3000)),
        "y_focal_length": float(rng.uniform(800, 3000)),
        "principal_point": [480.0, 270.0],
        "radial_distortion": small(0.05, 6),
        "tangential_distortion": small(0.005, 2),
        "thin_prism_distortion": small(0.005, 4),
    }


def moved(rng, parameters, size):
    out = json.loads(json.dumps(parameters))
    out["pan_degrees"] += float(rng.normal(0, size))
    out["tilt_degrees"] += float(rng.normal(0, size))
    out["x_focal_length"] *= float(np.exp(rng.normal(0, size / 5)))
    if rng.random() < 0.1:
        out["pan_degrees"] += 180
        out["position_meters"] = [-out["position_meters"][0], -out["position_meters"][1],
                                  out["position_meters"][2]]
    return out


def annotations(rng, parameters, few):
    lines = {}
    for name, points in tools.get_polylines(parameters, WIDTH, HEIGHT, 0.9).items():
        if rng.random() < 0.1:
            continue
        step = max(1, len(points) // 9)
        points = points[::step] if "Circle" in name and not few else [points[0], points[-1]]
        noise = rng.normal(0, 1.5, (len(points), 2))
        lines[name] = [{"x": round((p["x"] + n[0]) / (WIDTH - 1), 5),
                        "y": round((p["y"] + n[1]) / (HEIGHT - 1), 5)}
                       for p, n in zip(points, noise)]
    if rng.random() < 0.1:
        lines["Line unknown"] = [{"x": 0.1, "y": 0.1}, {"x": 0.3, "y": 0.4}]
    if rng.random() < 0.1:
        lines["Middle line"] = []
    return lines


def mirrored(lines):
    return tools.mirror_labels(lines)


def images(rng):
    return [f"{i:05d}" for i in range(int(rng.integers(1, 4)))]


def localization_case(seed, repository):
    rng = np.random.default_rng([5, seed])
    truth, prediction, pairs = {}, {}, []
    for name in images(rng):
        view = camera(rng, False)
        real = annotations(rng, view, False)
        seen = annotations(rng, view, True)
        if rng.random() < 0.2:
            seen = mirrored(seen)
        for points in seen.values():
            if rng.random() < 0.5:
                points.reverse()
            for point in points:
                point["x"] += float(rng.normal(0, 0.006))
                point["y"] += float(rng.normal(0, 0.006))
        if seen and rng.random() < 0.2:
            seen["Circle left"] = [{"x": 0.5, "y": 0.5}] * int(rng.integers(1, 4))
        truth[f"test/{name}.json"] = json.dumps(real)
        has = rng.random() < 0.9
        if has:
            prediction[f"test/extremities_{name}.json"] = json.dumps(seen)
        pairs.append((real, seen if has else None))
    case = {"task": "pitch-localization-2022", "options": {}, "truth": truth,
            "prediction": prediction}

    return case, lambda: localization_values(pairs, repository)


def localization_values(pairs, repository):
    """The loop of the official script, written anew, at each distance."""
    expected = {}
    for index, threshold in enumerate([5, 10, 20]):
        values = []
        for real, seen in pairs:
            if seen is None:
                values.append((0.0, 0.0, 0.0))
                continue
            real = repository.scale_points(real, WIDTH, HEIGHT)
            seen = repository.scale_points(seen, WIDTH, HEIGHT)
            sides = [real, repository.mirror_labels(real)]
            counts = [repository.evaluate_detection_prediction(seen, side, threshold)[0]
                      for side in sides]
            accuracies = [c[0, 0] / c.sum() if c.sum() > 0 else 0.0 for c in counts]
            best = counts[0] if accuracies[0] > accuracies[1] else counts[1]
            values.append((max(accuracies),
                           best[0, 0] / best[0].sum() if best[0].sum() > 0 else None,
                           best[0, 0] / best[:, 0].sum() if best[:, 0].sum() > 0 else None))
        for column, key in enumerate(["accuracy", "precision", "recall"]):
            kept = [float(v[column]) for v in values if v[column] is not None]
            if kept:
                expected[f"/{index}/{key}"] = float(np.mean(kept))
    return expected


def calibration_case(seed):
    rng = np.random.default_rng([6, seed])
    truth, prediction = {}, {}
    for name in images(rng):
        view = camera(rng, seed % 2 == 1)
        truth[f"test/{name}.json"] = json.dumps(annotations(rng, view, False))
        if rng.random() < 0.9:
            size = float(rng.choice([0.0, 0.1, 0.5]))
            prediction[f"camera_{name}.json"] = json.dumps(moved(rng, view, size))
    threshold = [5, 10, 20][seed % 3]
    case = {"task": "camera-calibration-2022", "options": {"thresholds": [threshold]},
            "truth": truth, "prediction": prediction}

    def evaluate():
        with tempfile.TemporaryDirectory() as folder:
            for path, files in [("gt.zip", truth), ("pr.zip", prediction)]:
                with zipfile.ZipFile(f"{folder}/{path}", "w") as archive:
                    for name, content in files.items():
                        archive.writestr(name, content)
            result = CameraCalibration.evaluate(f"{folder}/gt.zip", f"{folder}/pr.zip", threshold)
        nothing = not prediction
        expected = {"/0/completeness": float(result["completeness"])}
        for key in ["meanAccuracies", "meanPrecision", "meanRecall"]:
            value = float(result[key])
            expected[f"/0/{key}"] = 0.0 if nothing or np.isnan(value) else value
        for key, value in result.items():
            for kind in ["Precision", "Recall", "Accuracy"]:
                if key.endswith(kind) and not key.startswith("mean"):
                    name = key[: -len(kind)]
                    value = None if np.isnan(value) else float(value)
                    expected[f"/0/per_class/{name}/{kind.lower()}"] = value
        return expected

    return case, evaluate


def makers(arguments):
    made = {"calibration": calibration_case}
    if arguments.calibration:
        found = repository(arguments.calibration)
        made["localization"] = lambda seed: localization_case(seed, found)
    return made


def repository(folder):
    """The module of a clone of sn-calibration."""
    sys.path.insert(0, str(folder))
    path = folder / "src/evaluate_extremities.py"
    spec = importlib.util.spec_from_file_location("evaluate_extremities", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
