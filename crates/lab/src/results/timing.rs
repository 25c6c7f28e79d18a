//! `--timing`: the time of each part of the training steps, as a table.

use report::{Cell, Column, Kind, NumberForm, Table};
use training::{SpanTimes, StepTracer};

/// One row for each part of a step, over all runs that were trained.
pub(crate) fn table(tracer: &StepTracer) -> Table {
    let number = |key: &str, name: &str, digits| Column::new(key, name, Kind::Numbers(digits));
    let overhead = 100.0 * tracer.overhead();
    Table {
        title: "Time of the parts of a training step".into(),
        columns: vec![
            Column::new("part", "part", Kind::Words),
            number("visits", "visits", NumberForm::Short),
            number("p50_ms", "p50, ms", NumberForm::Fixed(3)),
            number("p90_ms", "p90, ms", NumberForm::Fixed(3)),
            number("p99_ms", "p99, ms", NumberForm::Fixed(3)),
            number("share", "share", NumberForm::Fixed(4)),
        ],
        rows: tracer.times().iter().map(row).collect(),
        notes: vec![format!(
            "Percentiles of the last visits; share: of all measured time. Measuring took \
             {overhead:.4} % of it. Concurrent runs share the processors."
        )],
        ..Table::default()
    }
}

fn row(times: &SpanTimes) -> Vec<Cell> {
    let [p50, p90, p99] = times.percentiles.map(|seconds| Cell::Number(1e3 * seconds));
    let (visits, share) = (Cell::Number(times.visits as f64), Cell::Number(times.share));
    vec![Cell::Words(times.span.name().into()), visits, p50, p90, p99, share]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use training::Span;

    #[test]
    fn each_part_has_a_row_in_milliseconds() {
        let tracer = StepTracer::default();
        tracer.add(Span::Forward, Duration::from_millis(3));
        tracer.add(Span::Data, Duration::from_millis(1));
        let table = table(&tracer);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(table.rows[1][0], Cell::Words("forward".into()));
        let Cell::Number(p50) = table.rows[1][2] else { panic!("a number") };
        assert!((p50 - 3.0).abs() < 1e-6, "{p50}");
        assert!(table.notes[0].contains("Measuring took"), "{:?}", table.notes);
    }
}
