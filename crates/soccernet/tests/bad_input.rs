//! Invalid input of all kinds: it gives a message with file, entry and the expected value, and never a panic.

#[path = "support/files.rs"]
mod files;

use std::{collections::BTreeMap, path::Path};

use files::{Files, measure, texts};
use serde_json::Value;
use soccernet::{
    Mode, Options, Source, Task,
    npy::{self, Array},
    score,
};

const LABELS: &str = r#"{"annotations": [
    {"gameTime": "1 - 01:40", "label": "Goal", "position": "100000", "visibility": "visible"}]}"#;
const SPOTS: &str = r#"{"predictions": [
    {"half": "1", "label": "Goal", "position": "100000", "confidence": "0.5"}]}"#;
const CAMERAS: &str = r#"{"annotations": [{"gameTime": "1 - 00:10", "label": "Public",
    "change_type": "abrupt"}, {"gameTime": "1 - 00:20", "label": "Public", "change_type": "logo",
    "link": {"half": 1, "label": "Goal", "time": "00:05"}}]}"#;

fn spotting(mode: Mode, truth: &Files, prediction: &Files) -> Result<Value, String> {
    let result = measure(Task::Spotting, truth, prediction, |options| options.mode = mode);
    result.map_err(|error| error.to_string())
}

#[test]
fn a_missing_or_foreign_game() {
    let [one, two] = ["l/s/a/Labels-v2.json", "l/s/b/Labels-v2.json"].map(|name| (name, LABELS));
    let [seen, foreign] =
        ["l/s/a/results_spotting.json", "l/s/c/results_spotting.json"].map(|name| (name, SPOTS));
    let error = spotting(Mode::Official, &texts(&[one, two]), &texts(&[seen])).unwrap_err();
    assert!(error.starts_with("mine: l/s/b/results_spotting.json: the file is missing"), "{error}");
    let both = texts(&[seen, foreign]);
    assert!(spotting(Mode::Official, &texts(&[one]), &both).is_ok());
    let error = spotting(Mode::Strict, &texts(&[one]), &both).unwrap_err();
    assert!(error.starts_with("mine: l/s/c: the truth does not have this game"), "{error}");
    let error = spotting(Mode::Official, &texts(&[]), &both).unwrap_err();
    assert_eq!(error, "truth: no game folder has a file \"Labels-v2.json\"");
}

#[test]
fn official_gives_its_number_with_notes_and_strict_refuses() {
    let truth = texts(&[("l/s/a/Labels-v2.json", LABELS)]);
    let odd = [
        ("\"Goal\"", "\"goal\"", "predictions[0].label: \"goal\" is not a class; known: Penalty, "),
        ("\"half\": \"1\"", "\"half\": \"3\"", "predictions[0].half: 3; expected 1 or 2"),
        (
            "\"100000\"",
            "\"-500\"",
            "predictions[0].position: -500; expected 0 to 7200000 milliseconds",
        ),
        ("\"0.5\"", "NaN", "predictions[0].confidence: NaN; expected 0 to 1"),
        ("\"0.5\"", "2", "predictions[0].confidence: 2; expected 0 to 1"),
    ];
    for (from, to, expected) in odd {
        let prediction = texts(&[("l/s/a/results_spotting.json", &SPOTS.replace(from, to))]);
        let mut options = Options::of(Task::Spotting);
        let run = |options: &Options| {
            let [truth, mine] = [("truth", &truth), ("mine", &prediction)]
                .map(|(name, files)| files::source(name, files));
            score(Task::Spotting, &truth, &mine, options)
        };
        let official = run(&options).unwrap();
        assert!(official.notes[0].contains(expected), "{:?}", official.notes);
        assert!(official.text().contains("note: l/s/a/results_spotting.json: predictions[0]"));
        options.mode = Mode::Strict;
        let error = run(&options).unwrap_err().to_string();
        assert_eq!(error, official.notes[0]);
    }
}

