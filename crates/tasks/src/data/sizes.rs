//! Sizes of generated sets, which are checked before anything is drawn.

/// The maximum number of values of a generated set: 1 GiB of floats.
const NUMBERS: usize = 1 << 28;

/// Checks that a generated set is not too large to be drawn: the number of its examples is the sum of
/// `counts`, the number of values of an example the product of `each`. The names in both are for the message.
pub(crate) fn fits(counts: &[(&str, usize)], each: &[(&str, usize)]) -> Result<(), String> {
    let examples = counts.iter().fold(0_usize, |sum, (_, count)| sum.saturating_add(*count));
    let total = each.iter().fold(examples, |product, (_, size)| product.saturating_mul(*size));
    if total <= NUMBERS {
        return Ok(());
    }
    let named = counts.iter().chain(each).map(|(name, value)| format!("{name} = {value}"));
    let named = named.collect::<Vec<_>>().join(", ");
    Err(format!("{named}: more than {NUMBERS} numbers; a generated set must have fewer"))
}

#[cfg(test)]
mod tests {
    use moe::Choice;
    use serde_json::{Value, json};

    use super::*;
    use crate::{DataDir, all};

    #[test]
    fn sums_and_products_do_not_overflow() {
        assert_eq!(fits(&[("a", 3), ("b", 1)], &[("c", NUMBERS / 4)]), Ok(()));
        let error = fits(&[("a", 4), ("b", 1)], &[("c", NUMBERS / 4)]).unwrap_err();
        let expected = "a = 4, b = 1, c = 67108864: more than 268435456 numbers; a generated set must \
                        have fewer";
        assert_eq!(error, expected);
        assert!(fits(&[("a", usize::MAX), ("b", usize::MAX)], &[("c", usize::MAX)]).is_err());
        assert_eq!(fits(&[("a", usize::MAX)], &[("c", 0)]), Ok(()));
    }

    /// Each of these would take hours or all memory, and is refused at once.
    #[test]
    fn every_generated_task_refuses_huge_sizes_before_it_draws() {
        let all = all();
        let inner = |key: &str, size: &str| (key.to_string(), json!({ size: 1_000_000_000 }));
        let plain = |size: &str| (size.to_string(), json!(1_000_000_000));
        let mut cases: Vec<(&str, (String, Value))> = Vec::new();
        for size in ["train", "test", "tokens", "patterns"] {
            cases.push(("patterns", plain(size)));
        }
        for size in ["train", "test", "width"] {
            cases.push(("planted-clusters", plain(size)));
        }
        for size in ["train", "valid", "test", "width"] {
            for task in ["action-spotting", "replay-grounding", "camera-segmentation"] {
                cases.push((task, inner("games", size)));
            }
            cases.push(("shot-boundary", inner("games", size)));
        }
        for size in ["train", "valid", "test"] {
            cases.push(("player-tracking", inner("sequences", size)));
            cases.push(("player-reidentification", inner("players", size)));
            cases.push(("camera-calibration", inner("images", size)));
        }
        for size in ["frames", "players"] {
            cases.push(("player-tracking", inner("sequences", size)));
            cases.push(("appearance-tracking", inner("sequences", size)));
        }
        for size in ["players", "views"] {
            cases.push(("player-reidentification", inner("players", size)));
        }
        cases.push(("digits", plain("side")));
        let started = std::time::Instant::now();
        for (task, (key, value)) in cases {
            let choice = Choice::of(task).with(&key, value.clone());
            let loaded = (all.get(task).unwrap().build)(&choice, &DataDir::default());
            let error = loaded.err().unwrap_or_else(|| panic!("{task} {key} {value}")).to_string();
            assert!(error.contains(" = 1000000000"), "{task} {key} {value}: {error}");
        }
        assert!(started.elapsed().as_secs() < 30);
    }
}
