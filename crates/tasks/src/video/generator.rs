//! Generated games in the real files: lists of games, `Labels-v2.json`, `Labels-cameras.json`,
//! `video.ini` and features.
//!
//! A frame is the sum of noise with memory (AR(1)), the vector of its kind of camera, the terms of the
//! actions around it and, in a replay, the action's own course, a little faster, with the mark of replays.
//! Shots are semi-Markov of 2 to 20 seconds; 15 % of the actions are not on the screen.

use std::collections::BTreeMap;

use moe::stable_hash;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde_json::{Map, Value, json};
use soccernet::{
    classes::{ACTIONS, CAMERAS},
    clock::GameTime,
    format::{
        games,
        ini::Video,
        labels::{Label, Labels},
        shots::{Link, Shot, Shots},
    },
    npy::{self, Array},
};

use super::{
    games_config::{GamesConfig, List},
    templates::{AFTER, BEFORE, CAMERA_WEIGHTS, FREQUENCIES, Templates, direction, weighted},
};

/// The name of the features of generated games.
pub(super) const FEATURES: &str = "SYNTH";
/// Seconds between two actions: at least the first, at most the second.
const GAPS: [i64; 2] = [8, 32];

/// An action.
#[derive(Clone)]
struct Action {
    half: i64,
    ms: i64,
    class: usize,
    visible: bool,
    team: &'static str,
    /// A vector that only this action has.
    own: Vec<f32>,
}

/// A shot: frames up to its end, which is even, and the action that it replays.
struct Piece {
    end: i64,
    camera: usize,
    change: &'static str,
    replays: Option<Action>,
}

/// All files of the generated games.
pub(super) fn files(config: &GamesConfig) -> BTreeMap<String, Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash("generated games"));
    let templates = Templates::new(&mut rng, config.width);
    let count = config.train + config.valid + config.test;
    let name = |number: usize| format!("generated/2016-2017/2016-08-{number:03} Home 0 - 0 Away");
    let names: Vec<String> = (0..count).map(name).collect();
    let mut files = BTreeMap::new();
    for list in List::ALL {
        // The test games are the same, so that none is trained on in the other tasks; the rest is not.
        let mut names = names.clone();
        if list == List::Cameras {
            names[..config.train + config.valid].shuffle(&mut rng);
        }
        let (train, rest) = names.split_at(config.train);
        let (valid, test) = rest.split_at(config.valid);
        for (split, names) in [("Train", train), ("Valid", valid), ("Test", test)] {
            let file = games::write(names).unwrap_or_default();
            files.insert(list.file(split), file);
        }
    }
    for (number, name) in names.iter().enumerate() {
        let seed = stable_hash(&format!("generated game {number}"));
        let game =
            GameGenerator { config, templates: &templates, rng: ChaCha8Rng::seed_from_u64(seed) };
        for (file, bytes) in game.files(name) {
            files.insert(format!("{name}/{file}"), bytes);
        }
    }
    files
}

struct GameGenerator<'a> {
    config: &'a GamesConfig,
    templates: &'a Templates,
    rng: ChaCha8Rng,
}

