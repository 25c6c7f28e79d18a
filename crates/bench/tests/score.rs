//! `bench score`: each task once, and each file that a user could submit in an invalid form.

mod common;

use std::path::Path;

use common::{Place, ended};
use serde_json::Value;
use soccernet::{
    Task,
    npy::{self, Array},
    write_files,
};

const LABELS: &str = r#"{"annotations": [
    {"gameTime": "1 - 01:40", "label": "Goal", "position": "100000", "team": "home", "visibility": "visible"},
    {"gameTime": "2 - 00:10", "label": "Foul", "position": "10000", "team": "away", "visibility": "not shown"}]}"#;
const SPOTS: &str = r#"{"UrlLocal": "l/s/a", "predictions": [
    {"gameTime": "1 - 1:40", "label": "Goal", "position": "100000", "half": "1", "confidence": "0.9"},
    {"gameTime": "2 - 0:10", "label": "Foul", "position": 10000, "half": 2, "confidence": 0.8}]}"#;
const SHOTS: &str = r#"{"annotations": [
    {"change_type": "abrupt", "gameTime": "1 - 00:10", "label": "Main camera center", "position": "10000", "replay": "real-time"},
    {"change_type": "logo", "gameTime": "1 - 00:20", "label": "Public", "position": "20000", "replay": "replay",
     "link": {"half": "1", "label": "Goal", "position": "5000", "team": "home", "time": "00:05", "visibility": "visible"}},
    {"change_type": "smooth", "gameTime": "2 - 00:15", "label": "Public", "position": "15000", "replay": "real-time"}]}"#;
const REPLAYS: &str = r#"{"UrlLocal": "l/s/a", "half1_time": 30, "half2_time": 30, "Replays":
    [{"half": 1, "start": 10, "end": 20, "detection": [{"time": 5.0, "score": 0.5}]}]}"#;
const LINES: &str = r#"{"Middle line": [{"x": 0.5, "y": 0.1}, {"x": 0.5, "y": 0.9}]}"#;
const CAMERA: &str = r#"{"pan_degrees": 5, "tilt_degrees": 75, "roll_degrees": 0.5,
    "position_meters": [0, 60, -15], "x_focal_length": 1200, "y_focal_length": 1200,
    "principal_point": [480, 270], "radial_distortion": [0, 0, 0, 0, 0, 0],
    "tangential_distortion": [0, 0], "thin_prism_distortion": [0, 0, 0, 0]}"#;
const BODIES: &str = r#"{"query": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7}},
    "gallery": {"0": {"bbox_idx": 0, "action_idx": 4, "person_uid": 7},
                "1": {"bbox_idx": 1, "action_idx": 4, "person_uid": 8},
                "2": {"bbox_idx": 2, "action_idx": 5, "person_uid": 9}}}"#;
const RANKING: &str = r#"{"0": [0, 1]}"#;
const SEQUENCE: &str = "[Sequence]\nname=S-1\nseqLength=2\n";
const TRACKS: &str = "1,1,0,0,5,5,1,-1,-1,-1\n2,1,1,0,5,5,1,-1,-1,-1\n";

