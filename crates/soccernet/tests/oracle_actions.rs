//! Values that the official packages print for small submissions: spotting, grounding and camera
//! shots.

#[path = "support/files.rs"]
mod files;
#[path = "support/near.rs"]
mod near;

use files::{Files, measure, texts};
use near::{assert_near, at};
use serde_json::{Value, json};
use soccernet::{
    Mode, Task,
    npy::{self, Array},
    tolerance::Tolerances,
};

const GAME: &str = "l/s/g";

fn labels(entries: &[(i64, i64, &str, &str)]) -> Files {
    let entry = |(half, ms, label, visibility): &(i64, i64, &str, &str)| {
        let (minutes, seconds) = (ms / 60_000, ms / 1000 % 60);
        json!({"gameTime": format!("{half} - {minutes:02}:{seconds:02}"), "label": label,
            "position": ms.to_string(), "team": "home", "visibility": visibility})
    };
    let all: Vec<Value> = entries.iter().map(entry).collect();
    let text = json!({"annotations": all}).to_string();
    vec![(format!("{GAME}/Labels-v2.json"), text.into_bytes())]
}

fn spots(entries: &[(i64, i64, &str, f64)]) -> Files {
    let entry = |(half, ms, label, score): &(i64, i64, &str, f64)| {
        json!({"label": label, "position": ms.to_string(), "half": half.to_string(),
            "confidence": score.to_string()})
    };
    let all: Vec<Value> = entries.iter().map(entry).collect();
    let text = json!({"predictions": all}).to_string();
    vec![(format!("{GAME}/results_spotting.json"), text.into_bytes())]
}

const TOLERANCES: [Tolerances; 3] = [Tolerances::Loose, Tolerances::Tight, Tolerances::At(1)];

/// The measures with loose tolerances, with tight ones and at one second.
fn spotting(truth: &Files, prediction: &Files) -> [Value; 3] {
    TOLERANCES.map(|tolerances| {
        measure(Task::Spotting, truth, prediction, |o| o.tolerances = tolerances).unwrap()
    })
}

fn goal(truth: &Files, prediction: &Files) -> [f64; 3] {
    spotting(truth, prediction).map(|result| at(&result, "/a_mAP_per_class/Goal"))
}

fn assert_goal(prediction: &[(i64, i64, &str, f64)], expected: [f64; 3]) {
    let values = goal(&labels(&[(1, 100_000, "Goal", "visible")]), &spots(prediction));
    for (value, expected) in values.iter().zip(expected) {
        assert_near(*value, expected, &format!("{prediction:?}"));
    }
}

#[test]
fn perfect_predictions_of_two_classes() {
    let truth = labels(&[
        (1, 100_000, "Goal", "visible"),
        (1, 200_000, "Foul", "visible"),
        (2, 300_000, "Foul", "not shown"),
    ]);
    let perfect = [(1, 100_000, "Goal", 0.9), (1, 200_000, "Foul", 0.9), (2, 300_000, "Foul", 0.9)];
    let foreign = [(1, 50_000, "Penalty", 0.99), (1, 70_000, "rubbish", 0.99)];
    for more in [&[][..], &foreign] {
        let all = spotting(&truth, &spots(&[&perfect[..], more].concat()));
        for (result, unshown) in all.iter().zip([1.0 / 13.0, 1.0 / 13.0, 1.0 / 17.0]) {
            assert_near(at(result, "/a_mAP"), 2.0 / 17.0, "all");
            assert_near(at(result, "/a_mAP_visible"), 2.0 / 17.0, "visible");
            assert_near(at(result, "/a_mAP_unshown"), unshown, "unshown");
        }
    }
}

#[test]
fn nothing_predicted_or_nothing_to_predict() {
    assert_goal(&[], [0.0; 3]);
    let values = goal(&labels(&[]), &spots(&[(1, 100_000, "Goal", 0.9)]));
    assert_eq!(values, [0.0; 3]);
}

