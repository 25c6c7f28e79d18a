//! Games: features of both halves with files of labels, by the official lists of games.

use std::{collections::BTreeSet, path::Path};

use soccernet::{
    Judge, Source,
    format::{games, labels::Labels, shots::Shots},
    npy,
};

use super::{
    games_config::{GamesConfig, List, Overlap},
    generator,
};
use crate::{
    DataDir, DataError,
    data::files::{Files, content, fault, wrong},
};

/// One half: features, row by row.
pub(crate) struct Half {
    pub(crate) frames: usize,
    pub(crate) features: Vec<f32>,
}

/// One game.
pub(crate) struct Game {
    /// `LEAGUE/SEASON/GAME`.
    pub(crate) name: String,
    pub(crate) halves: [Half; 2],
    /// The files of labels that the task requested, in its order; empty if the game has none.
    pub(crate) labels: Vec<Vec<u8>>,
}

impl Game {
    /// The shots of the file of labels at index `at` of the files that the task requested.
    ///
    /// # Errors
    /// If the file is invalid, or a time is before the half begins: the official evaluators count such a time
    /// from the end of the half, but no frame can be shown there.
    pub(crate) fn shots(&self, at: usize, name: &str) -> soccernet::Result<Shots> {
        let file = format!("{}/{name}", self.name);
        let shots = Shots::read(&self.labels[at], &file, &mut Judge::default())?;
        for (i, shot) in shots.annotations.iter().enumerate() {
            not_before(Some(shot.time.seconds), &file, i, "gameTime")?;
            not_before(shot.link.as_ref().map(|link| link.seconds), &file, i, "link.time")?;
        }
        Ok(shots)
    }

    /// The actions of the file of labels at index `at`.
    ///
    /// # Errors
    /// As `shots`.
    pub(crate) fn actions(&self, at: usize, name: &str) -> soccernet::Result<Labels> {
        let file = format!("{}/{name}", self.name);
        let labels = Labels::read(&self.labels[at], &file, &mut Judge::default())?;
        for (i, label) in labels.annotations.iter().enumerate() {
            not_before(Some(label.time.seconds), &file, i, "gameTime")?;
            not_before(label.position, &file, i, "position")?;
        }
        Ok(labels)
    }
}

/// Checks that a time is not before the half begins.
fn not_before(value: Option<i64>, file: &str, i: usize, key: &str) -> soccernet::Result<()> {
    match value.filter(|value| *value < 0) {
        Some(value) => {
            let unit = if key == "position" { "milliseconds" } else { "seconds" };
            let problem = format!("{value} {unit}; expected 0 or more");
            Err(soccernet::Error::entry(file, format!("annotations[{i}].{key}"), problem))
        }
        None => Ok(()),
    }
}

/// The games of a task by split.
pub(crate) struct Games {
    pub(crate) splits: [Vec<Game>; 3],
    /// Features of a frame.
    pub(crate) width: usize,
}

/// Writes the generated games as a folder or, if the name ends in `.zip`, as an archive.
///
/// # Errors
/// If the config does not fit, or the system refuses.
pub fn write_games(config: &GamesConfig, path: &Path) -> Result<(), DataError> {
    let config = &GamesConfig { folder: None, ..config.clone() };
    config.check().map_err(|message| wrong("games", message))?;
    let files: Vec<(String, Vec<u8>)> = generator::files(config).into_iter().collect();
    soccernet::write_files(path, &files).map_err(fault)
}

impl Games {
    /// Loads the games of the lists with files of labels of these names, the first of which every game
    /// must have.
    pub(crate) fn load(
        task: &str,
        config: &GamesConfig,
        list: List,
        labels: &[&str],
        data: &DataDir,
    ) -> Result<Self, DataError> {
        config.check().map_err(|message| wrong(task, message))?;
        let files = Files::new(data, config.folder.as_deref(), || generator::files(config));
        let features = match config.folder {
            Some(_) => config.features.as_str(),
            None => generator::FEATURES,
        };
        let mut width = None;
        let mut splits = [vec![], vec![], vec![]];
        for (split, names) in splits.iter_mut().zip(names(&files, list, config.overlap)?) {
            for name in names {
                split.push(game(&files, name, features, labels, &mut width)?);
            }
        }
        Ok(Self { splits, width: width.unwrap_or(1) })
    }

    /// The files of labels of a split by name, as the official evaluators read them.
    pub(crate) fn truth(&self, split: usize, file: &str) -> Source {
        let entry = |game: &Game| (format!("{}/{file}", game.name), game.labels[0].clone());
        Source::memory("truth", self.splits[split].iter().map(entry).collect())
    }
}

