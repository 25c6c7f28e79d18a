//! What a paper says, tested on results that are there: `[[claim]]` of a suite.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

use super::check::fits;
use crate::{
    Cell, Column, Error, Kind, Runs, Table,
    number::decimals,
    setting::Scores,
    stats::{Mean, Paired, least_margin, mean, paired_t, tost},
};

/// A sentence of a paper, and what has to be seen here if it is true.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What the paper says.
    pub claim: String,
    /// How large the effect is there.
    pub effect: String,
    /// Column and value of the runs that it is about; empty is all of them.
    #[serde(rename = "where", default)]
    pub place: BTreeMap<String, Value>,
    /// The metric.
    pub metric: String,
    /// The split.
    #[serde(default = "test")]
    pub split: String,
    /// The method that it is about.
    pub method: String,
    /// The method that it is compared with, seed by seed; if left out, the metric itself counts.
    #[serde(default)]
    pub against: Option<String>,
    /// The claim holds above this.
    #[serde(default)]
    pub above: Option<f64>,
    /// The claim holds below this.
    #[serde(default)]
    pub below: Option<f64>,
    /// The claim holds if the difference is shown to be smaller than this share of the mean of
    /// `against`, to either side: by two one-sided tests at 5 %.
    #[serde(default)]
    pub within: Option<f64>,
    /// What a reader should know of the outcome: why it is not as in the paper, say.
    #[serde(default)]
    pub note: String,
}

fn test() -> String {
    "test".into()
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The whole interval lies where the claim holds.
    Reproduced,
    /// The whole interval lies where it does not hold.
    NotReproduced,
    /// The interval lies on both sides, or there is none.
    Undecided,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finding::Reproduced => "reproduced",
            Finding::NotReproduced => "not reproduced",
            Finding::Undecided => "undecided",
        })
    }
}

/// A claim with what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// The claim.
    pub claim: Claim,
    /// The mean difference, or the mean, with its 95 % t interval; none without runs.
    pub mean: Option<Mean>,
    /// The least share of the other method's mean within which the tests would show that there is no
    /// difference, for a claim that there is none.
    pub least: Option<f64>,
    /// The verdict.
    pub finding: Finding,
}

/// Tests claims, each by itself, without correction for how many there are.
pub fn claims(runs: &Runs, claims: &[Claim]) -> Result<Vec<Tested>, Error> {
    claims.iter().map(|claim| tested(runs, claim)).collect()
}

fn tested(runs: &Runs, claim: &Claim) -> Result<Tested, Error> {
    sensible(claim)?;
    let of = |method: &str| scores(runs, claim, method);
    let one = of(&claim.method)?;
    let Some(other) = &claim.against else {
        let mean = mean(&one.into_values().collect::<Vec<_>>());
        return Ok(Tested {
            claim: claim.clone(),
            mean,
            least: None,
            finding: finding(claim, mean),
        });
    };
    let other = of(other)?;
    let pairs = || one.iter().filter_map(|(seed, value)| Some((value, other.get(seed)?)));
    let differences: Vec<f64> = pairs().map(|(one, other)| one - other).collect();
    let difference = mean(&differences);
    let Some(within) = claim.within else {
        let finding = finding(claim, difference);
        return Ok(Tested { claim: claim.clone(), mean: difference, least: None, finding });
    };
    let whole = mean(&pairs().map(|(_, other)| *other).collect::<Vec<_>>());
    let whole = whole.map(|whole| whole.mean.abs()).filter(|whole| *whole > 0.0);
    let paired = paired_t(&differences).zip(whole);
    let least = paired.map(|(paired, whole)| least_margin(&paired) / whole);
    let finding = paired.map_or(Finding::Undecided, |(p, whole)| equal(&p, within * whole));
    Ok(Tested { claim: claim.clone(), mean: difference, least, finding })
}

/// Does a claim say what has to be seen?
fn sensible(claim: &Claim) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::Question(format!("claim {:?}: {what}", claim.claim)));
    let bounded = claim.above.is_some() || claim.below.is_some();
    match claim.within {
        None if bounded => Ok(()),
        None => wrong("say above or below which number, or within which share"),
        Some(_) if bounded => wrong("`within` stands alone, without above and below"),
        Some(_) if claim.against.is_none() => wrong("`within` needs a method to be `against`"),
        Some(share) if share > 0.0 && share.is_finite() => Ok(()),
        Some(share) => wrong(&format!("within = {share}: it is larger than 0")),
    }
}

