//! All methods against one, task by task: differences with their intervals, with better methods further to
//! the right.
//!
//! The colours are in a style sheet that follows `prefers-color-scheme`, for light and dark pages, even if a
//! page only links to the file as an image.

use std::cmp::Ordering;

use super::{
    axis::Axis,
    svg::{Anchor, Canvas, text_width},
};
use crate::{stats::Interval, wrapped};

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The title.
    pub title: String,
    /// The label of the axis: the metric and its direction.
    pub label: String,
    /// A row for each method, in an order that is the same for all panels.
    pub rows: Vec<Against>,
}

/// One method against the baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// The method.
    pub name: String,
    /// The difference, or the reason why there is none.
    pub difference: Result<Difference, String>,
}

/// A difference that is oriented so that higher is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean.
    pub mean: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// The result of the test.
    pub finding: OverviewFinding,
}

/// The result of a test of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverviewFinding {
    /// Better than the baseline.
    Better,
    /// Neither is shown.
    Open,
    /// Worse than the baseline.
    Worse,
}

const STYLE: &str = "<style>\n\
    .o-ink { fill: #1f2328 } .o-soft { fill: #59636e } .o-band { fill: #818b98; opacity: 0.1 }\n\
    .o-grid { stroke: #818b98; opacity: 0.25 } .o-zero { stroke: #1f2328; stroke-dasharray: 5 4 }\n\
    .o-better { fill: #0a6fb5; stroke: #0a6fb5 } .o-open { fill: #818b98; stroke: #818b98 }\n\
    .o-worse { fill: #c8501a; stroke: #c8501a }\n\
    @media (prefers-color-scheme: dark) {\n\
    .o-ink { fill: #e6edf3 } .o-soft { fill: #9198a1 } .o-zero { stroke: #e6edf3 }\n\
    .o-better { fill: #58b4f5; stroke: #58b4f5 } .o-worse { fill: #f2905c; stroke: #f2905c }\n\
    }\n</style>";

const ROW: f64 = 30.0;
const TOP: f64 = 40.0;
/// The smallest width of a panel.
const WIDTH: f64 = 300.0;
/// The smallest width of the whole figure: that of the legend.
const ALL: f64 = 700.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 24.0;
/// The height of a line of the note.
const LINE: f64 = 16.0;

/// Draws the panels side by side. All have the same methods.
pub fn overview(title: &str, baseline: &str, panels: &[Panel]) -> String {
    let names: Vec<&str> = panels
        .first()
        .map_or(Vec::new(), |first| first.rows.iter().map(|row| row.name.as_str()).collect());
    let left = 24.0 + names.iter().map(|name| text_width(name) * 1.1).fold(60.0, f64::max);
    let count = panels.len() as f64;
    let each = ((ALL - left) / count - GAP).max(WIDTH);
    let (width, bottom) = (left + count * (each + GAP), TOP + ROW * names.len() as f64);
    let note = wrapped(
        &format!(
            "than the dashed line, {baseline}: at 5 % after Holm's correction. Bars are 95 % intervals."
        ),
        width - 2.0 * MARGIN,
        "",
        text_width,
    );
    let mut canvas = Canvas::new(width, bottom + 90.0 + LINE * note.len() as f64);
    canvas.add(format_args!("{STYLE}"));
    for (at, name) in names.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        if at % 2 == 0 {
            canvas.add(format_args!(
                r#"<rect class="o-band" x="8" y="{y:.1}" width="{:.1}" height="{ROW}" rx="4"/>"#,
                width - 16.0
            ));
        }
        let place = (left - 14.0, y + ROW / 2.0 + 4.5);
        styled(&mut canvas, "o-ink", place, Anchor::End, 13.0, name);
    }
    for (at, panel) in panels.iter().enumerate() {
        draw(&mut canvas, panel, [left + at as f64 * (each + GAP), each], bottom);
    }
    legend(&mut canvas, &note, bottom + 74.0);
    canvas.finish(title, &describe(baseline, panels))
}

/// Draws a panel of this width from `left` on.
fn draw(canvas: &mut Canvas, panel: &Panel, [left, width]: [f64; 2], bottom: f64) {
    let known = || panel.rows.iter().filter_map(|row| row.difference.as_ref().ok());
    let reach = known().flat_map(|d| [d.interval.low, d.interval.high, d.mean]).chain([0.0]);
    let axis = Axis::linear(&panel.label, reach);
    let place = |x: f64| left + width * axis.place(x);
    let middle = left + width / 2.0;
    styled(canvas, "o-ink", (middle, 24.0), Anchor::Middle, 15.0, &panel.title);
    for (x, text) in axis.ticks(6) {
        let at = place(x);
        vertical(canvas, "o-grid", at, (TOP, bottom));
        let text = match x.total_cmp(&0.0) {
            Ordering::Greater => format!("+{text}"),
            Ordering::Equal => "0".into(),
            Ordering::Less => text.replace('-', "−"),
        };
        styled(canvas, "o-soft", (at, bottom + 17.0), Anchor::Middle, 11.5, &text);
    }
    vertical(canvas, "o-zero", place(0.0), (TOP - 4.0, bottom));
    styled(canvas, "o-soft", (middle, bottom + 38.0), Anchor::Middle, 12.5, &panel.label);
    for (at, row) in panel.rows.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        match &row.difference {
            Ok(difference) => {
                let [low, high] = [difference.interval.low, difference.interval.high].map(place);
                mark(canvas, difference.finding, (place(difference.mean), y), [low, high]);
            }
            Err(why) => {
                let (at, anchor) = match place(0.0) < middle {
                    true => (place(0.0) + 10.0, Anchor::Start),
                    false => (place(0.0) - 10.0, Anchor::End),
                };
                styled(canvas, "o-soft", (at, y + 4.0), anchor, 11.5, why);
            }
        }
    }
}