impl GameGenerator<'_> {
    fn files(mut self, name: &str) -> Vec<(String, Vec<u8>)> {
        let frames = 120 * self.config.minutes as i64;
        let actions: Vec<Action> =
            [1, 2].into_iter().flat_map(|h| self.actions(h, frames)).collect();
        let mut shots = Vec::new();
        let mut files = Vec::new();
        for half in [1, 2] {
            let pieces = self.pieces(half, frames, &actions);
            shots.extend(pieces.iter().map(|piece| shot(half, piece)));
            let features = self.features(half, frames, &actions, &pieces);
            let shape = vec![frames as usize, self.config.width];
            let data = features.into_iter().map(f64::from).collect();
            files.push((
                format!("{half}_{FEATURES}.npy"),
                npy::write(&Array { shape, data }, false),
            ));
        }
        let labels = Labels { game: about(name), annotations: actions.iter().map(label).collect() };
        let video = |half: i64| Video {
            name: format!("{half}_720p.mkv"),
            start: 0.0,
            duration: frames as f64 / 2.0,
        };
        files.extend([
            ("Labels-v2.json".into(), labels.write()),
            ("Labels-cameras.json".into(), Shots { game: about(name), annotations: shots }.write()),
            ("video.ini".into(), Video::write(&[video(1), video(2)])),
        ]);
        files
    }

    fn actions(&mut self, half: i64, frames: i64) -> Vec<Action> {
        let weights = FREQUENCIES.map(f64::sqrt);
        let (mut actions, mut ms) = (Vec::new(), 0);
        loop {
            ms += self.rng.random_range(1000 * GAPS[0]..1000 * GAPS[1]);
            if ms > 500 * (frames - AFTER) {
                return actions;
            }
            actions.push(Action {
                half,
                ms,
                class: weighted(&mut self.rng, &weights),
                visible: self.rng.random_bool(0.85),
                team: ["home", "away"][self.rng.random_range(0..2)],
                own: direction(&mut self.rng, self.config.width),
            });
        }
    }

    /// The shots of a half, the last of which ends with it.
    fn pieces(&mut self, half: i64, frames: i64, actions: &[Action]) -> Vec<Piece> {
        let mut waiting = self.replays(half, actions);
        let (mut pieces, mut at) = (Vec::<Piece>::new(), 0);
        while at < frames {
            let due = waiting.iter().position(|(frame, _)| *frame <= at);
            let replays = due.map(|place| waiting.remove(place).1);
            let seconds = self.rng.random_range(if replays.is_some() { 4..9 } else { 2..20 });
            at = (at + 2 * seconds).min(frames);
            let camera = match replays {
                Some(_) => [1, 5, 8, 9][self.rng.random_range(0..4)],
                None => weighted(&mut self.rng, &CAMERA_WEIGHTS),
            };
            if let (Some(_), Some(last)) = (&replays, pieces.last_mut()) {
                last.change = "logo";
            }
            let change = match (replays.is_some(), self.rng.random_range(0..4)) {
                (true, _) => "logo",
                (false, 0) => "smooth",
                (false, _) => "abrupt",
            };
            pieces.push(Piece { end: at, camera, change, replays });
        }
        pieces
    }

    /// Actions that are replayed in a half, from the given frame on: most goals, a third of the rest, some
    /// seconds after they happened; and now and then one of the first half in the second.
    fn replays(&mut self, half: i64, actions: &[Action]) -> Vec<(i64, Action)> {
        let mut replays = Vec::new();
        for action in actions {
            let is_here = action.half == half;
            let is_goal = ACTIONS[action.class] == "Goal";
            let share = match (is_here, action.half < half) {
                (true, _) => {
                    if is_goal {
                        0.9
                    } else {
                        0.35
                    }
                }
                (_, earlier) => {
                    if earlier {
                        0.01
                    } else {
                        0.0
                    }
                }
            };
            if self.rng.random_bool(share) {
                let from = if is_here { action.ms / 500 + AFTER } else { 0 };
                replays.push((from + self.rng.random_range(0..20), action.clone()));
            }
        }
        replays
    }

    fn features(
        &mut self,
        half: i64,
        frames: i64,
        actions: &[Action],
        pieces: &[Piece],
    ) -> Vec<f32> {
        let width = self.config.width;
        let mut features = self.noise(frames as usize);
        let mut add = |frame: i64, vector: &[f32], by: f32| {
            let at = frame as usize * width;
            features[at..at + width].iter_mut().zip(vector).for_each(|(x, v)| *x += by * v);
        };
        let mut begin = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let fades = number > 0 && pieces[number - 1].change == "smooth";
            for frame in begin..piece.end {
                let share = if fades { ((frame - begin + 1) as f32 / 4.0).min(1.0) } else { 1.0 };
                add(frame, &self.templates.cameras[piece.camera], 2.0 * share);
                if share < 1.0 {
                    let before = pieces[number - 1].camera;
                    add(frame, &self.templates.cameras[before], 2.0 * (1.0 - share));
                }
                if let Some(action) = &piece.replays {
                    let span = (BEFORE + AFTER) as f32 / (piece.end - begin).max(1) as f32;
                    let dt = ((frame - begin) as f32 * span) as i64 - BEFORE;
                    add(frame, &self.templates.replay, 1.5);
                    add(frame, &action.own, 1.5);
                    if let Some((vector, by)) = self.templates.action(action.class, true, dt) {
                        add(frame, vector, by);
                    }
                }
            }
            if piece.change == "logo" && piece.end < frames {
                (piece.end - 1..=piece.end).for_each(|frame| add(frame, &self.templates.logo, 2.0));
            }
            begin = piece.end;
        }
        for action in actions.iter().filter(|action| action.half == half) {
            for dt in -BEFORE..=AFTER {
                let frame = action.ms / 500 + dt;
                let seen = self.templates.action(action.class, action.visible, dt);
                if let Some((vector, by)) = seen.filter(|_| (0..frames).contains(&frame)) {
                    add(frame, vector, by);
                    add(frame, &action.own, by);
                }
            }
        }
        features
    }

    /// AR(1) noise of the config's length.
    fn noise(&mut self, frames: usize) -> Vec<f32> {
        let width = self.config.width;
        let scale = (self.config.noise / (width as f64).sqrt()) as f32;
        let (memory, fresh) = (0.8_f32, 0.6_f32);
        let mut features: Vec<f32> = (0..frames * width)
            .map(|_| scale * self.rng.sample::<f32, _>(StandardNormal))
            .collect();
        for at in width..features.len() {
            features[at] = memory * features[at - width] + fresh * features[at];
        }
        features
    }
}