/// The value of each seed.
fn scores(runs: &Runs, claim: &Claim, method: &str) -> Result<Scores, Error> {
    let mut scores = Scores::new();
    for row in runs.rows.iter().filter(|row| row.method == method) {
        let asked = row.metric == claim.metric && row.split == claim.split && !row.is_gap();
        if !asked || !fits(row, &claim.place)? {
            continue;
        }
        let Some(value) = row.value.filter(|value| value.is_finite()) else { continue };
        if scores.insert(row.seed, value).is_some() {
            return Err(Error::Question(format!(
                "claim {:?}: several runs of {method:?} have seed {}; say which in `where`",
                claim.claim, row.seed
            )));
        }
    }
    Ok(scores)
}

fn finding(claim: &Claim, mean: Option<Mean>) -> Finding {
    let Some(Mean { mean, half: Some(half), .. }) = mean else { return Finding::Undecided };
    let (low, high) = (mean - half, mean + half);
    let above = claim.above.unwrap_or(f64::NEG_INFINITY);
    let below = claim.below.unwrap_or(f64::INFINITY);
    if low > above && high < below {
        Finding::Reproduced
    } else if high < above || low > below {
        Finding::NotReproduced
    } else {
        Finding::Undecided
    }
}

/// Is the difference smaller than the margin?
fn equal(paired: &Paired, margin: f64) -> Finding {
    if tost(paired, margin) < 0.05 {
        Finding::Reproduced
    } else if paired.low > margin || paired.high < -margin {
        Finding::NotReproduced
    } else {
        Finding::Undecided
    }
}

/// What became of the claims of a paper, one row each.
pub fn claims_table(paper: &str, tested: &[Tested]) -> Table {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    let notes = tested.iter().filter(|tested| !tested.claim.note.is_empty());
    Table {
        title: paper.into(),
        columns: vec![
            words("claim", "claim"),
            words("effect", "in the paper"),
            words("measured", "measured here"),
            words("holds", "holds if"),
            words("ours", "ours, 95 % interval"),
            words("verdict", "verdict"),
        ],
        rows: tested.iter().map(row).collect(),
        notes: notes.map(|t| format!("{}: {}", t.claim.claim, t.claim.note)).collect(),
        ..Table::default()
    }
}

fn row(tested: &Tested) -> Vec<Cell> {
    let claim = &tested.claim;
    let measured = match &claim.against {
        Some(other) => format!("{} of {:?} minus {other:?}", claim.metric, claim.method),
        None => format!("{} of {:?}", claim.metric, claim.method),
    };
    let place = claim.place.iter().map(|(column, value)| match value.as_str() {
        Some(text) => format!(", {column} {text}"),
        None => format!(", {column} {value}"),
    });
    let measured = place.fold(measured, |text, place| text + &place);
    let bounds = [("above", claim.above), ("below", claim.below)];
    let bounds = bounds.iter().filter_map(|(side, x)| x.map(|x| format!("{side} {x}")));
    let bounds = match claim.within {
        Some(share) => format!("within {} % of it", (share * 1000.0).round() / 10.0),
        None => bounds.collect::<Vec<_>>().join(" and "),
    };
    let ours = ours(tested.mean, claim.against.is_some());
    let ours = match tested.least {
        Some(least) => format!("{ours}; shown within {:.1} %", (least * 1000.0).ceil() / 10.0),
        None => ours,
    };
    let cells = [
        claim.claim.clone(),
        claim.effect.clone(),
        measured,
        bounds,
        ours,
        tested.finding.to_string(),
    ];
    cells.map(Cell::Words).into()
}

