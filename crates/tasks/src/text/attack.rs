//! An attack on text: words are replaced by a meaningless one.
//!
//! Morris et al. *TextAttack*. EMNLP 2020, demonstrations. <https://arxiv.org/abs/2005.05909>: its word
//! swap, with a generic token as the only candidate.
//! Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>: language models measured on
//! text attacked in this way.
//!
//! Every word is replaced independently with the same probability. A word that is replaced at a small rate is
//! also replaced at every larger one. A word is a run of letters, of bytes beyond ASCII and of apostrophes.

use moe::{ConfigError, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The text that replaces a word.
const GENERIC: &[u8] = b"AAA";

/// The text with a share `rate` of its words replaced, the same words each time. Places between words are
/// moved to their new positions.
pub(crate) fn attacked<'a>(
    text: &[u8],
    rate: f64,
    places: impl IntoIterator<Item = &'a mut usize>,
) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash("attack"));
    let mut places = places.into_iter().peekable();
    let (mut before, mut after) = (0, Vec::new());
    for piece in text.chunk_by(|a, b| in_word(*a) == in_word(*b)) {
        let start = after.len();
        match in_word(piece[0]) && rng.random::<f64>() < rate {
            true => after.extend(GENERIC),
            false => after.extend(piece),
        }
        while let Some(place) = places.next_if(|place| **place <= before + piece.len()) {
            *place = (start + *place - before).min(after.len());
        }
        before += piece.len();
    }
    after
}

/// Checks that the rate is a share.
pub(crate) fn check(task: &str, rate: f64) -> Result<(), ConfigError> {
    match (0.0..=1.0).contains(&rate) {
        true => Ok(()),
        false => Err(ConfigError::Invalid {
            what: "task",
            name: task.into(),
            message: format!("attack = {rate}: must be from 0 (no words) to 1 (all words)"),
        }),
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'\'' || byte >= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_way_and_what_is_between_them_stays() {
        let text = b"It isn't 12 o'clock,\nyet.";
        assert_eq!(attacked(text, 0.0, []), text);
        let mut places = [0, 8, 21, 25];
        assert_eq!(attacked(text, 1.0, &mut places), b"AAA AAA 12 AAA,\nAAA.");
        assert_eq!(places, [0, 7, 16, 20]); // the beginning, after "isn.t", before "yet", the end
    }

    #[test]
    fn a_share_is_replaced_and_a_larger_share_has_the_smaller_in_it() {
        let text = "word ".repeat(4000);
        let hit = |rate| -> Vec<bool> {
            let text = attacked(text.as_bytes(), rate, []);
            text.split(|byte| *byte == b' ').map(|word| word == GENERIC).collect()
        };
        let (some, more) = (hit(0.1), hit(0.3));
        let share = some.iter().filter(|hit| **hit).count() as f64 / 4000.0;
        // Its standard error is sqrt(0.1 * 0.9 / 4000) = 0.0047.
        assert!((share - 0.1).abs() < 4.0 * 0.0047, "{share}");
        assert!(some.iter().zip(&more).all(|(some, more)| !some || *more));
    }

    #[test]
    fn impossible_rates_are_named() {
        let err = check("text-lm", 1.5).unwrap_err().to_string();
        assert!(err.contains("attack = 1.5"), "{err}");
        for rate in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300, -0.1] {
            assert!(check("text-lm", rate).is_err(), "{rate}");
        }
        assert!(check("text-lm", 0.1).is_ok() && check("text-lm", -0.0).is_ok());
    }
}
