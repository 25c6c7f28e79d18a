//! The blocks of a network that have a MoE layer.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The blocks that have a MoE layer; the others keep their dense feed-forward network.
/// In a config: `"every 2"`, `"last 2"`, `"last odd 2"`, `"all"`, `"none"`, or a list of block numbers
/// from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Placement {
    /// Every n-th block, the last of each n: `every 2` of 4 is 1 and 3.
    Every(usize),
    /// The last n blocks.
    Last(usize),
    /// The last n blocks with an odd number, counted from 0: `last odd 2` of 8 is 5 and 7. V-MoE's
    /// "Last-n".
    LastOdd(usize),
    /// These blocks, counted from 0.
    Blocks(Vec<usize>),
}

impl Placement {
    /// All blocks.
    pub const ALL: Placement = Placement::Every(1);
    /// No block: a dense network.
    pub const NONE: Placement = Placement::Blocks(Vec::new());

    /// Whether block number `block` of `depth` has a MoE layer.
    pub fn has(&self, block: usize, depth: usize) -> bool {
        match self {
            Placement::Every(n) => (block + 1).is_multiple_of(*n),
            Placement::Last(n) => block + n >= depth,
            Placement::LastOdd(n) => !block.is_multiple_of(2) && block + 2 * n >= depth,
            Placement::Blocks(blocks) => blocks.contains(&block),
        }
    }

    /// Checks that all named blocks exist in a network of `depth` blocks.
    pub fn check(&self, depth: usize) -> Result<(), String> {
        match self {
            Placement::Blocks(blocks) => match blocks.iter().find(|block| **block >= depth) {
                Some(block) => {
                    Err(format!("layers: unknown block {block}; known: 0 to {}", depth - 1))
                }
                None => Ok(()),
            },
            Placement::Last(n) if *n > depth => {
                Err(format!("layers = \"last {n}\": there are only {depth} blocks"))
            }
            Placement::LastOdd(n) if *n > depth / 2 => Err(format!(
                "layers = \"last odd {n}\": there are only {} odd-numbered blocks",
                depth / 2
            )),
            Placement::Every(n) if *n > depth => Err(format!(
                "layers = \"every {n}\": selects none of {depth} blocks; use \"none\" instead"
            )),
            _ => Ok(()),
        }
    }
}

const FORMS: &str =
    r#""every N", "last N", "last odd N", "all", "none", or a list of block numbers"#;

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("layers = {text:?}: expected {FORMS}");
        let count = |n: &str| n.parse().ok().filter(|n| *n > 0).ok_or_else(wrong);
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["all"] => Ok(Placement::ALL),
            ["none"] => Ok(Placement::NONE),
            ["every", n] => Ok(Placement::Every(count(n)?)),
            ["last", n] => Ok(Placement::Last(count(n)?)),
            ["last", "odd", n] => Ok(Placement::LastOdd(count(n)?)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<Value> for Placement {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => text.parse(),
            Value::Array(_) => serde_json::from_value(value)
                .map(Placement::Blocks)
                .map_err(|err| format!("layers: {err}")),
            other => Err(format!("layers = {other}: expected {FORMS}")),
        }
    }
}

impl From<Placement> for Value {
    fn from(placement: Placement) -> Value {
        match placement {
            Placement::ALL => "all".into(),
            Placement::Every(n) => format!("every {n}").into(),
            Placement::Last(n) => format!("last {n}").into(),
            Placement::LastOdd(n) => format!("last odd {n}").into(),
            Placement::Blocks(blocks) if blocks.is_empty() => "none".into(),
            Placement::Blocks(blocks) => blocks.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Vec<usize> {
        let placement: Placement = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&placement).unwrap(), text);
        (0..4).filter(|block| placement.has(*block, 4)).collect()
    }

    #[test]
    fn the_forms() {
        assert_eq!(blocks(r#""every 2""#), [1, 3]);
        assert_eq!(blocks(r#""last 3""#), [1, 2, 3]);
        assert_eq!(blocks(r#""last odd 1""#), [3]);
        assert_eq!(blocks(r#""all""#), [0, 1, 2, 3]);
        assert_eq!(blocks(r#""none""#), [] as [usize; 0]);
        assert_eq!(blocks("[0,2]"), [0, 2]);
    }

    #[test]
    fn v_moe_places_by_its_own_rules() {
        let has = |placement: Placement, depth| -> Vec<usize> {
            (0..depth).filter(|block| placement.has(*block, depth)).collect()
        };
        assert_eq!(has(Placement::LastOdd(2), 8), [5, 7]); // S/32 Last-2
        assert_eq!(has(Placement::LastOdd(5), 32), [23, 25, 27, 29, 31]); // H/14 Last-5
        assert_eq!(has(Placement::LastOdd(2), 5), [1, 3]);
        assert_eq!(has(Placement::Every(3), 8), [2, 5]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!("every 0".parse::<Placement>().unwrap_err().contains("\"every N\""));
        assert!("evry 2".parse::<Placement>().is_err());
        assert!(Placement::Blocks(vec![1, 4]).check(4).unwrap_err().contains("unknown block 4"));
        assert!(Placement::Last(5).check(4).is_err());
        assert!(Placement::Every(5).check(4).is_err());
        assert!(Placement::LastOdd(3).check(5).unwrap_err().contains("only 2 odd-numbered blocks"));
        assert!(Placement::NONE.check(4).is_ok());
    }
}