/// The games of the three splits. No game that is tested, here or in another task, is trained on.
fn names(files: &Files<'_>, list: List, overlap: Overlap) -> Result<[Vec<String>; 3], DataError> {
    let read = |list: List, split: &str| {
        let file = list.file(split);
        games::read(&files.read(&file)?, &file).map_err(fault)
    };
    let mut train = read(list, "Train")?;
    let (valid, test) = (read(list, "Valid")?, read(list, "Test")?);
    let train_file = list.file("Train");
    for (own, file) in [(&valid, list.file("Valid")), (&test, list.file("Test"))] {
        games::disjoint((&train_file, &train), (&file, own)).map_err(fault)?;
    }
    games::disjoint((&list.file("Valid"), &valid), (&list.file("Test"), &test)).map_err(fault)?;
    for other in List::ALL.into_iter().filter(|other| *other != list) {
        let file = other.file("Test");
        if overlap == Overlap::Unchecked || files.are_made() && !files.has(&file) {
            continue;
        }
        if !files.has(&file) {
            let problem = "it is missing, so training may use games that another task tests; \
                           games.overlap = \"unchecked\" trains on all games";
            return Err(content(&file, problem));
        }
        let tested = read(other, "Test")?;
        match overlap {
            Overlap::Unchecked => {}
            Overlap::Refuse => {
                let refused = games::disjoint((&train_file, &train), (&file, &tested));
                refused.map_err(|mut error| {
                    error.problem += "; games.overlap = \"exclude\" excludes them from training";
                    fault(error)
                })?;
            }
            Overlap::Exclude => {
                let tested: BTreeSet<String> = tested.into_iter().collect();
                train.retain(|game| !tested.contains(game));
            }
        }
    }
    Ok([train, valid, test])
}