#[test]
fn scores_offsets_and_ties() {
    let goal = |ms, score| (1, ms, "Goal", score);
    assert_goal(&[goal(100_000, 0.5), goal(900_000, 0.9)], [0.5; 3]);
    assert_goal(&[goal(100_500, 0.9)], [1.0, 1.0, 1.0]);
    assert_goal(&[goal(101_000, 0.9)], [1.0, 0.875, 0.0]);
    assert_goal(&[goal(103_000, 0.9)], [0.954545454, 0.0, 0.0]);
    assert_goal(&[goal(130_500, 0.9)], [0.0; 3]);
    assert_goal(&[goal(100_000, 0.0)], [1.0; 3]);
    assert_goal(&[goal(100_000, -0.2)], [0.0; 3]);
    assert_goal(&[goal(100_000, f64::NAN)], [0.0; 3]);
    assert_goal(&[goal(100_000, 0.51), goal(900_000, 0.50)], [1.0; 3]);
    let truth = labels(&[(1, 100_000, "Goal", "visible"), (1, 300_000, "Goal", "visible")]);
    let three = [goal(100_000, 0.5), goal(300_000, 0.5), goal(900_000, 0.5)];
    for value in self::goal(&truth, &spots(&three)) {
        assert_near(value, 0.666667, "two of three");
    }
}

#[test]
fn what_is_not_shown_is_near_what_is_not_shown() {
    let truth = labels(&[(1, 100_000, "Goal", "not shown")]);
    let hit = spots(&[(1, 100_000, "Goal", 0.9)]);
    for (result, unshown) in spotting(&truth, &hit).iter().zip([1.0 / 13.0, 1.0 / 13.0, 1.0 / 17.0])
    {
        assert_near(at(result, "/a_mAP_per_class/Goal"), 1.0, "all");
        assert_near(at(result, "/a_mAP_visible"), 0.0, "visible");
        assert_near(at(result, "/a_mAP_unshown"), unshown, "unshown");
    }
    let truth = labels(&[(1, 100_000, "Goal", "visible")]);
    for (half, visible) in [(2, 1.0), (1, 0.5)] {
        let found = spots(&[(1, 100_000, "Goal", 0.5), (half, 900_000, "Goal", 0.9)]);
        for result in spotting(&truth, &found) {
            assert_near(at(&result, "/a_mAP_per_class/Goal"), 0.5, "all");
            assert_near(at(&result, "/a_mAP_per_class_visible/Goal"), visible, "visible");
        }
    }
}

#[test]
fn one_frame_counts_once_and_half_3_not() {
    let hit = spots(&[(1, 100_000, "Goal", 0.9)]);
    let twice = labels(&[(1, 100_000, "Goal", "visible"), (1, 100_300, "Goal", "visible")]);
    assert_eq!(goal(&twice, &hit), [1.0; 3]);
    // A negative position counts from the end of the half, which has 120 minutes.
    let last = labels(&[(1, 7_199_500, "Goal", "visible")]);
    assert_eq!(goal(&last, &spots(&[(1, -500, "Goal", 0.9)])), [1.0; 3]);
    let third = labels(&[(1, 100_000, "Goal", "visible"), (3, 200_000, "Goal", "visible")]);
    assert_eq!(goal(&third, &hit), [1.0; 3]);
}

#[test]
fn labels_of_2022_are_whole_seconds() {
    let truth = labels(&[(1, 100_999, "Goal", "visible")]);
    let hit = spots(&[(1, 99_500, "Goal", 0.9)]);
    let at1 = |task| {
        let result = measure(task, &truth, &hit, |o| o.tolerances = Tolerances::At(1)).unwrap();
        at(&result, "/a_mAP_per_class/Goal")
    };
    assert_eq!([at1(Task::Spotting), at1(Task::Spotting2022)], [0.0, 1.0], "frame 201 or 200");
}

/// The ends of shots, some of which show an action: half, label and time.
fn cameras(shots: &[(&str, Option<[&str; 3]>)]) -> Files {
    let shot = |(time, link): &(&str, Option<[&str; 3]>)| {
        let mut shot = json!({"gameTime": time, "label": "Public", "change_type": "abrupt"});
        if let Some([half, label, time]) = link {
            shot["replay"] = "replay".into();
            shot["link"] = json!({"half": half, "label": label, "time": time});
        }
        shot
    };
    let all: Vec<Value> = shots.iter().map(shot).collect();
    texts(&[("l/s/g/Labels-cameras.json", &json!({"annotations": all}).to_string())])
}

const ONE: [(&str, Option<[&str; 3]>); 3] =
    [("1 - 01:00", None), ("1 - 01:20", Some(["1", "Goal", "00:50"])), ("1 - 02:00", None)];