#[test]
fn official_fails_where_the_package_fails() {
    let truth = texts(&[("l/s/a/Labels-v2.json", LABELS)]);
    let fatal = [
        (
            "\"100000\"",
            "\"100999.5\"",
            "predictions[0].position: \"100999.5\"; expected a whole number",
        ),
        ("\"half\": \"1\", ", "", "predictions[0].half: it is missing; expected a whole number"),
        ("\"0.5\"", "\"high\"", "predictions[0].confidence: \"high\"; expected a number"),
        ("\"100000\"", "-9000000000", "predictions[0]: frame -18000000 is more than a half"),
        ("]}", "", "not JSON: "),
    ];
    for (from, to, expected) in fatal {
        let prediction = texts(&[("l/s/a/results_spotting.json", &SPOTS.replace(from, to))]);
        let error = spotting(Mode::Official, &truth, &prediction).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damaged_arrays() {
    let truth = texts(&[("l/s/a/Labels-cameras.json", CAMERAS)]);
    let array = Array { shape: vec![60], data: vec![0.5; 60] };
    let half = npy::write(&array, false);
    let text: String = half.iter().map(|byte| char::from(*byte)).collect();
    let whole = text.replace("<f4", "<c8").chars().map(|c| c as u8).collect();
    let wide = npy::write(&Array { shape: vec![30, 2], data: vec![0.5; 60] }, false);
    let cases = [
        (half[..half.len() - 3].to_vec(), "237 bytes of numbers; shape [60] needs 240"),
        (whole, "its numbers are <c8; expected <f2, <f4, <f8 or whole numbers (<i8)"),
        (wide, "shape [30, 2]; expected (frames,)"),
        (b"rubbish".to_vec(), "not a .npy file"),
        (npy::write(&Array { shape: vec![0], data: vec![] }, false), "no frames"),
    ];
    for (bytes, expected) in cases {
        let prediction = vec![
            ("l/s/a/1_boundary.npy".to_string(), half.clone()),
            ("l/s/a/2_boundary.npy".to_string(), bytes),
        ];
        let error = measure(Task::Boundary, &truth, &prediction, |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("l/s/a/2_boundary.npy: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn images_that_are_there_twice_or_that_the_truth_lacks() {
    let truth = texts(&[("test/00000.json", "{}"), ("valid/00000.json", "{}")]);
    let error = |truth: &Files, prediction: &Files, mode| {
        let change = |options: &mut Options| options.mode = mode;
        measure(Task::Localization2022, truth, prediction, change).unwrap_err().to_string()
    };
    let expected = "test/00000.json and valid/00000.json have the same name; give the folder \
                    of a single split";
    assert!(error(&truth, &vec![], Mode::Official).contains(expected));
    let twice = texts(&[("a/extremities_00000.json", "{}"), ("extremities_00000.json", "{}")]);
    assert!(error(&truth[..1].to_vec(), &twice, Mode::Official).contains("has the same name"));
    let foreign = texts(&[("extremities_00007.json", "{}")]);
    assert!(
        error(&truth[..1].to_vec(), &foreign, Mode::Strict).contains("has no image of this name")
    );
    let unknown = texts(&[("test/00000.json", r#"{"Flag": [{"x": 0, "y": 0}]}"#)]);
    assert!(error(&unknown, &vec![], Mode::Official).contains("Flag: unknown class; the official"));
}

#[test]
fn sequences_without_a_submission_or_with_a_wrong_one() {
    let truth = texts(&[
        ("test/S-1/seqinfo.ini", "[Sequence]\nname=S-1\nseqLength=2\n"),
        ("test/S-1/gt/gt.txt", "1,1,0,0,5,5,1,-1,-1,-1\n"),
    ]);
    let error = |prediction: &[(&str, &str)]| {
        let prediction = texts(prediction);
        measure(Task::Tracking2022, &truth, &prediction, |_| ()).unwrap_err().to_string()
    };
    assert!(error(&[]).starts_with("mine: S-1.txt: the file is missing"));
    let line = "1,1,0,0,5,5,1,-1,-1,-1\n";
    assert!(
        error(&[("S-1.txt", &line.repeat(2))])
            .contains("S-1.txt: line 2: identity 1 is in frame 1")
    );
    assert!(
        error(&[("S-1.txt", &line.replacen('1', "3", 1))]).contains("frame 3; expected 1 to 2")
    );
    let mut endless = truth.clone();
    endless[0].1 = b"[Sequence]\nseqLength=999999999999\n".to_vec();
    let result = measure(Task::Tracking2022, &endless, &texts(&[("S-1.txt", line)]), |_| ());
    assert!(result.unwrap_err().to_string().contains("expected at most 1000000 frames"));
}

/// Checks that an input is accepted in the official mode, and refused with this message in the strict one.
fn odd(task: Task, truth: &Files, prediction: &Files, expected: &str) {
    let run = |mode| measure(task, truth, prediction, |options| options.mode = mode);
    assert!(run(Mode::Official).is_ok(), "{expected}");
    let error = run(Mode::Strict).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn files_that_say_they_are_of_another_game() {
    let truth = texts(&[("l/s/a/Labels-v2.json", LABELS)]);
    let named = |url: &str| {
        let text = SPOTS.replacen('{', &format!("{{\"UrlLocal\": {url:?}, "), 1);
        texts(&[("l/s/a/results_spotting.json", &text)])
    };
    for own in ["", "l/s/a", "l/s/a/", "all/l/s/a", "s/a"] {
        assert!(spotting(Mode::Strict, &truth, &named(own)).is_ok(), "{own}");
    }
    let expected =
        "l/s/a/results_spotting.json: UrlLocal: \"l/s/b\"; expected the game of its folder, l/s/a";
    odd(Task::Spotting, &truth, &named("l/s/b"), expected);
    let cameras = texts(&[("l/s/a/Labels-cameras.json", CAMERAS)]);
    let replays = r#"{"UrlLocal": "l/s/b", "Replays":
        [{"half": 1, "start": 10, "end": 20, "detection": []}]}"#;
    let replays = texts(&[("l/s/a/results_grounding.json", replays)]);
    odd(Task::Grounding, &cameras, &replays, "results_grounding.json: UrlLocal: \"l/s/b\"");
}

/// The files with one confidence for each frame of both halves.
fn boundaries(game: &str, half: &[f64]) -> Files {
    let bytes = npy::write(&Array { shape: vec![half.len()], data: half.to_vec() }, false);
    [1, 2].map(|number| (format!("{game}/{number}_boundary.npy"), bytes.clone())).into()
}

#[test]
fn halves_that_are_cut_off_or_of_another_rate() {
    let late = CAMERAS.replace("1 - 00:20", "1 - 10:00");
    let truth = texts(&[("l/s/a/Labels-cameras.json", &late)]);
    // A single frame would find every boundary.
    odd(Task::Boundary, &truth, &boundaries("l/s/a", &[0.9]), "1 frames; expected about 1200");
    let half = vec![0.0; 1200];
    assert!(measure(Task::Boundary, &truth, &boundaries("l/s/a", &half), |_| ()).is_ok());
    let long = vec![0.0; 15_000];
    odd(Task::Boundary, &truth, &boundaries("l/s/a", &long), "15000 frames; expected about 1200");
    let segments: Files = boundaries("l/s/a", &half[..600])
        .into_iter()
        .map(|(name, bytes)| (name.replace("boundary", "segmentation"), bytes))
        .collect();
    let expected = "l/s/a/1_segmentation.npy: 600 frames; expected about 1200";
    odd(Task::Segmentation, &truth, &segments, expected);
}

#[test]
fn boundaries_of_foreign_games_and_confidences_above_1() {
    let truth = texts(&[("l/s/a/Labels-cameras.json", CAMERAS)]);
    let half = vec![0.5; 60];
    let both = [boundaries("l/s/a", &half), boundaries("l/s/b", &half)].concat();
    odd(Task::Boundary, &truth, &both, "mine: l/s/b: the truth does not have this game");
    let expected = "1_boundary.npy: frame 0 has the confidence 2.5; expected at most 1";
    odd(Task::Boundary, &truth, &boundaries("l/s/a", &[2.5; 60]), expected);
}

#[test]
fn lists_without_a_game_are_refused() {
    let truth = texts(&[("l/s/a/Labels-v2.json", LABELS)]);
    let seen = texts(&[("l/s/a/results_spotting.json", SPOTS)]);
    let none = |options: &mut Options| options.games = Some(vec![]);
    let error = measure(Task::Spotting, &truth, &seen, none).unwrap_err().to_string();
    assert_eq!(error, "truth: the list of games to score is empty");
}

#[test]
fn ends_in_pixels_and_images_of_several_splits() {
    let line =
        |x: &str| format!(r#"{{"Middle line": [{{"x": {x}, "y": 0.1}}, {{"x": {x}, "y": 0.9}}]}}"#);
    let truth = texts(&[("test/00000.json", &line("0.5"))]);
    let pixels = texts(&[("test/extremities_00000.json", &line("479.5"))]);
    let expected = "test/extremities_00000.json: Middle line[0].x: 479.5; expected 0 to 1, a \
                    fraction of the image";
    odd(Task::Localization2022, &truth, &pixels, expected);
    let both = texts(&[
        ("test/extremities_00000.json", &line("0.5")),
        ("valid/extremities_00000.json", &line("0.1")),
    ]);
    let of_split = |options: &mut Options| options.split = Some("test".into());
    let result = measure(Task::Localization2022, &truth, &both, of_split).unwrap();
    assert_eq!(result.pointer("/0/accuracy"), Some(&Value::from(1.0)));
    assert!(measure(Task::Localization2022, &truth, &both, |_| ()).is_err());
}

/// A pseudo-random sequence of numbers.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// A file that is cut off or changed in one place, as text or as bytes.
fn damage(bytes: &[u8], noise: &mut Noise) -> Vec<u8> {
    let (mut out, at) = (bytes.to_vec(), noise.below(bytes.len()));
    match noise.below(4) {
        0 => out.truncate(at),
        1 => out.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << noise.below(8)),
        2 => drop(out.splice(at..at, *b"-9223372036854775808")),
        _ => drop(out.splice(at..(at + 1).min(bytes.len()), *b"null")),
    }
    out
}

#[test]
fn damaged_files_never_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut noise = Noise(1);
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for line in text.lines().take(2) {
            let case: Value = serde_json::from_str(line).unwrap();
            let task = Task::parse(case["task"].as_str().unwrap()).unwrap();
            for round in 0..60 {
                let mut damaged = |side: &str| {
                    let mut files: BTreeMap<String, Vec<u8>> = content(&case[side]);
                    let chosen = noise.below(files.len());
                    if let Some(bytes) = files.values_mut().nth(chosen) {
                        *bytes = damage(bytes, &mut noise);
                    }
                    Source::memory(side, files)
                };
                let [truth, prediction] = ["truth", "prediction"].map(&mut damaged);
                let mut options = Options::of(task);
                options.mode = if round % 2 == 0 { Mode::Official } else { Mode::Strict };
                if let Err(error) = score(task, &truth, &prediction, &options) {
                    assert!(!error.file.is_empty() && !error.problem.is_empty());
                }
            }
        }
    }
}

fn content(files: &Value) -> BTreeMap<String, Vec<u8>> {
    let bytes = |value: &Value| match value.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let hex = value["hex"].as_str().unwrap();
            let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(byte).collect()
        }
    };
    files.as_object().unwrap().iter().map(|(name, value)| (name.clone(), bytes(value))).collect()
}
