//! The analyses of a run's traces as tables.

use std::collections::BTreeSet;

use super::{
    agreement, changes, choice_entropy, coactivation, load, load_entropy, margin, saturation,
    specialisation, switches, usage, weight_entropy,
};
use crate::{
    Cell, Column, Error, Kind, NumberForm, Table,
    trace::{Layer, Property, Trace, check_layers},
};

/// The analyses of traces: name and description.
pub const ANALYSES: [(&str, &str); 9] = [
    ("load", "largest load over the mean, dead experts, units without an expert"),
    ("entropy", "entropy of choices, of their weights and of load, over the steps"),
    ("margin", "margin of first over second choices, over the steps"),
    ("saturation", "share of the final choices that are reached, over the steps"),
    ("switches", "share of units that change their first expert, over the steps"),
    ("changes", "share of new assignments, over the steps"),
    ("coactivation", "share of units that two experts have in common"),
    ("specialisation", "mutual information of experts with classes and tokens"),
    ("agreement", "agreement with the routing of another run, after matching its experts"),
];

/// The tables of one analysis. `traces` are those of one run, by step; `other` is the last trace of another
/// run on the same units.
pub fn tables_of(what: &str, traces: &[Trace], other: Option<&Trace>) -> Result<Vec<Table>, Error> {
    let Some(last) = traces.last() else {
        return Err(Error::Query("no traces were found".into()));
    };
    check_layers(traces)?;
    Ok(match what {
        "load" => vec![loads(last)],
        "coactivation" => matrices(last)?,
        "specialisation" => specialisations(last),
        "agreement" => vec![agreements(last, other)?],
        what => match by_step(what, traces, last) {
            Some(table) => vec![table],
            None => {
                let known = ANALYSES.iter().map(|(name, _)| *name);
                return Err(Error::unknown("analysis", what, known));
            }
        },
    })
}

/// The table of an analysis that has a row for each step and layer.
fn by_step(what: &str, traces: &[Trace], last: &Trace) -> Option<Table> {
    let before = |at: usize, number: usize| Some(&traces[at.checked_sub(1)?].layers[number]);
    Some(match what {
        "entropy" => over_steps(
            "Entropy as a share of its maximum",
            &[
                ("choice_entropy", "of choices"),
                ("weight_entropy", "of weights"),
                ("load_entropy", "of load"),
            ],
            traces,
            |_, layer, _| vec![choice_entropy(layer), weight_entropy(layer), load_entropy(layer)],
        ),
        "margin" => over_steps(
            "Margin of first over second choices",
            &[("margin", "margin")],
            traces,
            |_, layer, _| vec![margin(layer)],
        ),
        "saturation" => over_steps(
            "Share of the final choices that are reached",
            &[("saturation", "saturation")],
            traces,
            |_, layer, number| vec![saturation(layer, &last.layers[number])],
        ),
        "switches" => over_steps(
            "Share of units whose first expert differs from the trace before",
            &[("switch_rate", "switch rate")],
            traces,
            |at, layer, number| {
                before(at, number).map_or(vec![], |before| vec![switches(before, layer)])
            },
        ),
        "changes" => over_steps(
            "Share of assignments that are not in the trace before",
            &[("expert_change_rate", "expert change rate")],
            traces,
            |at, layer, number| {
                before(at, number).map_or(vec![], |before| vec![changes(before, layer)])
            },
        ),
        _ => return None,
    })
}

fn number(decimals: usize) -> Kind {
    Kind::Numbers(NumberForm::Fixed(decimals))
}

fn layer_column() -> Column {
    Column::new("layer", "layer", number(0))
}

fn loads(last: &Trace) -> Table {
    let row = |(at, layer): (usize, &Layer)| {
        let facts = load(layer);
        let each: Vec<String> = facts.per_expert.iter().map(|n| format!("{n:.0}")).collect();
        vec![
            Cell::Number(at as f64),
            Cell::Number(facts.max_violation),
            Cell::Number(facts.dead as f64),
            Cell::Number(facts.unserved),
            Cell::Words(each.join(" ")),
        ]
    };
    Table {
        title: format!("Load at step {}", last.about.step),
        columns: vec![
            layer_column(),
            Column::new("max_violation", "max violation", number(3)),
            Column::new("dead", "dead experts", number(0)),
            Column::new("unserved", "units without expert", number(3)),
            Column::new("load", "units of each expert", Kind::Words),
        ],
        rows: last.layers.iter().enumerate().map(row).collect(),
        notes: vec!["max violation: the largest load over the mean, minus 1.".into()],
        ..Table::default()
    }
}