/// Draws an interval with its mean.
fn mark(canvas: &mut Canvas, finding: OverviewFinding, (x, y): (f64, f64), [low, high]: [f64; 2]) {
    let class = class(finding);
    canvas.add(format_args!(
        r#"<path class="{class}" stroke-width="3" stroke-linecap="round" d="M{low:.1} {y:.1}H{high:.1}"/>"#
    ));
    canvas.add(format_args!(r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="5.5"/>"#));
}

fn class(finding: OverviewFinding) -> &'static str {
    match finding {
        OverviewFinding::Better => "o-better",
        OverviewFinding::Open => "o-open",
        OverviewFinding::Worse => "o-worse",
    }
}

fn vertical(canvas: &mut Canvas, class: &str, x: f64, (from, to): (f64, f64)) {
    canvas.add(format_args!(r#"<path class="{class}" d="M{x:.1} {from:.1}V{to:.1}"/>"#));
}

fn styled(
    canvas: &mut Canvas,
    class: &str,
    (x, y): (f64, f64),
    anchor: Anchor,
    size: f64,
    text: &str,
) {
    let (anchor, text) = (anchor.name(), super::escape(text));
    canvas.add(format_args!(
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}">{text}</text>"#
    ));
}

/// Draws the meaning of the colours, and the note below it.
fn legend(canvas: &mut Canvas, note: &[String], y: f64) {
    let entries = [
        (OverviewFinding::Better, "better"),
        (OverviewFinding::Open, "not decided"),
        (OverviewFinding::Worse, "worse"),
    ];
    let mut x = MARGIN;
    for (finding, text) in entries {
        mark(canvas, finding, (x + 14.0, y - 4.5), [x, x + 28.0]);
        styled(canvas, "o-soft", (x + 36.0, y), Anchor::Start, 12.5, text);
        x += 60.0 + text_width(text);
    }
    for (at, line) in note.iter().enumerate() {
        let y = y + 22.0 + LINE * at as f64;
        styled(canvas, "o-soft", (MARGIN, y), Anchor::Start, 12.0, line);
    }
}

fn describe(baseline: &str, panels: &[Panel]) -> String {
    let row = |row: &Against| match &row.difference {
        Ok(Difference { mean, interval, .. }) => {
            format!("{} {mean:+.4} ({:+.4} to {:+.4})", row.name, interval.low, interval.high)
        }
        Err(why) => format!("{} {why}", row.name),
    };
    let panel = |panel: &Panel| {
        let rows: Vec<String> = panel.rows.iter().map(row).collect();
        format!("{}, {}: {}", panel.title, panel.label, rows.join(", "))
    };
    let panels: Vec<String> = panels.iter().map(panel).collect();
    format!("Differences to {baseline}, better to the right. {}", panels.join(". "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_mark_or_a_reason() {
        let interval = Interval { low: -0.1, high: 0.3 };
        let difference = Ok(Difference { mean: 0.1, interval, finding: OverviewFinding::Open });
        let against = |name: &str, difference| Against { name: name.into(), difference };
        let panel = |difference| Panel {
            title: "digits".into(),
            label: "accuracy".into(),
            rows: vec![against("a", difference), against("b", Err("refused".into()))],
        };
        let svg = overview("t", "dense", &[panel(difference.clone()), panel(difference)]);
        // Two means, and three marks in the legend.
        assert_eq!(svg.matches("<circle").count(), 5);
        assert_eq!(svg.matches(">refused</text>").count(), 2);
        assert!(svg.contains("a +0.1000 (-0.1000 to +0.3000), b refused"), "{svg}");
        assert!(svg.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn the_note_has_room() {
        let interval = Interval { low: -0.1, high: 0.3 };
        let difference = Ok(Difference { mean: 0.1, interval, finding: OverviewFinding::Open });
        let rows = vec![Against { name: "a".into(), difference }];
        let panel = Panel { title: "digits".into(), label: "accuracy".into(), rows };
        let baseline = "a dense network whose name is as long as names of methods can be";
        let svg = overview("t", baseline, &[panel]);
        let width: f64 =
            svg.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let lines: Vec<&str> = svg
            .lines()
            .filter(|line| line.contains("font-size=\"12\">") && line.contains("o-soft"))
            .collect();
        assert_eq!(lines.len(), 2, "{svg}");
        for line in lines {
            let text = line.split(['>', '<']).nth(2).unwrap().replace("&#39;", "'");
            assert!(MARGIN + text_width(&text) < width, "{text}");
        }
    }
}
