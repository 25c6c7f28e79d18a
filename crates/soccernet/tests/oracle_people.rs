//! Values that the official packages print for small submissions: re-identification, tracking,
//! localisation and calibration.

#[path = "support/files.rs"]
mod files;
#[path = "support/near.rs"]
mod near;

use files::{Files, measure, texts};
use near::{assert_near, at};
use serde_json::{Value, json};
use soccernet::{
    Task,
    format::{cameras, mot},
    pitch::{camera::Camera, model::Model, view::polylines},
};

const BODIES: &str = r#"{"query": {
    "0": {"bbox_idx": 0, "action_idx": 0, "person_uid": "A"},
    "1": {"bbox_idx": 1, "action_idx": 1, "person_uid": "C"}},
  "gallery": {
    "0": {"bbox_idx": 0, "action_idx": 0, "person_uid": "B"},
    "1": {"bbox_idx": 1, "action_idx": 0, "person_uid": "A"},
    "2": {"bbox_idx": 2, "action_idx": 0, "person_uid": "A"},
    "3": {"bbox_idx": 3, "action_idx": 1, "person_uid": "C"},
    "4": {"bbox_idx": 4, "action_idx": 1, "person_uid": "D"}}}"#;

fn reidentification(ranking: &str) -> soccernet::Result<[f64; 2]> {
    let truth = texts(&[("test_bbox_info.json", BODIES)]);
    let result =
        measure(Task::Reidentification2022, &truth, &texts(&[("r.json", ranking)]), |_| ())?;
    Ok([at(&result, "/mAP"), at(&result, "/rank-1")])
}