fn grounding(replays: Value, mode: Mode) -> soccernet::Result<[f64; 2]> {
    grounding_of(&ONE, replays, mode)
}

fn grounding_of(
    shots: &[(&str, Option<[&str; 3]>)],
    replays: Value,
    mode: Mode,
) -> soccernet::Result<[f64; 2]> {
    let text = json!({"Replays": replays}).to_string();
    let prediction = texts(&[("l/s/g/results_grounding.json", &text)]);
    let value = |tolerances| {
        let change = |o: &mut soccernet::Options| {
            o.tolerances = tolerances;
            o.mode = mode;
        };
        measure(Task::Grounding, &cameras(shots), &prediction, change).map(|r| at(&r, "/a_AP"))
    };
    Ok([value(Tolerances::Loose)?, value(Tolerances::Tight)?])
}

fn replay(start: i64, end: i64, detection: &[(f64, f64)]) -> Value {
    let candidate = |(time, score): &(f64, f64)| json!({"time": time, "score": score});
    let detection: Vec<Value> = detection.iter().map(candidate).collect();
    json!({"half": 1, "start": start, "end": end, "detection": detection})
}

#[test]
fn grounding_of_one_replay() {
    type Case<'a> = (&'a [(f64, f64)], [f64; 2]);
    let cases: [Case<'_>; 5] = [
        (&[(50.0, 0.9)], [1.0, 1.0]),
        (&[], [0.0, 0.0]),
        (&[(51.0, 0.9)], [1.0, 0.875]),
        (&[(53.0, 0.9)], [0.954545454, 0.0]),
        (&[(50.0, 0.5), (500.0, 0.9)], [0.5, 0.5]),
    ];
    for (detection, expected) in cases {
        for mode in [Mode::Official, Mode::Strict] {
            let values = grounding(json!([replay(60, 80, detection)]), mode).unwrap();
            for (value, expected) in values.iter().zip(expected) {
                assert_near(*value, expected, &format!("{detection:?}"));
            }
        }
    }
}

#[test]
fn the_official_grounding_does_not_look_at_the_start_and_fails_without_a_pair() {
    let wrong_start = json!([replay(3, 80, &[(50.0, 0.9)])]);
    assert_eq!(grounding(wrong_start.clone(), Mode::Official), Ok([1.0, 1.0]));
    let error = grounding(wrong_start, Mode::Strict).unwrap_err().to_string();
    assert!(error.contains("Replays[0]: the truth has no shot from this start"), "{error}");
    for none in [json!([]), json!([replay(60, 81, &[(50.0, 0.9)])])] {
        let error = grounding(none, Mode::Official).unwrap_err().to_string();
        assert!(error.contains("the official evaluator fails here"), "{error}");
    }
    assert_eq!(grounding(json!([]), Mode::Strict), Ok([0.0, 0.0]), "a miss");
}

#[test]
fn replays_that_are_left_out_or_listed_twice() {
    let two = [&ONE[..], &[("1 - 02:20", Some(["1", "Foul", "01:50"]))]].concat();
    let hit = replay(60, 80, &[(50.0, 0.9)]);
    let near = |replays: Value, mode, expected: f64| {
        for value in grounding_of(&two, replays, mode).unwrap() {
            assert_near(value, expected, "both tolerances");
        }
    };
    near(json!([hit]), Mode::Official, 1.0);
    near(json!([hit]), Mode::Strict, 0.545454545);
    near(json!([hit, replay(120, 140, &[])]), Mode::Official, 0.545454545);
    let twice = json!([hit, hit, replay(120, 140, &[])]);
    near(twice.clone(), Mode::Official, 0.636363636);
    let error = grounding_of(&two, twice, Mode::Strict).unwrap_err().to_string();
    assert!(error.contains("Replays[1]: an entry above has the same half"), "{error}");
}

