"""Cases of re-identification and of tracking."""

import json
import tempfile
from pathlib import Path

import numpy as np
import trackeval
from SoccerNet.Evaluation import ReIdentification

from soccernet_actions import write


def reidentification_case(seed):
    rng = np.random.default_rng([7, seed])
    query, gallery, ranking = {}, {}, {}
    for action in range(int(rng.integers(1, 5))):
        people = [action * 100 + i for i in range(int(rng.integers(1, 5)))]
        boxes = [int(rng.choice(people)) for _ in range(int(rng.integers(0, 6)))] + people
        rng.shuffle(boxes)
        ours = []
        for person in boxes:
            ours.append(len(gallery))
            gallery[str(len(gallery))] = {
                "bbox_idx": len(gallery), "action_idx": action, "person_uid": person}
        for _ in range(int(rng.integers(1, 4))):
            key = str(len(query))
            query[key] = {"bbox_idx": len(query), "action_idx": action,
                          "person_uid": int(rng.choice(people))}
            ranking[key] = [int(i) for i in rng.permutation(ours)]
    odd = rng.random()
    first = next(iter(ranking))
    if odd < 0.03:
        ranking[first] = ranking[first][1:]
    elif odd < 0.06:
        ranking[first][-1] = ranking[first][0]
    elif odd < 0.09:
        ranking[first].append(9999)
    elif odd < 0.12:
        ranking["777"] = [0]
    elif odd < 0.14:
        ranking[first] = [str(i) for i in ranking[first]]
    elif odd < 0.16:
        del ranking[first]
    truth = {"test_bbox_info.json": json.dumps({"query": query, "gallery": gallery})}
    prediction = {"ranking.json": json.dumps(ranking)}
    case = {"task": "player-reidentification-2022", "options": {}, "truth": truth,
            "prediction": prediction}

    def evaluate():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, {**truth, **prediction})
            result = ReIdentification.evaluate(
                f"{folder}/test_bbox_info.json", f"{folder}/ranking.json")
        return {"/mAP": float(result["mAP"]), "/rank-1": float(result["rank-1"])}

    return case, evaluate


def row(frame, track, box, confidence=1):
    return f"{frame},{track}," + ",".join(f"{v:.2f}" for v in box) + f",{confidence},-1,-1,-1"


def sequence(rng, frames, people):
    truth, seen = [], []
    spots = rng.uniform(0, 300, (people, 2))
    steps = rng.normal(0, 4, (people, 2))
    names = list(range(1, people + 1))
    noise = float(rng.choice([0.0, 2.0, 6.0]))
    for frame in range(1, frames + 1):
        spots = spots + steps
        if rng.random() < 0.1 and people > 1:
            a, b = rng.choice(people, 2, replace=False)
            names[a], names[b] = names[b], names[a]
        for i, spot in enumerate(spots):
            box = [spot[0], spot[1], 30, 60]
            if rng.random() < 0.95:
                truth.append(row(frame, i + 1, box, 0 if rng.random() < 0.03 else 1))
            if rng.random() < 0.9:
                seen.append(row(frame, names[i], np.array(box) + rng.normal(0, noise, 4)))
        for extra in range(int(rng.integers(0, 3))):
            if rng.random() < 0.3:
                box = [*rng.uniform(0, 300, 2), 30, 60]
                seen.append(row(frame, 50 + extra + frame // 5, box))
    return truth, seen


FIELDS = {
    "HOTA": ["HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA"],
    "CLEAR": ["MOTA", "MOTP", "MODA", "CLR_Re", "CLR_Pr", "IDSW", "CLR_TP", "CLR_FN", "CLR_FP",
              "MT", "PT", "ML", "Frag"],
    "Identity": ["IDF1", "IDR", "IDP", "IDTP", "IDFN", "IDFP"],
}


def track(folder, names):
    """TrackEval over `FOLDER/gt/SNMOT-test` and `FOLDER/tr/SNMOT-test/test/data`."""
    evaluator = trackeval.Evaluator({"USE_PARALLEL": False, "BREAK_ON_ERROR": True,
                                     "RETURN_ON_ERROR": False, "PRINT_RESULTS": False,
                                     "PRINT_CONFIG": False, "TIME_PROGRESS": False,
                                     "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False,
                                     "PLOT_CURVES": False, "LOG_ON_ERROR": None})
    dataset = trackeval.datasets.MotChallenge2DBox({
        "GT_FOLDER": f"{folder}/gt", "TRACKERS_FOLDER": f"{folder}/tr", "BENCHMARK": "SNMOT",
        "SPLIT_TO_EVAL": "test", "DO_PREPROC": False, "PRINT_CONFIG": False,
        "SEQ_INFO": {name: None for name in names}})
    metrics = [trackeval.metrics.HOTA({"PRINT_CONFIG": False}),
               trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
               trackeval.metrics.Identity({"PRINT_CONFIG": False})]
    return evaluator.evaluate([dataset], metrics)[0]["MotChallenge2DBox"]["test"]


def lay_out(sequences):
    """Files of the official layout and of ours."""
    official, truth, prediction = {}, {}, {}
    for name, (frames, real, seen) in sequences.items():
        info = f"[Sequence]\nname={name}\nseqLength={frames}\n"
        real, seen = ["\n".join(lines) + "\n" if lines else "" for lines in (real, seen)]
        truth[f"test/{name}/gt/gt.txt"] = official[f"gt/SNMOT-test/{name}/gt/gt.txt"] = real
        truth[f"test/{name}/seqinfo.ini"] = official[f"gt/SNMOT-test/{name}/seqinfo.ini"] = info
        prediction[f"{name}.txt"] = official[f"tr/SNMOT-test/test/data/{name}.txt"] = seen
    return official, truth, prediction


def tracking_case(seed):
    rng = np.random.default_rng([8, seed])
    sequences = {}
    for index in range(int(rng.integers(1, 4))):
        frames = int(rng.integers(1, 16))
        real, seen = sequence(rng, frames, int(rng.integers(1, 6)))
        if rng.random() < 0.05:
            seen = []
        if rng.random() < 0.02:
            seen += seen[-1:]
        if rng.random() < 0.02:
            seen.append(row(frames + 1, 1, [0, 0, 10, 10]))
        sequences[f"SNMOT-{index}"] = (frames, real, seen)
    official, truth, prediction = lay_out(sequences)
    case = {"task": "multi-object-tracking-2022", "options": {}, "truth": truth,
            "prediction": prediction}

    def evaluate():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, official)
            Path(folder, "tr/SNMOT-test/test/data").mkdir(parents=True, exist_ok=True)
            results = track(folder, list(sequences))
        expected = {}
        for name, result in results.items():
            if name == "SUMMARIES":
                continue
            path = "" if name == "COMBINED_SEQ" else f"/per_sequence/{name}"
            for metric, fields in FIELDS.items():
                for field in fields:
                    value = result["pedestrian"][metric][field]
                    expected[f"{path}/{field}"] = float(np.mean(value))
        return expected

    return case, evaluate


def makers(_):
    return {"reidentification": reidentification_case, "tracking": tracking_case}