fn about(name: &str) -> Map<String, Value> {
    let about = json!({"UrlLocal": name, "UrlYoutube": "", "gameHomeTeam": "Home",
        "gameAwayTeam": "Away", "gameScore": "0 - 0"});
    about.as_object().cloned().unwrap_or_default()
}

fn label(action: &Action) -> Label {
    Label {
        time: GameTime { half: action.half, seconds: action.ms / 1000 },
        position: Some(action.ms),
        label: ACTIONS[action.class].into(),
        team: action.team.into(),
        visible: action.visible,
    }
}

fn shot(half: i64, piece: &Piece) -> Shot {
    let link = piece.replays.as_ref().map(|action| Link {
        half: action.half,
        label: ACTIONS[action.class].into(),
        seconds: action.ms / 1000,
        position: Some(action.ms),
        team: action.team.into(),
        visibility: if action.visible { "visible" } else { "not shown" }.into(),
    });
    Shot {
        time: GameTime { half, seconds: piece.end / 2 },
        position: Some(500 * piece.end),
        label: CAMERAS[piece.camera].into(),
        change: piece.change.into(),
        replay: if link.is_some() { "replay" } else { "real-time" }.into(),
        link,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soccernet::{Judge, Source, check};

    #[test]
    fn every_file_is_what_its_name_says_and_the_same_each_time() {
        let config =
            GamesConfig { train: 2, valid: 1, test: 1, minutes: 4, width: 6, ..Default::default() };
        let made = files(&config);
        assert_eq!(made, files(&config));
        assert_eq!(made.len(), 6 + 4 * 5);
        let checked = check(&Source::memory("made", made.clone()));
        assert_eq!((checked.wrong, checked.unknown), (vec![], vec![]));
        let (name, bytes) = made.iter().find(|(name, _)| name.ends_with("cameras.json")).unwrap();
        let shots = Shots::read(bytes, name, &mut Judge::strict()).unwrap().annotations;
        let ends: Vec<i64> = shots.iter().map(|shot| shot.time.seconds).collect();
        assert_eq!(ends.iter().filter(|end| **end == 240).count(), 2, "both halves end");
        let replays = shots.iter().filter(|shot| shot.link.is_some()).count();
        assert!(replays > 0 && replays < shots.len() / 2, "{replays} of {}", shots.len());
    }
}
