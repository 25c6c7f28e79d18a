//! The config of sequences of boxes, and checks of the sizes of generated ones.

use moe::config;

use crate::data::fits;

/// The maximum number of players of a generated sequence.
const PLAYERS: usize = 500;
/// The number of values of a box and of its example.
const NUMBERS: usize = 32;

config! {
    /// Sequences of boxes: real or generated.
    pub struct SequencesConfig {
        /// The folder with `train` and `test` in the data folder, and perhaps `valid`; the last fifth of the
        /// training sequences are the validation split otherwise. Sequences are generated if none is given.
        pub folder: Option<String> = None,
        /// Generated sequences for training.
        pub train: usize = 8,
        /// Generated sequences of the validation split.
        pub valid: usize = 2,
        /// Generated sequences of the test split.
        pub test: usize = 4,
        /// Frames of a generated sequence.
        #[serde(alias = "pictures")]
        pub frames: usize = 80,
        /// Players of a generated sequence, without the ball.
        pub players: usize = 22,
    }
}

impl SequencesConfig {
    /// Checks the sizes; `crop` is the number of values that are kept for a box besides the box itself.
    pub(super) fn check(&self, crop: usize) -> Result<(), String> {
        let sizes = [
            ("train", self.train, 1),
            ("valid", self.valid, 1),
            ("test", self.test, 1),
            ("frames", self.frames, 4),
            ("players", self.players, 1),
        ];
        if let Some((key, value, least)) = sizes.iter().find(|(_, value, least)| value < least) {
            return Err(format!("sequences.{key} = {value}: must be at least {least}"));
        }
        if self.folder.is_some() {
            return Ok(());
        }
        if self.players > PLAYERS {
            return Err(format!("sequences.players = {}: must be at most {PLAYERS}", self.players));
        }
        let counts = [
            ("sequences.train", self.train),
            ("sequences.valid", self.valid),
            ("sequences.test", self.test),
        ];
        let each = [
            ("sequences.frames", self.frames),
            ("sequences.players", self.players),
            ("numbers of a box", NUMBERS + crop),
        ];
        fits(&counts, &each)
    }
}
