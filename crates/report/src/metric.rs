//! The known metrics and their directions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The direction in which a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Accuracy.
    Higher,
    /// Loss.
    Lower,
}

impl Better {
    /// The value with a sign that makes higher better.
    pub fn oriented(self, value: f64) -> f64 {
        match self {
            Better::Higher => value,
            Better::Lower => -value,
        }
    }
}

impl fmt::Display for Better {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
        })
    }
}

impl FromStr for Better {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "higher" => Ok(Better::Higher),
            "lower" => Ok(Better::Lower),
            other => Err(Error::unknown("direction", other, ["higher", "lower"])),
        }
    }
}

/// The metrics whose direction is known. The flag says whether a table shows the metric only if it has no
/// other metric, because it is equivalent to another one or less informative.
const KNOWN: [(&str, Better, bool); 33] = [
    ("accuracy", Better::Higher, false),
    ("choice_accuracy", Better::Higher, false),
    ("choice_accuracy_per_token", Better::Higher, false),
    ("choice_accuracy_per_character", Better::Higher, false),
    ("balanced_accuracy", Better::Higher, false),
    ("top5_accuracy", Better::Higher, false),
    ("f1", Better::Higher, false),
    ("auc", Better::Higher, false),
    ("bleu", Better::Higher, false),
    ("chrf", Better::Higher, false),
    ("exact_match", Better::Higher, false),
    ("r2", Better::Higher, false),
    ("a_mAP", Better::Higher, false),
    ("a_mAP_tight", Better::Higher, false),
    ("a_AP", Better::Higher, false),
    ("a_AP_tight", Better::Higher, false),
    ("mAP", Better::Higher, false),
    ("mIoU", Better::Higher, false),
    ("rank_1", Better::Higher, false),
    ("AC_5", Better::Higher, false),
    ("AC_20", Better::Higher, false),
    ("final", Better::Higher, false),
    ("completeness", Better::Higher, false),
    ("HOTA", Better::Higher, false),
    ("bits_per_byte", Better::Lower, false),
    ("perplexity", Better::Lower, false),
    ("attacked_bits_per_byte", Better::Lower, false),
    ("attacked_perplexity", Better::Lower, false),
    ("error", Better::Lower, false),
    ("mse", Better::Lower, false),
    ("mae", Better::Lower, false),
    ("bits_per_character", Better::Lower, true),
    ("loss", Better::Lower, true),
];

/// The throughput of training.
pub(crate) const SPEED: &str = "tokens_per_second";
/// The time of one translation in milliseconds.
pub(crate) const LATENCY: &str = "latency_ms";
/// The busiest expert's load over the mean load.
pub(crate) const LOAD: &str = "max_over_mean_load";
/// The share of units assigned to no expert.
pub(crate) const DROPPED: &str = "dropped_share";

/// Measures of which every search has at least one.
pub(crate) const OF_SEARCHES: [&str; 2] = ["evaluations", "rank_mae"];

/// The direction in which a metric improves, by its name; none if it is not known.
pub fn direction(metric: &str) -> Option<Better> {
    KNOWN.iter().find(|(name, ..)| *name == metric).map(|(_, better, _)| *better)
}

/// The range of a metric, which no network can leave.
pub(crate) fn range(metric: &str) -> [f64; 2] {
    let share = ["accuracy", "_share", "_rate", "_saturation"];
    let share = share.iter().any(|end| metric.ends_with(end));
    match metric {
        "f1" | "auc" | "exact_match" | "weight_entropy" | "load_entropy" | "choice_entropy"
        | "saturation" => [0.0, 1.0],
        "r2" => [f64::NEG_INFINITY, 1.0],
        "max_over_mean_load" | "early_load" => [1.0, f64::INFINITY],
        "tokens_per_second" | "decoding_tokens_per_second" | "latency_ms" | "bytes_per_input" => {
            [0.0, f64::INFINITY]
        }
        "bleu" | "chrf" => [0.0, 100.0],
        "rank_spearman" => [-1.0, 1.0],
        "a_mAP" | "a_mAP_tight" | "a_AP" | "a_AP_tight" | "mAP" | "mIoU" | "rank_1" | "HOTA"
        | "AC_5" | "AC_10" | "AC_20" | "final" | "completeness" => [0.0, 1.0],
        _ if share || metric.contains("accuracy_per_") => [0.0, 1.0],
        _ if direction(metric) == Some(Better::Lower) => [0.0, f64::INFINITY],
        _ => [f64::NEG_INFINITY, f64::INFINITY],
    }
}