/// A table with a row for each step and layer that has values.
fn over_steps(
    title: &str,
    columns: &[(&str, &str)],
    traces: &[Trace],
    of: impl Fn(usize, &Layer, usize) -> Vec<f64>,
) -> Table {
    let mut rows = Vec::new();
    for (at, trace) in traces.iter().enumerate() {
        for (number, layer) in trace.layers.iter().enumerate() {
            let values = of(at, layer, number);
            if !values.is_empty() {
                let place = [trace.about.step as f64, number as f64];
                rows.push(place.into_iter().chain(values).map(Cell::Number).collect());
            }
        }
    }
    let named = columns.iter().map(|(key, name)| Column::new(key, name, number(3)));
    Table {
        title: title.into(),
        columns: [Column::new("step", "step", number(0)), layer_column()]
            .into_iter()
            .chain(named)
            .collect(),
        rows,
        ..Table::default()
    }
}

/// The largest number of cells in the tables of experts of one analysis.
const CELLS: usize = 1 << 20;

/// Whether tables with `rows` rows and a column for each expert, one for each layer, are too large.
fn too_large(trace: &Trace, rows: impl Fn(&Layer) -> usize) -> bool {
    let cells = |layer: &Layer| rows(layer).saturating_mul(layer.n_experts);
    let all = trace.layers.iter().map(cells).fold(0, usize::saturating_add);
    all > CELLS
}

/// The error of an analysis that makes a table of experts by experts for each layer, if these tables are too
/// large.
fn check_squares(what: &str, trace: &Trace) -> Result<(), Error> {
    if !too_large(trace, |layer| layer.n_experts) {
        return Ok(());
    }
    let experts: Vec<String> = trace.layers.iter().map(|l| l.n_experts.to_string()).collect();
    Err(Error::Query(format!(
        "{what} needs tables of experts by experts with at most {CELLS} cells in all; the layers have {} \
         experts",
        experts.join(", ")
    )))
}

fn matrices(last: &Trace) -> Result<Vec<Table>, Error> {
    check_squares("coactivation", last)?;
    let of = |(at, layer): (usize, &Layer)| {
        expert_table(
            format!(
                "Layer {at}: of the units of an expert (row), the share that other experts process too"
            ),
            "expert",
            layer.n_experts,
            coactivation(layer).into_iter().enumerate().map(|(i, row)| (i.to_string(), row)),
        )
    };
    Ok(last.layers.iter().enumerate().map(of).collect())
}

fn expert_table(
    title: String,
    first: &str,
    n_experts: usize,
    rows: impl Iterator<Item = (String, Vec<f64>)>,
) -> Table {
    let experts =
        (0..n_experts).map(|i| Column::new(&format!("expert_{i}"), &i.to_string(), number(2)));
    let row = |(name, values): (String, Vec<f64>)| {
        std::iter::once(Cell::Words(name)).chain(values.into_iter().map(Cell::Number)).collect()
    };
    Table {
        title,
        columns: std::iter::once(Column::new(first, first, Kind::Words)).chain(experts).collect(),
        rows: rows.map(row).collect(),
        ..Table::default()
    }
}

/// The name of labels, and whether a label belongs to a whole example.
pub(crate) fn label_name(trace: &Trace) -> (&'static str, bool) {
    if !trace.about.letters.is_empty() {
        return ("next token", false);
    }
    // Each frame of a video has its own class; for other images the class is that of the whole example.
    let pairs = trace.example.windows(2).zip(trace.label.windows(2));
    (
        "class",
        pairs.into_iter().all(|(example, label)| example[0] != example[1] || label[0] == label[1]),
    )
}

