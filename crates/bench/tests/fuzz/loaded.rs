//! Readers that load a whole task, or score a whole submission, with one file changed.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use burn::prelude::Device;
use moe::{Choice, Domain};
use serde_json::json;
use soccernet::{Mode, Options, Source, Task as Official};
use tasks::{
    BatchPosition, DataDir, Score, Split, Task,
    soccer::{SequencesConfig, SoccerImagesConfig, write_images, write_sequences},
    video::{GamesConfig, write_games},
};

use super::{
    BODIES, CAMERA, LABELS, LINES, RANKING, REPLAYS, SEQUENCE, SHOTS, SPOTS, TRACKS, Target,
    target, texts,
};

/// Files by their names.
type Set = BTreeMap<String, Vec<u8>>;

/// The name endings of the files that are changed: shots, actions, features, lists of games.
const OF_GAMES: [&str; 4] =
    ["Labels-cameras.json", "Labels-v2.json", "1_SYNTH.npy", "GamesTrain.json"];
/// The name endings for boxes, sequence properties, and lines of the pitch.
const OF_SOCCER: [&str; 3] = ["gt.txt", "seqinfo.ini", "00000.json"];

/// Folders of games and of sequences, and submissions.
pub(super) fn loaded() -> Vec<Target> {
    let scored = [LABELS, SPOTS, SHOTS, REPLAYS, LINES, CAMERA, BODIES, RANKING, TRACKS, SEQUENCE];
    let scored = [texts(&scored), vec![array()]].concat();
    vec![
        target("games", 1, first(game_set(), &OF_GAMES), |folder, bytes| {
            let end = match bytes {
                [b'\x93', ..] => 2,
                _ if has(bytes, "change_type") => 0,
                _ if has(bytes, "annotations") => 1,
                _ => 3,
            };
            lay(folder, game_set(), &OF_GAMES, (OF_GAMES[end], bytes));
            let games = json!({ "folder": "games", "features": "SYNTH", "overlap": "unchecked" });
            for task in
                ["action-spotting", "shot-boundary", "camera-segmentation", "replay-grounding"]
            {
                used(folder, &Choice::of(task).with("games", games.clone()).with("chunk", 16));
            }
        }),
        target("soccer", 1, first(soccer_set(), &OF_SOCCER), |folder, bytes| {
            let (end, task) = match bytes {
                _ if has(bytes, "[Sequence]") => (1, "player-tracking"),
                [b'{', ..] => (2, "pitch-localization"),
                _ => (0, "player-tracking"),
            };
            lay(folder, soccer_set(), &OF_SOCCER, (OF_SOCCER[end], bytes));
            let task = Choice::of(task);
            used(
                folder,
                &match end {
                    2 => task.with("images", json!({ "folder": "images", "width": 32 })),
                    _ => task.with("sequences", json!({ "folder": "sequences" })),
                },
            );
        }),
        target("score", 4, scored, |_, bytes| {
            for (_, task, _) in Official::ALL {
                for mode in [Mode::Official, Mode::Strict] {
                    let options = Options { mode, ..Options::of(task) };
                    let (truth, seen) = (truth(None), prediction(Some(bytes)));
                    drop(soccernet::score(task, &truth, &seen, &options));
                    let (truth, seen) = (self::truth(Some(bytes)), prediction(None));
                    drop(soccernet::score(task, &truth, &seen, &options));
                }
            }
        }),
    ]
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

/// The first file with each of the endings.
fn first(set: &Set, ends: &[&str]) -> Vec<Vec<u8>> {
    let of = |end: &&str| set.iter().find(|(name, _)| name.ends_with(end));
    ends.iter().filter_map(of).map(|(_, bytes)| bytes.clone()).collect()
}

/// Generated games in `games`.
fn game_set() -> &'static Set {
    static SET: OnceLock<Set> = OnceLock::new();
    SET.get_or_init(|| {
        let config =
            GamesConfig { train: 1, valid: 1, test: 1, minutes: 2, width: 2, ..Default::default() };
        made(|folder| {
            write_games(&config, &folder.join("games")).expect("they can be written");
        })
    })
}