fn game(
    files: &Files<'_>,
    name: String,
    features: &str,
    labels: &[&str],
    width: &mut Option<usize>,
) -> Result<Game, DataError> {
    let mut half = |number: usize| {
        let file = format!("{name}/{number}_{features}.npy");
        let (frames, columns, features) =
            npy::features(&files.read(&file)?, &file).map_err(fault)?;
        let expected = *width.get_or_insert(columns);
        if columns != expected || frames == 0 {
            let message = format!(
                "{frames} frames of {columns} features; expected frames of {expected} features"
            );
            return Err(content(&file, message));
        }
        if features.iter().any(|value| !value.is_finite()) {
            return Err(content(&file, "a feature is not a finite number"));
        }
        Ok(Half { frames, features })
    };
    let halves = [half(1)?, half(2)?];
    let mut read = Vec::new();
    for (at, label) in labels.iter().enumerate() {
        let file = format!("{name}/{label}");
        read.push(if at == 0 || files.has(&file) { files.read(&file)? } else { vec![] });
    }
    Ok(Game { name, halves, labels: read })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn small() -> GamesConfig {
        GamesConfig { train: 3, valid: 1, test: 2, minutes: 2, width: 4, ..GamesConfig::default() }
    }

    const LABELS: &str = "Labels-v2.json";

    fn load(config: &GamesConfig, list: List, data: &DataDir) -> Result<Games, DataError> {
        Games::load("t", config, list, &[LABELS], data)
    }

    fn named(games: &Games) -> Vec<Vec<&str>> {
        games.splits.iter().map(|all| all.iter().map(|game| &*game.name).collect()).collect()
    }

    #[test]
    fn a_folder_with_the_real_files_is_the_same_as_what_is_generated() {
        let folder = tempfile::tempdir().unwrap();
        write_games(&small(), &folder.path().join("games")).unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let real = GamesConfig {
            folder: Some("games".into()),
            features: generator::FEATURES.into(),
            ..small()
        };
        let [made, read] = [(&small(), &DataDir::default()), (&real, &data)]
            .map(|(config, data)| load(config, List::Actions, data).unwrap());
        assert_eq!(named(&made), named(&read));
        assert_eq!((made.width, read.width), (4, 4));
        for (a, b) in made.splits.iter().flatten().zip(read.splits.iter().flatten()) {
            assert_eq!((&a.labels, a.halves[1].frames), (&b.labels, 240));
            assert_eq!(a.halves[0].features, b.halves[0].features);
        }
        let files = data.digest();
        assert!(files.iter().any(|(name, _)| name == "games/SoccerNetGamesTrain.json"));
    }

    #[test]
    fn games_that_are_tested_elsewhere_are_not_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        write_games(&small(), &folder.path().join("games")).unwrap();
        let file = |name: &str| folder.path().join("games").join(name);
        // A game that is trained on for spotting is tested for camera shots.
        let mine = load(&small(), List::Actions, &DataDir::default()).unwrap();
        let leak = mine.splits[0][1].name.clone();
        std::fs::write(
            file("SoccerNetCameraChangesTest.json"),
            games::write(std::slice::from_ref(&leak)).unwrap(),
        )
        .unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let real = |overlap| GamesConfig {
            folder: Some("games".into()),
            features: generator::FEATURES.into(),
            overlap,
            ..small()
        };
        let refused = load(&real(Overlap::Refuse), List::Actions, &data).err().unwrap().to_string();
        let expected = format!(
            "SoccerNetGamesTrain.json: {leak}: 1 games are also in \
             SoccerNetCameraChangesTest.json; games.overlap = \"exclude\" excludes them from training"
        );
        assert_eq!(refused, expected);
        let left = load(&real(Overlap::Exclude), List::Actions, &data).unwrap();
        assert_eq!(named(&left)[0].len(), 2);
        assert!(!named(&left)[0].contains(&&*leak));
        // Within one task there is nothing to leave out.
        let train = std::fs::read(file("SoccerNetGamesTrain.json")).unwrap();
        std::fs::write(file("SoccerNetGamesTest.json"), train).unwrap();
        let refused =
            load(&real(Overlap::Exclude), List::Actions, &data).err().unwrap().to_string();
        assert!(refused.contains("3 games are also in SoccerNetGamesTest.json"), "{refused}");
        // Without the other task's list nothing is known, which is no leave to train on its games.
        write_games(&small(), &folder.path().join("games")).unwrap();
        std::fs::remove_file(file("SoccerNetCameraChangesTest.json")).unwrap();
        let refused =
            load(&real(Overlap::Exclude), List::Actions, &data).err().unwrap().to_string();
        let expected = "SoccerNetCameraChangesTest.json: it is missing, so training may use \
                        games that another task tests";
        assert!(refused.contains(expected) && refused.contains("\"unchecked\""), "{refused}");
        let all = load(&real(Overlap::Unchecked), List::Actions, &data).unwrap();
        assert_eq!(named(&all)[0].len(), 3);
    }

    /// Checks that a task refuses changed labels of the first game of a folder.
    #[test]
    fn times_before_the_half_are_refused_in_all_tasks() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let refused = |task: &str, file: &str, change: &dyn Fn(&mut serde_json::Value)| {
            write_games(&small(), &folder.path().join("games")).unwrap();
            let games = load(&small(), List::Actions, &DataDir::default()).unwrap();
            let name = format!("{}/{file}", games.splits[0][0].name);
            let path = folder.path().join("games").join(&name);
            let mut labels: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            change(&mut labels);
            std::fs::write(&path, labels.to_string()).unwrap();
            let games = serde_json::json!({ "folder": "games", "features": generator::FEATURES,
                "overlap": "unchecked" });
            let task = moe::Choice::of(task).with("games", games);
            let error = (crate::all().get(&task.kind).unwrap().build)(&task, &data).err().unwrap();
            error.to_string().replace(&name, "FILE")
        };
        let (shots, actions) = ("Labels-cameras.json", LABELS);
        let before = |labels: &mut serde_json::Value| {
            labels["annotations"][0]["gameTime"] = "1 - 00:-5".into();
        };
        let expected = "FILE: annotations[0].gameTime: -5 seconds; expected 0 or more";
        for (task, file) in [
            ("replay-grounding", shots),
            ("replay-grounding", actions),
            ("shot-boundary", shots),
            ("camera-segmentation", shots),
            ("action-spotting", shots),
            ("action-spotting", actions),
        ] {
            assert_eq!(refused(task, file, &before), expected, "{task} {file}");
        }
        let of_link = |labels: &mut serde_json::Value| {
            labels["annotations"][0]["link"] =
                serde_json::json!({ "half": "1", "label": "Goal", "time": "-1:05" });
        };
        let error = refused("replay-grounding", shots, &of_link);
        assert_eq!(error, "FILE: annotations[0].link.time: -55 seconds; expected 0 or more");
        let position = |labels: &mut serde_json::Value| {
            labels["annotations"][0]["position"] = "-200".into();
        };
        let error = refused("action-spotting", actions, &position);
        assert_eq!(error, "FILE: annotations[0].position: -200 milliseconds; expected 0 or more");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let error = |config: &GamesConfig| {
            load(config, List::Actions, &DataDir::default()).err().unwrap().to_string()
        };
        assert!(error(&GamesConfig { minutes: 90, ..small() }).contains("games.minutes = 90"));
        assert!(error(&GamesConfig { valid: 0, ..small() }).contains("games.valid = 0"));
        assert!(error(&GamesConfig { noise: -1.0, ..small() }).contains("games.noise = -1"));
        let missing = GamesConfig { folder: Some("none".into()), ..small() };
        assert!(error(&missing).contains("--data-dir"));
    }
}