fn specialisations(last: &Trace) -> Vec<Table> {
    let (_, whole) = label_name(last);
    let mut tables = vec![mutual_information(last)];
    if whole {
        tables.extend(usage_tables(last, "class", &last.label, |class| class.to_string()));
    }
    for property in last.about.properties.iter().filter(|property| property.values.len() <= MANY) {
        let name = |value: i32| property.values[value as usize].clone();
        tables.extend(usage_tables(last, &property.name, &values(last, property), name));
    }
    tables
}

/// The mutual information between experts and each label, layer by layer.
fn mutual_information(last: &Trace) -> Table {
    let rows = last.layers.iter().enumerate().flat_map(|(at, layer)| {
        labels(last).into_iter().map(move |(name, labels, blocks)| {
            let found = specialisation(layer, &labels, blocks);
            vec![
                Cell::Number(at as f64),
                Cell::Words(name.into()),
                Cell::Number(found.bits),
                Cell::Number(found.by_chance),
                Cell::Number(found.p_value),
            ]
        })
    });
    let note = "by chance, p: from 200 permutations of the labels, of whole examples where a label is \
                that of the example, else of stretches of equal labels.";
    Table {
        title: format!("Specialisation at step {}: mutual information", last.about.step),
        columns: vec![
            layer_column(),
            Column::new("about", "about", Kind::Words),
            Column::new("bits", "bits", number(3)),
            Column::new("by_chance", "by chance", number(3)),
            Column::new("p_value", "p", Kind::Numbers(NumberForm::P)),
        ],
        rows: rows.collect(),
        notes: std::iter::once(note.to_string()).chain(of_texts(last)).collect(),
        ..Table::default()
    }
}

/// A name, the labels of the units, and the blocks within which permutations keep units together, if any.
type Labels<'a> = (&'a str, Vec<i32>, Option<&'a [i32]>);

/// The kinds of labels of the units.
fn labels(last: &Trace) -> Vec<Labels<'_>> {
    let (name, whole) = label_name(last);
    let token = if last.about.letters.is_empty() { "place of the patch" } else { "token" };
    let blocks = whole.then_some(&last.example[..]);
    let mut all = vec![(name, last.label.clone(), blocks), (token, last.token.clone(), None)];
    for property in &last.about.properties {
        let blocks = if singles(property) { &last.example } else { &last.text };
        all.push((&property.name, values(last, property), Some(&blocks[..])));
    }
    all
}

/// For each layer, the share of each expert in the choices of the units of each label; none if the tables are
/// too large.
fn usage_tables(
    last: &Trace,
    of: &str,
    labels: &[i32],
    name: impl Fn(i32) -> String,
) -> Vec<Table> {
    let count = labels.iter().collect::<BTreeSet<_>>().len();
    if too_large(last, |_| count) {
        return Vec::new();
    }
    let table = |(at, layer): (usize, &Layer)| {
        let rows = usage(layer, labels).into_iter().map(|(label, row)| (name(label), row));
        let title = format!("Layer {at}: share of each expert in the choices of a {of}");
        expert_table(title, of, layer.n_experts, rows)
    };
    last.layers.iter().enumerate().map(table).collect()
}

/// The note on permutations, if properties of documents are known.
fn of_texts(trace: &Trace) -> Option<String> {
    let of_several = trace.about.properties.iter().filter(|property| !singles(property));
    let names: Vec<&str> = of_several.map(|property| property.name.as_str()).collect();
    let list = names.join(", ");
    (!names.is_empty()).then(|| format!("{list}: permuted among whole texts."))
}

/// Whether each document has a different value. Permuting documents would then change nothing, so examples
/// are permuted.
fn singles(property: &Property) -> bool {
    let mut values = property.of.clone();
    values.sort_unstable();
    values.dedup();
    values.len() == property.of.len()
}

/// The largest number of values of a property for which a table is made.
const MANY: usize = 40;

/// The value of a property for each unit.
fn values(trace: &Trace, property: &Property) -> Vec<i32> {
    trace.text.iter().map(|text| property.of[*text as usize] as i32).collect()
}

