//! What a paper says, tested on results that are there: `[[claim]]` of a suite.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

use super::check::fits;
use crate::{
    Cell, Column, Error, Kind, Runs, Table,
    number::decimals,
    setting::Scores,
    stats::{Mean, mean},
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
    /// The verdict.
    pub finding: Finding,
}

/// Tests claims, each by itself, without correction for how many there are.
pub fn claims(runs: &Runs, claims: &[Claim]) -> Result<Vec<Tested>, Error> {
    claims.iter().map(|claim| tested(runs, claim)).collect()
}

fn tested(runs: &Runs, claim: &Claim) -> Result<Tested, Error> {
    if claim.above.is_none() && claim.below.is_none() {
        let text = &claim.claim;
        return Err(Error::Question(format!("claim {text:?}: say above or below which number")));
    }
    let of = |method: &str| scores(runs, claim, method);
    let values: Vec<f64> = match &claim.against {
        None => of(&claim.method)?.into_values().collect(),
        Some(other) => {
            let (one, other) = (of(&claim.method)?, of(other)?);
            one.iter().filter_map(|(seed, value)| Some(value - other.get(seed)?)).collect()
        }
    };
    let mean = mean(&values);
    Ok(Tested { claim: claim.clone(), mean, finding: finding(claim, mean) })
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
    let bounds = bounds.collect::<Vec<_>>().join(" and ");
    let cells = [
        claim.claim.clone(),
        claim.effect.clone(),
        measured,
        bounds,
        ours(tested.mean, claim.against.is_some()),
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
        ];
        insta::assert_snapshot!(claims_table("A paper", &tested).render(Format::Markdown));
    }

    #[test]
    fn bad_claims_are_named() {
        let err = |runs: &Runs, json: &str| claims(runs, &[claim(json)]).unwrap_err().to_string();
        let runs = fixture::runs();
        assert!(err(&runs, r#""method": "switch""#).contains("\"It is so\": say above or below"));
        let mut twice = runs.clone();
        twice.rows.extend(runs.rows.into_iter().map(|row| crate::Row { task: "b".into(), ..row }));
        let err = err(&twice, r#""method": "switch", "above": 0.0"#);
        assert!(err.contains("several runs of \"switch\" have seed 0; say which"), "{err}");
        let bad = r#"{"claim": "", "effect": "", "metric": "", "method": "", "abve": 0.0}"#;
        assert!(serde_json::from_str::<Claim>(bad).unwrap_err().to_string().contains("abve"));
    }
}