/// A range as text.
pub(crate) fn in_words([low, high]: [f64; 2]) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => format!("a number from {low} to {high}"),
        (true, false) => format!("a number of at least {low}"),
        (false, true) => format!("a number up to {high}"),
        (false, false) => "a number".into(),
    }
}

/// The metric of a training curve: its name without split and layer, so `accuracy` of
/// `valid/accuracy`, `loss` of `train_loss` and `load_entropy` of `load entropy, layer 1`.
pub(crate) fn metric_of_curve(name: &str) -> String {
    let name = name.split(", layer ").next().unwrap_or(name);
    let bare = name.rsplit('/').next().unwrap_or(name);
    let splits = ["train_", "valid_", "test_"];
    let bare = splits.iter().find_map(|split| bare.strip_prefix(split)).unwrap_or(bare);
    bare.replace(' ', "_")
}

/// The range of the difference of two values of a metric.
pub(crate) fn range_of_difference(metric: &str) -> [f64; 2] {
    let [low, high] = range(metric);
    [low - high, high - low]
}

/// The quality metrics among these, in their order: the primary ones if there are any. The loss is kept
/// beside BLEU, because it measures another property of a translation than the words that were written.
pub(crate) fn quality<'a>(metrics: &[&'a str]) -> Vec<&'a str> {
    let of_rank = |second: bool| {
        let known = move |metric: &&&str| KNOWN.iter().any(|k| k.0 == **metric && k.2 == second);
        metrics.iter().filter(known).copied().collect::<Vec<_>>()
    };
    let mut first = of_rank(false);
    if first.contains(&"bleu") && metrics.contains(&"loss") {
        // Perplexity is a function of the loss.
        first.retain(|metric| *metric != "perplexity");
        first.push("loss");
    }
    if first.is_empty() { of_rank(true).into_iter().take(1).collect() } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_rate_metrics_step_back() {
        assert_eq!(quality(&["loss", "accuracy", "seconds"]), ["accuracy"]);
        assert_eq!(quality(&["perplexity", "loss"]), ["perplexity"]);
        let translation = ["bleu", "chrf", "loss", "perplexity"];
        assert_eq!(quality(&translation), ["bleu", "chrf", "loss"]);
        assert_eq!(quality(&["entropy"]), [] as [&str; 0]);
    }

    #[test]
    fn shares_lie_between_0_and_1() {
        for metric in ["accuracy", "router_accuracy", "dropped_share", "expert_change_rate"] {
            assert_eq!(range(metric), [0.0, 1.0], "{metric}");
            assert_eq!(range_of_difference(metric), [-1.0, 1.0], "{metric}");
        }
        assert_eq!([range("HOTA"), range("rank_spearman")], [[0.0, 1.0], [-1.0, 1.0]]);
        assert_eq!(range("bits_per_byte"), [0.0, f64::INFINITY]);
        assert_eq!(range("surprise"), [f64::NEG_INFINITY, f64::INFINITY]);
        assert_eq!(range_of_difference("loss"), [f64::NEG_INFINITY, f64::INFINITY]);
    }

    #[test]
    fn a_direction_is_known_or_asked_for() {
        assert_eq!(direction("accuracy"), Some(Better::Higher));
        assert_eq!(direction("bits_per_byte"), Some(Better::Lower));
        assert_eq!(direction("surprise"), None);
        assert_eq!("lower".parse::<Better>().unwrap(), Better::Lower);
        let err = "up".parse::<Better>().unwrap_err().to_string();
        assert_eq!(err, "no direction is named \"up\"; known: higher, lower");
    }
}