fn ours(mean: Option<Mean>, difference: bool) -> String {
    let Some(Mean { mean, half, n }) = mean else { return "no runs yet".into() };
    let digits = decimals(half);
    let signed =
        |x: f64| if difference { format!("{x:+.digits$}") } else { format!("{x:.digits$}") };
    match half {
        Some(half) => {
            let (low, high) = (signed(mean - half), signed(mean + half));
            format!("{}, {low} to {high} ({n} seeds)", signed(mean))
        }
        None => format!("{} ({n} seeds, no interval)", signed(mean)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    fn claim(json: &str) -> Claim {
        let head = r#"{"claim": "It is so", "effect": "a lot", "metric": "accuracy", "#;
        serde_json::from_str(&format!("{head}{json}}}")).unwrap()
    }

    fn test(json: &str) -> Tested {
        claims(&fixture::runs(), &[claim(json)]).unwrap().remove(0)
    }

    #[test]
    fn the_three_findings() {
        // switch minus dense is 0.022, with an interval of about 0.008 to each side.
        let against = r#""method": "switch", "against": "dense""#;
        let finding = |bounds: &str| test(&format!("{against}, {bounds}")).finding;
        assert_eq!(finding(r#""above": 0.0"#), Finding::Reproduced);
        assert_eq!(finding(r#""above": 0.02"#), Finding::Undecided);
        assert_eq!(finding(r#""above": 0.05"#), Finding::NotReproduced);
        assert_eq!(finding(r#""above": -0.01, "below": 0.01"#), Finding::NotReproduced);
        assert_eq!(finding(r#""above": 0.0, "below": 0.05"#), Finding::Reproduced);
        // The other way round.
        let turned = test(r#""method": "dense", "against": "switch", "above": 0.0"#);
        assert_eq!(turned.finding, Finding::NotReproduced);
        assert!((turned.mean.unwrap().mean + 0.022).abs() < 1e-12);
    }

    #[test]
    fn equality_has_to_be_shown() {
        // The difference is 0.022, with an interval of about 0.008; dense has about 0.9.
        let of = |within: f64| {
            let claim = r#""method": "switch", "against": "dense", "within""#;
            test(&format!("{claim}: {within}"))
        };
        assert_eq!(of(0.05).finding, Finding::Reproduced);
        assert_eq!(of(0.025).finding, Finding::Undecided);
        assert_eq!(of(0.01).finding, Finding::NotReproduced);
        let least = of(0.05).least.unwrap();
        assert!(0.025 < least && least < 0.05, "{least}");
        assert_eq!(of(least * 1.001).finding, Finding::Reproduced);
        assert_eq!(of(least * 0.999).finding, Finding::Undecided);
        // The other way round it is the same.
        let turned = test(r#""method": "dense", "against": "switch", "within": 0.05"#);
        assert_eq!(turned.finding, Finding::Reproduced);
    }

    #[test]
    fn no_difference_at_all_is_no_improvement() {
        let same = test(r#""method": "switch", "against": "switch", "above": 0.0"#);
        assert_eq!((same.mean.unwrap().mean, same.finding), (0.0, Finding::Undecided));
    }

    #[test]
    fn too_few_runs_decide_nothing() {
        let two = test(r#""method": "soft", "against": "dense", "above": 0.0"#);
        assert_eq!((two.mean.unwrap().n, two.finding), (2, Finding::Undecided));
        let none = test(r#""method": "nobody", "above": 0.0"#);
        assert_eq!((none.mean, none.finding), (None, Finding::Undecided));
    }

    #[test]
    fn shown_as_markdown() {
        let tested = [
            test(r#""method": "switch", "against": "dense", "above": 0.0, "note": "Small nets.""#),
            test(r#""method": "switch", "above": 0.9, "where": {"task": "digits"}"#),
            test(r#""method": "nobody", "below": 0.5"#),
            test(r#""method": "switch", "against": "dense", "within": 0.05"#),
        ];
        insta::assert_snapshot!(claims_table("A paper", &tested).render(Format::Markdown));
    }

    #[test]
    fn bad_claims_are_named() {
        let err = |runs: &Runs, json: &str| claims(runs, &[claim(json)]).unwrap_err().to_string();
        let runs = fixture::runs();
        assert!(err(&runs, r#""method": "switch""#).contains("\"It is so\": say above or below"));
        assert!(err(&runs, r#""method": "switch", "within": 0.1"#).contains("needs a method"));
        let both = r#""method": "switch", "against": "dense", "within": 0.1, "below": 0.1"#;
        assert!(err(&runs, both).contains("stands alone"));
        let mut twice = runs.clone();
        twice.rows.extend(runs.rows.into_iter().map(|row| crate::Row { task: "b".into(), ..row }));
        let err = err(&twice, r#""method": "switch", "above": 0.0"#);
        assert!(err.contains("several runs of \"switch\" have seed 0; say which"), "{err}");
        let bad = r#"{"claim": "", "effect": "", "metric": "", "method": "", "abve": 0.0}"#;
        assert!(serde_json::from_str::<Claim>(bad).unwrap_err().to_string().contains("abve"));
    }
}
