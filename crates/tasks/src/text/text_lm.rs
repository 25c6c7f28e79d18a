//! Language modelling on a plain text file of your own.
//!
//! The first nine tenths are for training, a twentieth for validation, the last twentieth for test:
//! running text is best split by position, so that no sentence is cut into two splits.

use std::sync::Arc;

use moe::config;

use super::{attack, stream::Streams};
use crate::{DataDir, DataError, LoadTask, Task};

config! {
    /// Which file, and how it is shown.
    pub struct TextLmConfig {
        /// The file, relative to the data folder.
        pub file: String = "tinyshakespeare/input.txt".into(),
        /// Bytes in a window, T.
        pub length: usize = 64,
        /// The share of words replaced by AAA where the test text is measured under attack; with 0 it
        /// is not.
        pub attack: f64 = 0.0,
    }
}

/// Next-byte prediction on a text file.
pub struct TextLm;

impl LoadTask for TextLm {
    type Config = TextLmConfig;
    const NAME: &'static str = "text-lm";
    const ABOUT: &'static str = "next-byte prediction on a text file of your own (--data-dir)";
    const SOURCE: &'static str = "a plain text file";

    fn load(config: &TextLmConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        attack::check(Self::NAME, config.attack)?;
        let (path, bytes) = data.read(&config.file)?;
        let (valid, test) = (bytes.len() / 20 * 18, bytes.len() / 20 * 19);
        let texts = [&bytes[..valid], &bytes[valid..test], &bytes[test..]];
        let too_short = |split: &str| {
            format!(
                "{} bytes are too short for windows of {} in {split}",
                bytes.len(),
                config.length
            )
        };
        match Streams::new(texts, config.length) {
            Ok(_) if config.length == 0 => {
                Err(DataError::Content { path, message: "length = 0: it is at least 1".into() })
            }
            Ok(streams) => Ok(Arc::new(streams.with_attack(texts[2], config.attack))),
            Err(split) => Err(DataError::Content { path, message: too_short(split) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    #[test]
    fn the_parts_are_cut_by_position() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "0123456789".repeat(20)).unwrap();
        let config = TextLmConfig { file: "a.txt".into(), length: 4, attack: 0.0 };
        let data = DataDir(Some(folder.path().into()));
        let task = TextLm::load(&config, &data).unwrap();
        assert_eq!(task.len(Split::Train), 44); // 180 bytes, (180 - 1) / 4
        assert_eq!((task.len(Split::Valid), task.len(Split::Test)), (2, 2)); // 10 bytes each

        let err = TextLm::load(&TextLmConfig { length: 10, ..config }, &data).err().unwrap();
        assert!(err.to_string().contains("200 bytes are too short for windows of 10 in valid"));
    }
}