#[test]
fn rankings() {
    assert_eq!(reidentification(r#"{"0":[1,2,0],"1":[3,4]}"#), Ok([1.0, 1.0]));
    let [average, first] = reidentification(r#"{"0":[1,0,2],"1":[4,3]}"#).unwrap();
    assert_near(average, 0.666667, "mAP");
    assert_eq!(first, 0.5);
    assert_eq!(reidentification(r#"{"0":[1,2,0],"1":[3,4],"7":[]}"#), Ok([1.0, 1.0]));
}

#[test]
fn rankings_that_the_official_package_refuses() {
    let cases = [
        (r#"{"0":[1,2,0]}"#, "r.json: 1: it is missing; each query needs a ranking"),
        (r#"{"0":[1,2],"1":[3,4]}"#, "r.json: 0: gallery box 0 of its action is missing"),
        (r#"{"0":[1,2,0,1],"1":[3,4]}"#, "r.json: 0: gallery box 1 is listed twice"),
        (
            r#"{"0":[1,2,0,3],"1":[3,4]}"#,
            "r.json: 0: gallery box 3 belongs to action 1; expected 0",
        ),
        (r#"{"0":[1,2,0,9],"1":[3,4]}"#, "r.json: 0: the gallery has no box 9"),
        (r#"{"0":["1"],"1":[3,4]}"#, "r.json: 0: \"1\" at rank 0; expected a whole number"),
    ];
    for (ranking, expected) in cases {
        assert_eq!(reidentification(ranking).unwrap_err().to_string(), expected);
    }
    let absent = BODIES.replace(
        "\"action_idx\": 1, \"person_uid\": \"C\"}},\n",
        "\"action_idx\": 1, \"person_uid\": \"E\"}},\n",
    );
    let ranking = texts(&[("r.json", r#"{"0":[1,2,0],"1":[3,4]}"#)]);
    let truth = texts(&[("test_bbox_info.json", &absent)]);
    let error = measure(Task::Reidentification2022, &truth, &ranking, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "r.json: 1: person E is not in the gallery");
}

fn rows(tracks: &[(f64, std::ops::RangeInclusive<usize>, i64)]) -> Vec<mot::TrackedBox> {
    let row = |(x, frames, id): &(f64, std::ops::RangeInclusive<usize>, i64)| {
        let rect = [*x, 100.0, 20.0, 40.0];
        let row = |frame| mot::TrackedBox { frame, id: *id, rect, confidence: 1.0, class: -1 };
        frames.clone().map(row).collect::<Vec<_>>()
    };
    tracks.iter().flat_map(row).collect()
}

fn two() -> Vec<mot::TrackedBox> {
    rows(&[(100.0, 1..=10, 1), (300.0, 1..=10, 2)])
}

fn tracking(sequences: &[(Vec<mot::TrackedBox>, Vec<mot::TrackedBox>)]) -> Value {
    let (mut truth, mut prediction): (Files, Files) = Default::default();
    for (i, (real, seen)) in sequences.iter().enumerate() {
        let info = b"[Sequence]\nname=S\nseqLength=10\n".to_vec();
        truth.push((format!("test/S-{i}/seqinfo.ini"), info));
        truth.push((format!("test/S-{i}/gt/gt.txt"), mot::write(real)));
        prediction.push((format!("S-{i}.txt"), mot::write(seen)));
    }
    measure(Task::Tracking2022, &truth, &prediction, |_| ()).unwrap()
}

#[test]
fn tracks() {
    let swapped =
        rows(&[(100.0, 1..=5, 1), (300.0, 1..=5, 2), (100.0, 6..=10, 2), (300.0, 6..=10, 1)]);
    let one = rows(&[(100.0, 1..=10, 1)]);
    let extra = [two(), rows(&[(900.0, 1..=10, 3)])].concat();
    let shifted = rows(&[(105.0, 1..=10, 1), (305.0, 1..=10, 2)]);
    let cases = [
        ("perfect", vec![(two(), two())], [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
        ("nothing", vec![(two(), vec![])], [0.0; 6]),
        ("swapped", vec![(two(), swapped)], [0.577350, 1.0, 0.333333, 0.9, 2.0, 0.5]),
        ("shifted", vec![(two(), shifted)], [0.631579, 0.631579, 0.631579, 1.0, 0.0, 1.0]),
        ("one missing", vec![(two(), one.clone())], [0.5f64.sqrt(), 0.5, 1.0, 0.5, 0.0, 0.666667]),
        ("one extra", vec![(two(), extra)], [0.816497, 0.666667, 1.0, 0.5, 0.0, 0.8]),
        (
            "two sequences",
            vec![(two(), two()), (two(), one)],
            [0.866025, 0.75, 1.0, 0.75, 0.0, 0.857143],
        ),
    ];
    for (what, sequences, expected) in cases {
        let result = tracking(&sequences);
        let fields = ["HOTA", "DetA", "AssA", "MOTA", "IDSW", "IDF1"];
        for (field, expected) in fields.iter().zip(expected) {
            assert_near(at(&result, &format!("/{field}")), expected, &format!("{what} {field}"));
        }
    }
    let nothing = tracking(&[(two(), vec![])]);
    assert_eq!((at(&nothing, "/LocA"), at(&nothing, "/ML")), (1.0, 2.0));
}

fn camera() -> Camera {
    Camera {
        angles: [5.0, 75.0, 0.5],
        position: [0.0, 60.0, -15.0],
        focal: [1200.0, 1200.0],
        principal: [480.0, 270.0],
        radial: [0.0; 6],
        tangential: [0.0; 2],
        prism: [0.0; 4],
    }
}

/// The camera's own view as annotations: ends of lines, nine points of the circle.
fn annotations() -> Value {
    let mut lines = serde_json::Map::new();
    for (class, points) in polylines(&camera(), &Model::default()) {
        let chosen: Vec<_> = match class {
            "Circle central" => points.iter().step_by(31).take(9).collect(),
            _ => vec![&points[0], &points[points.len() - 1]],
        };
        let point = |[x, y]: &[f64; 2]| json!({"x": x / 959.0, "y": y / 539.0});
        lines.insert(class.into(), chosen.into_iter().map(point).collect());
    }
    lines.into()
}

fn calibration(truths: &[Value], seen: &[Option<Camera>]) -> Value {
    let file =
        |(i, truth): (usize, &Value)| (format!("test/{i:05}.json"), truth.to_string().into());
    let truth: Files = truths.iter().enumerate().map(file).collect();
    let camera = |(i, camera): (usize, &Option<Camera>)| {
        camera.as_ref().map(|camera| (format!("camera_{i:05}.json"), cameras::write(camera)))
    };
    let prediction: Files = seen.iter().enumerate().filter_map(camera).collect();
    measure(Task::Calibration2022, &truth, &prediction, |o| o.thresholds = vec![5.0]).unwrap()
}

#[test]
fn cameras_against_their_own_view() {
    let scores = |result: Value| {
        ["completeness", "meanAccuracies", "final"].map(|key| at(&result, &format!("/0/{key}")))
    };
    let truth = annotations();
    assert_eq!(
        scores(calibration(std::slice::from_ref(&truth), &[Some(camera())])),
        [1.0, 1.0, 1.0]
    );
    let half = calibration(&[truth.clone(), truth.clone()], &[Some(camera()), None]);
    assert_eq!(scores(half), [0.5, 1.0, 0.5]);
    let mut without = truth.clone();
    without.as_object_mut().unwrap().shift_remove("Circle central");
    assert_eq!(scores(calibration(&[without], &[Some(camera())])), [1.0, 0.8, 0.8]);
    let mirrored = Camera { angles: [185.0, 75.0, 0.5], position: [0.0, -60.0, -15.0], ..camera() };
    assert_eq!(
        scores(calibration(std::slice::from_ref(&truth), &[Some(mirrored)])),
        [1.0, 1.0, 1.0]
    );
    assert_eq!(scores(calibration(std::slice::from_ref(&truth), &[None])), [0.0; 3]);
    let full = Camera { focal: [2400.0; 2], principal: [960.0, 540.0], ..camera() };
    assert_eq!(scores(calibration(&[truth], &[Some(full)])), [1.0, 0.0, 0.0]);
}

#[test]
fn ends_of_lines() {
    let values = |change: fn(&mut Value)| {
        let truth = texts(&[("test/00000.json", &annotations().to_string())]);
        let mut seen = annotations();
        change(&mut seen);
        let prediction = texts(&[("test/extremities_00000.json", &seen.to_string())]);
        let result = measure(Task::Localization2022, &truth, &prediction, |_| ()).unwrap();
        [0, 1].map(|i| at(&result, &format!("/{i}/accuracy")))
    };
    assert_eq!(values(|_| ()), [1.0, 1.0]);
    assert_eq!(values(|seen| for_each(seen, |points| points.reverse())), [1.0, 1.0]);
    let moved = values(|seen| {
        for_each(seen, |points| {
            points
                .iter_mut()
                .for_each(|p| p["x"] = (p["x"].as_f64().unwrap() + 6.0 / 959.0).into());
        });
    });
    assert_eq!(moved, [0.0, 1.0]);
    let one_missing =
        values(|seen| drop(seen.as_object_mut().unwrap().shift_remove("Middle line")));
    assert_eq!(one_missing, [0.75, 0.75]);
    assert_eq!(values(|seen| *seen = json!({})), [0.0, 0.0]);
}

fn for_each(lines: &mut Value, f: fn(&mut Vec<Value>)) {
    let lines = lines.as_object_mut().unwrap().values_mut();
    lines.for_each(|points| f(points.as_array_mut().unwrap()));
}