#[test]
fn the_half_of_an_entry_is_that_of_the_action() {
    let cross =
        [("2 - 01:00", None), ("2 - 01:20", Some(["1", "Goal", "44:50"])), ("2 - 02:00", None)];
    let mut entry = replay(60, 80, &[(2690.0, 0.9)]);
    for mode in [Mode::Official, Mode::Strict] {
        assert_eq!(grounding_of(&cross, json!([entry]), mode), Ok([1.0, 1.0]));
    }
    entry["half"] = 2.into();
    let error = |mode| grounding_of(&cross, json!([entry]), mode).unwrap_err().to_string();
    assert!(error(Mode::Official).contains("the official evaluator fails here"));
    let strict = error(Mode::Strict);
    assert!(strict.contains("Replays[0]: the replayed action is in the other half"), "{strict}");
    // An unknown label, and a link before any other shot.
    let unknown = [ONE[0], ("1 - 01:20", Some(["1", "I don't know", "00:50"])), ONE[2]];
    let hit = || json!([replay(60, 80, &[(50.0, 0.9)])]);
    for shots in [&unknown[..], &ONE[1..]] {
        let error = grounding_of(shots, hit(), Mode::Official).unwrap_err().to_string();
        assert!(error.contains("the official evaluator fails"), "{error}");
    }
    let late = grounding(json!([replay(60, 80, &[(3500.0, 0.9)])]), Mode::Official).unwrap_err();
    assert_eq!((&late.entry[..], &late.problem[..4]), ("Replays[0].detection[0].time", "3500"));
}

#[test]
fn segmentation_smoothed_and_not() {
    let shot = |time: &str, label: &str| json!({"gameTime": time, "label": label});
    // Shots end a frame before their second: 10 frames of class 0 end at frame 9.
    let all = [
        shot("1 - 00:05", "Main camera center"),
        shot("1 - 00:15", "Close-up player or field referee"),
        shot("2 - 00:03", "Main camera center"),
        shot("2 - 00:15", "Main camera left"),
    ];
    let truth = texts(&[("l/s/g/Labels-cameras.json", &json!({"annotations": all}).to_string())]);
    let frames = |counts: &[(f64, usize)]| {
        let data: Vec<f64> = counts.iter().flat_map(|(class, n)| vec![*class; *n]).collect();
        npy::write(&Array { shape: vec![data.len()], data }, false)
    };
    let prediction = vec![
        ("l/s/g/1_segmentation.npy".to_string(), frames(&[(0.0, 8), (1.0, 12)])),
        ("l/s/g/2_segmentation.npy".to_string(), frames(&[(0.0, 20)])),
    ];
    let result = measure(Task::Segmentation, &truth, &prediction, |_| ()).unwrap();
    // Ours has 6 frames of class 0 in the second half, where the printed example has 5.
    let iou = [(8.0 + 6.0 + 2.0) / (10.0 + 20.0 + 2.0), 12.0 / 14.0, 2.0 / 16.0];
    let smoothed = (iou.iter().sum::<f64>() + 10.0) / 13.0;
    assert_near(at(&result, "/mIoU"), smoothed, "smoothed");
    let plain = (14.0 / 30.0 + 10.0 / 12.0 + 0.0) / 3.0;
    assert_near(at(&result, "/mIoU_unsmoothed"), plain, "unsmoothed");
    assert_near(at(&result, "/f1_micro"), 24.0 / 40.0, "micro");
    let strict = measure(Task::Segmentation, &truth, &prediction, |o| o.mode = Mode::Strict);
    assert_near(at(&strict.unwrap(), "/mIoU"), plain, "strict");
}

#[test]
fn boundaries_hit_within_one_frame() {
    let shot = |time: &str, change: &str| json!({"gameTime": time, "label": "Public", "change_type": change});
    let all = [shot("1 - 00:10", "abrupt"), shot("2 - 00:10", "logo")];
    let truth = texts(&[("l/s/g/Labels-cameras.json", &json!({"annotations": all}).to_string())]);
    let value = |offset: Option<i64>| {
        let mut data = vec![-1.0; 60];
        if let Some(offset) = offset {
            data[(19 + offset) as usize] = 0.9;
        }
        let half = npy::write(&Array { shape: vec![60, 1], data }, true);
        let prediction = vec![
            ("l/s/g/1_boundary.npy".to_string(), half.clone()),
            ("l/s/g/2_boundary.npy".to_string(), half),
        ];
        at(&measure(Task::Boundary, &truth, &prediction, |_| ()).unwrap(), "/mAP")
    };
    assert_eq!([Some(0), Some(1), Some(-1)].map(value), [1.0; 3]);
    assert_eq!([Some(2), Some(-2), None].map(value), [0.0; 3]);
}