/// Names and contents.
type Files = Vec<(&'static str, Vec<u8>)>;

fn texts(files: &[(&'static str, &str)]) -> Files {
    files.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect()
}

fn frames(values: &[f64]) -> Vec<u8> {
    npy::write(&Array { shape: vec![values.len()], data: values.to_vec() }, false)
}

/// The truth and a perfect submission.
fn perfect(task: Task) -> [Files; 2] {
    match task {
        Task::Spotting | Task::Spotting2022 => [
            texts(&[("l/s/a/Labels-v2.json", LABELS)]),
            texts(&[("l/s/a/results_spotting.json", SPOTS)]),
        ],
        Task::Segmentation | Task::Boundary => {
            let (mut classes, mut cuts) = (vec![0.0; 20], vec![-1.0; 40]);
            classes.extend(vec![11.0; 20]);
            [19, 39].into_iter().for_each(|frame| cuts[frame] = 0.9);
            let mut second = vec![-1.0; 40];
            second[29] = 0.8;
            let prediction = match task {
                Task::Segmentation => vec![
                    ("l/s/a/1_segmentation.npy", frames(&classes)),
                    ("l/s/a/2_segmentation.npy", frames(&[11.0; 30])),
                ],
                _ => vec![
                    ("l/s/a/1_boundary.npy", frames(&cuts)),
                    ("l/s/a/2_boundary.npy", frames(&second)),
                ],
            };
            [texts(&[("l/s/a/Labels-cameras.json", SHOTS)]), prediction]
        }
        Task::Grounding | Task::Grounding2022 => [
            texts(&[("l/s/a/Labels-cameras.json", SHOTS)]),
            texts(&[("l/s/a/results_grounding.json", REPLAYS)]),
        ],
        Task::Localization2022 => {
            [texts(&[("test/00000.json", LINES)]), texts(&[("test/extremities_00000.json", LINES)])]
        }
        Task::Calibration2022 => {
            [texts(&[("test/00000.json", LINES)]), texts(&[("test/camera_00000.json", CAMERA)])]
        }
        Task::Reidentification2022 => {
            [texts(&[("test_bbox_info.json", BODIES)]), texts(&[("ranking.json", RANKING)])]
        }
        Task::Tracking2022 => [
            texts(&[("test/S-1/seqinfo.ini", SEQUENCE), ("test/S-1/gt/gt.txt", TRACKS)]),
            texts(&[("S-1.txt", TRACKS)]),
        ],
    }
}

/// The task, the two folders or archives, and more arguments.
fn score(files: &[Files; 2], archive: bool, args: &[&str], code: i32) -> (String, String) {
    let place = Place::new();
    let paths =
        ["truth", "mine"].map(|name| if archive { format!("{name}.zip") } else { name.into() });
    for (path, files) in paths.iter().zip(files) {
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect();
        write_files(&place.path(path), &files).expect("the files are written");
    }
    let [truth, mine] = &paths;
    let call = [&["score"], args, &["--truth", truth, "--prediction", mine]].concat();
    ended(&place.run(&call), code)
}

/// The result as JSON.
fn json(files: &[Files; 2], archive: bool, args: &[&str]) -> Value {
    let (out, _) = score(files, archive, &[args, &["--format", "json"]].concat(), 0);
    serde_json::from_str(&out).expect("the result is JSON")
}

#[test]
fn a_perfect_submission_to_each_task_from_folders_and_archives() {
    let seventeenth = 2.0 / 17.0;
    for (task, path, expected) in [
        (Task::Spotting, "/a_mAP", seventeenth),
        (Task::Spotting2022, "/a_mAP", seventeenth),
        (Task::Segmentation, "/mIoU", 1.0),
        (Task::Boundary, "/mAP", 1.0),
        (Task::Grounding, "/a_AP", 1.0),
        (Task::Grounding2022, "/a_AP", 1.0),
        (Task::Localization2022, "/0/accuracy", 1.0),
        (Task::Calibration2022, "/0/completeness", 1.0),
        (Task::Reidentification2022, "/mAP", 1.0),
        (Task::Tracking2022, "/HOTA", 1.0),
    ] {
        let files = perfect(task);
        for archive in [false, true] {
            let score = json(&files, archive, &[task.name()]);
            assert_eq!((&score["task"], &score["mode"]), (&task.name().into(), &"official".into()));
            let value = score["result"].pointer(path).and_then(Value::as_f64);
            let near = value.is_some_and(|value| (value - expected).abs() < 1e-9);
            assert!(near, "{}: {value:?}, expected {expected}: {score}", task.name());
        }
    }
}

#[test]
fn options_change_what_is_measured_and_the_text_has_a_line_a_number() {
    let files = perfect(Task::Spotting);
    let (text, _) = score(&files, false, &["spotting"], 0);
    assert!(text.starts_with("spotting (official)\nmetric "), "{text}");
    assert!(text.contains("a_mAP_per_class.Goal") && text.contains(" 1.000000\n"), "{text}");
    let metric = |args: &[&str]| json(&files, false, args)["result"]["metric"].clone();
    assert_eq!(metric(&["spotting"]), "loose");
    assert_eq!(metric(&["spotting", "--tolerances", "at1"]), "at1");
    assert_eq!(metric(&["action-spotting-2022"]), "tight");
    // A label of 01:40 whose position is 101.9 s: three frames off if positions are used.
    let late = LABELS.replace("\"100000\"", "\"101900\"");
    let files = [texts(&[("l/s/a/Labels-v2.json", &late)]), files[1].clone()];
    let at1 = |time: &str| {
        let args = ["spotting", "--tolerances", "at1", "--label-time", time];
        json(&files, false, &args)["result"]["a_mAP_per_class"]["Goal"].as_f64()
    };
    assert_eq!([at1("game-time"), at1("position")], [Some(1.0), Some(0.0)]);
    let files = perfect(Task::Localization2022);
    let at = json(&files, false, &["pitch-localization-2022", "--threshold", "7,30"]);
    let at = [&at["result"][0]["threshold"], &at["result"][1]["threshold"]];
    assert_eq!(at, [&Value::from(7.0), &Value::from(30.0)]);
}

/// A submission with one text replaced by another, in its first file or in the last file of the ground truth.
fn changed(task: Task, in_truth: bool, from: &str, to: &str) -> [Files; 2] {
    let mut files = perfect(task);
    let file = if in_truth { files[0].last_mut() } else { files[1].first_mut() };
    let bytes = &mut file.expect("there is a file").1;
    let text = String::from_utf8(bytes.clone()).expect("it is text");
    assert!(text.contains(from), "{from} in {text}");
    *bytes = text.replacen(from, to, 1).into_bytes();
    files
}

/// The message of a call that ends with exit code 2 and prints nothing else.
fn refused(files: &[Files; 2], args: &[&str]) -> String {
    let (out, err) = score(files, false, args, 2);
    assert_eq!(out, "", "nothing is printed");
    assert!(!err.contains("panicked"), "{err}");
    err
}

#[test]
fn what_is_wrong_in_both_modes_names_file_and_entry() {
    let line = "1,1,0,0,5,5,1,-1,-1,-1\n";
    for (task, from, to, expected) in [
        (
            Task::Spotting,
            "\"100000\"",
            "\"100999.5\"",
            "l/s/a/results_spotting.json: predictions[0].position: \"100999.5\"",
        ),
        (
            Task::Tracking2022,
            "2,1,1",
            "1,1,1",
            "S-1.txt: line 2: identity 1 is in frame 1 already, in line 1",
        ),
        (Task::Tracking2022, line, "3,1,0,0,5,5,1\n", "S-1.txt: line 1: frame 3; expected 1 to 2"),
        (
            Task::Reidentification2022,
            "[0, 1]",
            "[0, 2]",
            "ranking.json: 0: gallery box 2 belongs to action 5; expected 4",
        ),
        (
            Task::Reidentification2022,
            "[0, 1]",
            "[0, 1, 77]",
            "ranking.json: 0: the gallery has no box 77",
        ),
        (
            Task::Reidentification2022,
            "[0, 1]",
            "[0]",
            "ranking.json: 0: gallery box 1 of its action is missing",
        ),
        (
            Task::Reidentification2022,
            "[0, 1]",
            "[0, 0]",
            "ranking.json: 0: gallery box 0 is listed twice",
        ),
        (
            Task::Calibration2022,
            "\"x_focal_length\": 1200,",
            "",
            "test/camera_00000.json: x_focal_length: it is missing; expected a number",
        ),
    ] {
        for mode in ["official", "strict"] {
            let err = refused(&changed(task, false, from, to), &[task.name(), "--mode", mode]);
            assert!(err.contains(expected), "{}: {err}", task.name());
        }
    }
    let mut files = perfect(Task::Spotting);
    files[1].clear();
    files[1].push(("l/s/b/results_spotting.json", SPOTS.into()));
    let err = refused(&files, &["spotting"]);
    assert!(err.contains("l/s/a/results_spotting.json: the file is missing"), "{err}");
}

#[test]
fn arrays_that_are_cut_off_or_of_another_type_are_refused() {
    let whole = frames(&[-1.0; 40]);
    let mut integers = whole.clone();
    let at =
        integers.windows(3).position(|part| part == b"<f4").expect("the type is in the header");
    integers[at..at + 3].copy_from_slice(b"<c8");
    for (bytes, expected) in [
        (whole[..whole.len() - 4].to_vec(), "156 bytes of numbers; shape [40] needs 160"),
        (whole[..40].to_vec(), "cut off within its header"),
        (integers, "its numbers are <c8; expected <f2, <f4, <f8 or whole numbers (<i8)"),
    ] {
        let mut files = perfect(Task::Boundary);
        files[1][0].1 = bytes;
        let err = refused(&files, &["boundary"]);
        assert!(err.contains("l/s/a/1_boundary.npy: "), "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn what_the_official_evaluators_accept_is_noted_and_refused_if_strict() {
    for (task, in_truth, from, to, expected) in [
        (
            Task::Spotting,
            false,
            "\"Goal\"",
            "\"Gaol\"",
            "predictions[0].label: \"Gaol\" is not a class; known: Penalty",
        ),
        (
            Task::Spotting,
            false,
            "\"half\": \"1\"",
            "\"half\": 3",
            "predictions[0].half: 3; expected 1 or 2",
        ),
        (
            Task::Spotting,
            false,
            "\"100000\"",
            "-500",
            "predictions[0].position: -500; expected 0 to",
        ),
        (
            Task::Spotting,
            false,
            "\"0.9\"",
            "\"nan\"",
            "predictions[0].confidence: NaN; expected 0 to 1",
        ),
        (
            Task::Spotting,
            true,
            "1 - 01:40",
            "3 - 01:40",
            "annotations[0].gameTime: half 3; must be 1 or 2",
        ),
        (
            Task::Spotting,
            true,
            "\"Goal\"",
            "\"Gaol\"",
            "annotations[0].label: \"Gaol\" is not a class and is ignored",
        ),
        (
            Task::Boundary,
            true,
            "\"abrupt\"",
            "\"cut\"",
            "annotations[0].change_type: \"cut\" is not a kind of change and is ignored; known: abrupt, smooth",
        ),
        (
            Task::Calibration2022,
            false,
            "\"x_focal_length\": 1200",
            "\"x_focal_length\": 0",
            "x_focal_length: 0; expected more than 0 pixels",
        ),
        (
            Task::Tracking2022,
            false,
            "0,0,5,5",
            "0,0,0,5",
            "S-1.txt: line 1: a box of 0 by 5; expected more than 0 pixels",
        ),
        (
            Task::Grounding,
            false,
            "\"end\": 20",
            "\"end\": 9",
            "Replays[0].end: 9; expected at least 10, the start",
        ),
    ] {
        let files = changed(task, in_truth, from, to);
        let err = refused(&files, &[task.name(), "--mode", "strict"]);
        assert!(err.contains(expected), "{}: {err}", task.name());
        if task == Task::Grounding {
            // The official evaluator fails if no replay is in the ground truth.
            assert!(refused(&files, &[task.name()]).contains("the official evaluator fails here"));
            continue;
        }
        let (text, _) = score(&files, false, &[task.name()], 0);
        assert!(text.contains("\nnote: ") && text.contains(expected), "{}: {text}", task.name());
    }
}

#[test]
fn a_submission_without_any_file_of_an_image_is_noted_and_refused_if_strict() {
    for (task, name) in [
        (Task::Localization2022, "test/00000.json"),
        (Task::Calibration2022, "test/kamera_00000.json"),
    ] {
        let mut files = perfect(task);
        files[1][0].0 = name;
        let expected = "NUMBER.json for any of 1 images; each counts as missing";
        assert!(score(&files, false, &[task.name()], 0).0.contains(expected));
        assert!(refused(&files, &[task.name(), "--mode", "strict"]).contains(expected));
    }
}

#[test]
fn a_segmentation_of_scores_that_are_no_numbers_is_noted_and_refused_if_strict() {
    let mut files = perfect(Task::Segmentation);
    let mut scores = vec![0.0; 2 * 13];
    scores[13] = f64::NAN;
    files[1][0].1 = npy::write(&Array { shape: vec![2, 13], data: scores }, false);
    let expected = "1_segmentation.npy: frame 1 has a score that is not a number";
    assert!(score(&files, false, &["segmentation"], 0).0.contains(expected));
    assert!(refused(&files, &["segmentation", "--mode", "strict"]).contains(expected));
}

#[test]
fn a_submission_is_checked_alone_where_there_is_no_truth() {
    let place = Place::new();
    let put = |text: &str| {
        let name = "l/s/a/results_spotting.json".to_string();
        let files = [(name, text.as_bytes().to_vec()), ("readme.md".to_string(), vec![])];
        write_files(&place.path("mine.zip"), &files).expect("the archive is written");
    };
    let call = ["score", "action-spotting-2022", "--prediction", "mine.zip"];
    put(SPOTS);
    let (out, _) = ended(&place.run(&call), 0);
    assert_eq!(out, "files: 1 correct, 1 with unknown names\n");
    put(&SPOTS.replace("\"0.9\"", "9"));
    let (_, err) = ended(&place.run(&call), 2);
    let expected = "l/s/a/results_spotting.json: predictions[0].confidence: 9; expected 0 to 1";
    assert!(err.contains(expected), "{err}");
}

#[test]
fn options_of_another_task_and_tolerances_that_are_none_are_refused() {
    for (task, args, expected) in [
        (
            Task::Reidentification2022,
            &["--labels-v1"][..],
            "--labels-v1: not used by player-reidentification-2022",
        ),
        (Task::Boundary, &["--threshold", "5"], "--threshold: not used by boundary"),
        (
            Task::Localization2022,
            &["--threshold", "5,nan"],
            "--threshold NaN: must be a number above 0",
        ),
        (Task::Calibration2022, &["--threshold", "0"], "--threshold 0: must be a number above 0"),
    ] {
        let err = refused(&perfect(task), &[&[task.name()], args].concat());
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn archives_that_leave_their_folder_and_paths_that_are_nowhere_are_refused() {
    let place = Place::new();
    let files = [("ranking.json".to_string(), RANKING.as_bytes().to_vec())];
    write_files(&place.path("mine.zip"), &files).expect("the archive is written");
    // The replacement has the same length, so that the archive stays valid.
    let mut bytes = std::fs::read(place.path("mine.zip")).expect("the archive is there");
    let name = b"ranking.json";
    let places: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    assert_eq!(places.len(), 2, "in the entry and in the directory");
    places.iter().for_each(|at| bytes[*at..*at + 3].copy_from_slice(b"../"));
    std::fs::write(place.path("evil.zip"), bytes).expect("the archive is written");
    std::fs::write(place.path("test_bbox_info.json"), BODIES).expect("the truth is written");
    let error = |prediction: &str| {
        let call = ["score", "player-reidentification-2022", "--truth", "test_bbox_info.json"];
        let (out, err) = ended(&place.run(&[&call[..], &["--prediction", prediction]].concat()), 2);
        assert_eq!(out, "", "nothing is printed");
        err
    };
    let err = error("evil.zip");
    assert!(err.contains("evil.zip: ../king.json: the path leaves the folder"), "{err}");
    assert!(!Path::new("king.json").exists());
    let err = error("nowhere.zip");
    assert!(err.contains("nowhere.zip: No such file"), "{err}");
    let (_, err) = ended(&place.run(&["score", "chess", "--truth", "a", "--prediction", "b"]), 2);
    assert!(err.contains("invalid value 'chess'") && err.contains("segmentation"), "{err}");
}