fn agreements(last: &Trace, other: Option<&Trace>) -> Result<Table, Error> {
    let refused = |text: &str| Error::Query(text.into());
    let other = other.ok_or_else(|| refused("agreement is between two runs: name another one"))?;
    if !last.same_units(other) {
        return Err(refused("the two runs were not traced on the same units"));
    }
    check_squares("agreement", last)?;
    let mut rows = Vec::new();
    for (at, (a, b)) in last.layers.iter().zip(&other.layers).enumerate() {
        let found = agreement(a, b)
            .ok_or_else(|| refused("the two runs have different numbers of experts"))?;
        let matched: Vec<String> =
            found.matched.iter().enumerate().map(|(i, j)| format!("{i}={j}")).collect();
        rows.push(vec![
            Cell::Number(at as f64),
            Cell::Number(found.agreement),
            Cell::Number(found.by_chance),
            Cell::Number(found.overlap),
            Cell::Words(matched.join(" ")),
        ]);
    }
    Ok(Table {
        title: format!("Agreement of the routing of {} and {}", last.about.run, other.about.run),
        columns: vec![
            layer_column(),
            Column::new("agreement", "agreement", number(3)),
            Column::new("by_chance", "by chance", number(3)),
            Column::new("overlap", "overlap", number(3)),
            Column::new("matched", "matched experts", Kind::Words),
        ],
        rows,
        notes: vec![
            "agreement: share of units with the same first expert; by chance: what loads alone \
             would give; overlap: mean share of a unit's experts that both have."
                .into(),
        ],
        ..Table::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture::trace, render};

    #[test]
    fn every_analysis_has_tables() {
        let (mut first, last) = (trace(), trace());
        first.about.step = 0;
        first.layers.swap(0, 1);
        let traces = [first, last.clone()];
        let mut text = String::new();
        for (what, _) in ANALYSES {
            text += &render(&tables_of(what, &traces, Some(&last)).unwrap(), Format::Markdown);
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn experts_are_asked_about_what_is_known_of_texts() {
        let mut trace = trace();
        trace.text = vec![0, 0, 1, 1];
        let values: Vec<String> = vec!["Whig".into(), "none".into()];
        let property = |name: &str, of: &[usize]| Property {
            name: name.into(),
            values: values.clone(),
            of: of.to_vec(),
        };
        trace.about.properties = vec![property("party", &[1, 0, 0]), property("text", &[0, 1])];
        let tables = tables_of("specialisation", &[trace], None).unwrap();
        let text = render(&tables, Format::Markdown);
        assert!(text.contains("| 0 | party | "), "{text}");
        assert!(text.contains("party: permuted among whole texts"), "{text}");
        // In the first layer the second text has two choices of expert 1 and one of expert 0.
        assert!(text.contains("| Whig | 0.33 | 0.67 | 0.00 |"), "{text}");
        assert!(text.contains("| none | 0.50 | 0.25 | 0.25 |"), "{text}");
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let error =
            |what: &str, traces: &[Trace]| tables_of(what, traces, None).unwrap_err().to_string();
        assert!(
            error("lode", &[trace()]).starts_with("no analysis is named \"lode\"; known: load,")
        );
        assert_eq!(error("load", &[]), "no traces were found");
        assert!(error("agreement", &[trace()]).contains("name another one"));
        let mut short = trace();
        short.layers.pop();
        for what in ["saturation", "switches", "changes"] {
            let err = error(what, &[short.clone(), trace()]);
            assert!(err.contains("has 2 layers, but 1 at step 10"), "{err}");
        }
    }

    #[test]
    fn squares_of_many_experts_are_refused() {
        let mut wide = trace();
        wide.layers.iter_mut().for_each(|layer| layer.n_experts = 60_000);
        let traces = [wide.clone()];
        for what in ["coactivation", "agreement"] {
            let err = tables_of(what, &traces, Some(&wide)).unwrap_err().to_string();
            let said = "needs tables of experts by experts with at most 1048576 cells in all; the layers \
                        have 60000, 60000 experts";
            assert_eq!(err, format!("{what} {said}"));
        }
        assert_eq!(tables_of("specialisation", &traces, None).unwrap().len(), 3);
        wide.layers.iter_mut().for_each(|layer| layer.n_experts = 1 << 20);
        assert_eq!(tables_of("specialisation", &[wide], None).unwrap().len(), 1);
    }
}
