//! Claims with their verdicts, as a table.

use super::{ClaimEvidence, Finding, Tested, check::text};
use crate::{
    Cell, Column, Kind, Table,
    number::{counted, decimals, two_digits},
    stats::Interval,
};

/// The outcomes of the claims of a paper, one row each.
pub fn claims_table(paper: &str, tested: &[Tested]) -> Table {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    let notes = tested.iter().map(|tested| &tested.claim).filter(|claim| !claim.note.is_empty());
    let notes = notes.map(|claim| format!("{}: {}", claim.claim, claim.note));
    Table {
        title: paper.into(),
        columns: vec![
            words("claim", "claim"),
            words("effect", "in the paper"),
            words("measured", "measured here"),
            words("holds", "holds if"),
            words("ours", "ours, 95 % interval"),
            words("gate", "gate"),
            words("verdict", "verdict"),
            words("corrected", "with Holm's correction"),
        ],
        rows: tested.iter().map(row).collect(),
        notes: notes.chain(gates(tested)).chain(covers(tested)).collect(),
        ..Table::default()
    }
}

/// Notes on claims that are not testable, one for each reason.
fn gates(tested: &[Tested]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (why, claim) in
        tested.iter().filter_map(|one| Some((one.gate.as_deref()?, &one.claim.claim)))
    {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, claims)) => claims.push(claim),
            None => reasons.push((why, vec![claim])),
        }
    }
    let note = |(why, claims): (&str, Vec<&str>)| {
        let which = match claims.len() {
            1 => claims[0].to_string(),
            n => format!("{n} claims"),
        };
        format!("{which}: not testable here, since a condition does not hold: {why}")
    };
    reasons.into_iter().map(note).collect()
}

fn row(tested: &Tested) -> Vec<Cell> {
    let claim = &tested.claim;
    let measured = match &claim.against {
        Some(other) => format!("{} of {:?} minus {other:?}", claim.metric, claim.method),
        None => format!("{} of {:?}", claim.metric, claim.method),
    };
    let measured = match &claim.beyond {
        Some(other) => {
            format!("{measured}, less that of {:?} minus {:?}", other.method, other.against)
        }
        None => measured,
    };
    let place = claim.place.iter().map(|(column, value)| format!(", {column} {}", text(value)));
    let measured = place.fold(measured, |text, place| text + &place);
    let bounds = [("above", claim.above), ("below", claim.below)];
    let bounds = bounds.iter().filter_map(|(side, x)| x.map(|x| format!("{side} {x}")));
    let bounds = match claim.within {
        Some(share) => format!("within {} % of it", (share * 1000.0).round() / 10.0),
        None => bounds.collect::<Vec<_>>().join(" and "),
    };
    let ours = ours(tested.measured, claim.against.is_some());
    let ours = match tested.least {
        Some(least) => format!("{ours}; shown within {:.1} %", (least * 1000.0).ceil() / 10.0),
        None => ours,
    };
    let ours = match detects(tested) {
        Some(least) => format!("{ours}; detects {}", two_digits(least)),
        None => ours,
    };
    let cells = [
        claim.claim.clone(),
        claim.effect.clone(),
        measured,
        bounds,
        ours,
        gate(tested).into(),
        match tested.measured {
            Some(_) => tested.finding.to_string(),
            None => "no results".into(),
        },
        corrected(tested),
    ];
    cells.map(Cell::Words).into()
}

/// The smallest effect that the runs of a claim detect; none for a claim that is no evidence.
fn detects(tested: &Tested) -> Option<f64> {
    tested.measured.filter(|_| tested.finding != Finding::ByConstruction)?.detects()
}

/// Whether the conditions for testing the claim hold, and whether there are any.
fn gate(tested: &Tested) -> &'static str {
    match tested.finding {
        _ if tested.measured.is_none() => "",
        Finding::ByConstruction => "",
        Finding::NotTestable => "does not hold",
        _ if tested.gated => "holds",
        _ => "none",
    }
}

/// The verdict if all claims of the paper are tested together.
fn corrected(tested: &Tested) -> String {
    match (tested.finding, tested.corrected) {
        (Finding::Reproduced, Some(_)) if tested.survives_correction() => "reproduced".into(),
        (Finding::Reproduced, Some(_)) => "undecided".into(),
        _ => String::new(),
    }
}

fn ours(measured: Option<ClaimEvidence>, difference: bool) -> String {
    let Some(ClaimEvidence { mean, interval, seeds, examples, failed, .. }) = measured else {
        return "not measured".into();
    };
    let digits = decimals(interval.map(|Interval { low, high }| (high - low) / 2.0));
    let signed =
        |x: f64| if difference { format!("{x:+.digits$}") } else { format!("{x:.digits$}") };
    let count = match examples {
        Some(examples) => format!("{}, {examples} examples", counted(seeds, "seed")),
        None => counted(seeds, "seed"),
    };
    let failed = match failed {
        0 => String::new(),
        1 => "; a run failed".into(),
        failed => format!("; {failed} runs failed"),
    };
    match interval {
        Some(Interval { low, high }) if low == high => {
            format!("{}, the same on all {count}{failed}", signed(mean))
        }
        Some(Interval { low, high }) => {
            format!("{}, {} to {} ({count}){failed}", signed(mean), signed(low), signed(high))
        }
        None => format!("{} ({count}, no interval){failed}", signed(mean)),
    }
}

/// The note on the different sources of variation that intervals cover; none if all cover the same.
fn covers(tested: &[Tested]) -> Option<String> {
    let measured =
        tested.iter().filter_map(|tested| tested.measured).filter(|m| m.interval.is_some());
    let (with, alone): (Vec<_>, Vec<_>) = measured.partition(|m| m.examples.is_some());
    match (with.len(), alone.len()) {
        (0, _) | (_, 0) => None,
        (_, some) => Some(format!(
            "Intervals without a number of examples ({some}) cover the choice of seeds alone: their results \
             have no values of single examples."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claim, Format, claims, fixture};

    #[test]
    fn shown_as_markdown() {
        let claim = |json: &str| -> Claim {
            let head = r#"{"claim": "It is so", "effect": "a lot", "metric": "accuracy", "#;
            serde_json::from_str(&format!("{head}{json}}}")).unwrap()
        };
        let all = [
            claim(r#""method": "switch", "against": "dense", "above": 0.0, "note": "Small nets.""#),
            claim(r#""method": "switch", "above": 0.9, "where": {"task": "digits"}"#),
            claim(r#""method": "nobody", "below": 0.5"#),
            claim(r#""method": "switch", "against": "dense", "within": 0.05"#),
            claim(r#""method": "naïve-路由", "above": 0.9"#),
            claim(r#""method": "switch", "against": "switch", "above": -0.1"#),
        ];
        let tested = claims(&fixture::runs(), &all, &[]).unwrap();
        insta::assert_snapshot!(claims_table("A paper", &tested).render(Format::Markdown));
        let both =
            [claim(r#""method": "a", "above": 0.1"#), claim(r#""method": "a", "above": 0.9"#)];
        let tested = claims(&fixture::runs_with_examples(), &both, &[]).unwrap();
        insta::assert_snapshot!(claims_table("Another", &tested).render(Format::Markdown));
    }
}