/// Sequences in `sequences`, images in `images`.
fn soccer_set() -> &'static Set {
    static SET: OnceLock<Set> = OnceLock::new();
    SET.get_or_init(|| {
        let sequences = SequencesConfig {
            train: 1,
            valid: 1,
            test: 1,
            frames: 6,
            players: 3,
            ..Default::default()
        };
        let images =
            SoccerImagesConfig { train: 1, valid: 1, test: 1, width: 32, ..Default::default() };
        made(|folder| {
            let written = write_sequences(&sequences, None, &folder.join("sequences"));
            written.expect("they can be written");
            write_images(&images, &folder.join("images")).expect("they can be written");
        })
    })
}

/// The files that `write` writes to a folder.
fn made(write: impl FnOnce(&Path)) -> Set {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let source = Source::open(folder.path()).expect("it was written");
    let file = |name: &str| (name.to_string(), source.read(name).expect("it was written"));
    source.names().into_iter().map(file).collect()
}

/// Writes the files into the folder, with these bytes in place of the first one with this ending. Other files
/// that never change exist already.
fn lay(folder: &Path, set: &Set, ends: &[&str], (end, bytes): (&str, &[u8])) {
    let changed = set.keys().find(|name| name.ends_with(end));
    for (name, content) in set {
        let path = folder.join(name);
        if path.exists() && !ends.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(folder)).expect("the folder can be made");
        let content = if changed == Some(name) { bytes } else { content };
        fs::write(path, content).expect("it can be written");
    }
}

/// Loads a task, takes an example of each split, and measures outputs of zeros.
fn used(folder: &Path, task: &Choice) {
    let all = tasks::all();
    let build = all.get(&task.kind).expect("a known task").build;
    let Ok(loaded) = build(task, &DataDir::new(Some(folder.into()))) else { return };
    let (task, device) = (loaded.task, Device::flex());
    let place = BatchPosition { seed: 0, position: 0 };
    let last = task.len(Split::Train) - 1;
    drop(task.training_batch(&[0, last], place, &device));
    for split in [Split::Train, Split::Valid, Split::Test] {
        drop(task.batch(split, &[0, task.len(split) - 1], &device));
    }
    if let Some(whole) = task.as_whole_split() {
        let rows = rows(&*task) * task.outputs();
        let outputs = vec![vec![0.0; rows]; task.len(Split::Train)];
        whole.measure_whole(Split::Train, &outputs, &mut Score::default());
    }
}

/// The number of rows of an example.
fn rows(task: &dyn Task) -> usize {
    match task.domain() {
        Domain::Image { height, .. } => height,
        _ => 1,
    }
}

/// Valid files of the ground truth, or these bytes in place of each.
fn truth(bytes: Option<&[u8]>) -> Source {
    let gt = "1,7,399,182.5,121,229,1,1,1\n3,7,1,2,3,4,1,1,1\n";
    memory(
        &[
            ("l/s/g/Labels-v2.json", LABELS),
            ("l/s/g/Labels-cameras.json", SHOTS),
            ("00000.json", LINES),
            ("bbox_info.json", BODIES),
            ("S/gt/gt.txt", gt),
            ("S/seqinfo.ini", SEQUENCE),
        ],
        bytes,
    )
}

/// Valid files of submissions, or these bytes in place of each.
fn prediction(bytes: Option<&[u8]>) -> Source {
    let names = ["1_segmentation", "2_segmentation", "1_boundary", "2_boundary"];
    let arrays =
        names.map(|name| (format!("l/s/g/{name}.npy"), bytes.map_or_else(array, <[u8]>::to_vec)));
    let texts = [
        ("l/s/g/results_spotting.json", SPOTS),
        ("l/s/g/results_grounding.json", REPLAYS),
        ("extremities_00000.json", LINES),
        ("camera_00000.json", CAMERA),
        ("ranking.json", RANKING),
        ("S.txt", TRACKS),
    ];
    let texts = texts.map(|(name, text)| {
        (name.to_string(), bytes.map_or_else(|| text.as_bytes().to_vec(), <[u8]>::to_vec))
    });
    Source::memory("seen", arrays.into_iter().chain(texts).collect())
}

/// An array with one number for each of six frames.
fn array() -> Vec<u8> {
    let array = soccernet::npy::Array { shape: vec![6], data: vec![0.5, 3.0, 12.0, 0.0, 7.0, 1.0] };
    soccernet::npy::write(&array, false)
}

fn memory(files: &[(&str, &str)], bytes: Option<&[u8]>) -> Source {
    let file = |(name, text): &(&str, &str)| {
        (name.to_string(), bytes.map_or_else(|| text.as_bytes().to_vec(), <[u8]>::to_vec))
    };
    Source::memory("truth", files.iter().map(file).collect())
}
