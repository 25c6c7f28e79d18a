//! The config of games, and checks of the sizes of generated ones.

use moe::config;
use serde::{Deserialize, Serialize};

use crate::data::fits;

/// The treatment of games that are trained on here and tested in another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The task is not loaded.
    Refuse,
    /// They are left out of training.
    Exclude,
    /// The games stay in training; the other tasks' lists of games are not read.
    Unchecked,
}

config! {
    /// Games: real or generated.
    pub struct GamesConfig {
        /// The folder of real games in the data folder: lists of games, and `LEAGUE/SEASON/GAME`. Games
        /// are generated if none is given.
        pub folder: Option<String> = None,
        /// Features of real games: `1_NAME.npy` and `2_NAME.npy` in the folder of each game.
        pub features: String = "ResNET_TF2_PCA512".to_string(),
        /// Games to train on that are tested in another task: `"refuse"` or `"exclude"`. The official
        /// splits of spotting and of camera shots overlap.
        pub overlap: Overlap = Overlap::Refuse,
        /// Generated games for training.
        pub train: usize = 20,
        /// Generated games of the validation split.
        pub valid: usize = 5,
        /// Generated games of the test split.
        pub test: usize = 5,
        /// Minutes of a generated half.
        pub minutes: usize = 10,
        /// Features of a generated frame.
        pub width: usize = 64,
        /// The length of the noise in a generated frame; that of an action is about 1.
        pub noise: f64 = 1.0,
    }
}

impl GamesConfig {
    /// Checks the sizes.
    pub(super) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("train", self.train),
            ("valid", self.valid),
            ("test", self.test),
            ("width", self.width),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, value)| *value == 0) {
            return Err(format!("games.{key} = 0: must be at least 1"));
        }
        if !(2..=58).contains(&self.minutes) {
            return Err(format!("games.minutes = {}: must be from 2 to 58", self.minutes));
        }
        if !self.noise.is_finite() || self.noise < 0.0 {
            return Err(format!("games.noise = {}: must be at least 0", self.noise));
        }
        if self.folder.is_some() {
            return Ok(());
        }
        let counts =
            [("games.train", self.train), ("games.valid", self.valid), ("games.test", self.test)];
        let each = [("frames of a game", 240 * self.minutes), ("games.width", self.width)];
        fits(&counts, &each)
    }
}

#[cfg(test)]
impl GamesConfig {
    /// A few short games with little noise.
    pub(super) fn few() -> Self {
        Self { train: 3, valid: 1, test: 1, minutes: 4, width: 16, noise: 0.2, ..Self::default() }
    }
}

/// The official lists of games of a group of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The lists of spotting and grounding.
    Actions,
    /// The lists of camera shots.
    Cameras,
}

impl List {
    /// Both groups.
    pub(crate) const ALL: [Self; 2] = [Self::Actions, Self::Cameras];

    /// The name of the list of a split.
    pub(crate) fn file(self, split: &str) -> String {
        match self {
            Self::Actions => format!("SoccerNetGames{split}.json"),
            Self::Cameras => format!("SoccerNetCameraChanges{split}.json"),
        }
    }
}
