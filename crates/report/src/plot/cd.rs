//! The critical-difference diagram: mean ranks, with bars over methods without a significant difference.
//! Demšar 2006, <https://jmlr.org/papers/v7/demsar06a.html>, figure 1.

use super::svg::{Anchor, Canvas, text_width};

const WIDTH: f64 = 420.0;

/// Mean ranks of methods, with their critical difference.
pub struct MeanRanks<'a> {
    /// Methods with their mean ranks, the best first.
    pub methods: Vec<(&'a str, f64)>,
    /// The difference above which two methods differ.
    pub critical: f64,
    /// The first and last index of each group of adjacent methods without a significant difference.
    pub cliques: Vec<(usize, usize)>,
}

/// The ranks as a diagram; the best is on the left.
pub fn critical_differences(title: &str, ranks: &MeanRanks) -> String {
    let MeanRanks { methods, critical, cliques } = ranks;
    let count = methods.len();
    let widest = methods.iter().map(|(name, _)| text_width(name)).fold(0.0, f64::max);
    let side = widest + 70.0;
    let place = |rank: f64| side + WIDTH * (rank - 1.0) / (count - 1) as f64;
    let axis = 48.0;
    let below = axis + 14.0 + 9.0 * cliques.len() as f64;
    let half = count.div_ceil(2);
    let mut canvas = Canvas::new(WIDTH + 2.0 * side, below + 20.0 * half as f64 + 12.0);
    draw_axis(&mut canvas, axis, count, place);
    draw_critical(&mut canvas, critical.min((count - 1) as f64), *critical, place);
    for (at, (name, rank)) in methods.iter().enumerate() {
        let left = at < half;
        let level = below + 20.0 * if left { at } else { count - 1 - at } as f64 + 8.0;
        let (end, anchor, step) = match left {
            true => (side - 12.0, Anchor::End, -5.0),
            false => (side + WIDTH + 12.0, Anchor::Start, 5.0),
        };
        let x = place(*rank);
        canvas.rule("axis", (x, axis), (x, level));
        canvas.rule("axis", (x, level), (end, level));
        let text = format!("{name} ({rank:.2})");
        canvas.text((end + step, level + 4.0), anchor, &text);
    }
    for (at, (from, to)) in cliques.iter().enumerate() {
        let y = axis + 10.0 + 9.0 * at as f64;
        let [from, to] = [*from, *to].map(|at| place(methods[at].1));
        canvas.line(0, &[(from - 4.0, y), (to + 4.0, y)], 4.0);
    }
    canvas.finish(title, &describe(ranks))
}

fn draw_axis(canvas: &mut Canvas, y: f64, count: usize, place: impl Fn(f64) -> f64) {
    canvas.rule("axis", (place(1.0), y), (place(count as f64), y));
    for rank in 1..=count {
        let x = place(rank as f64);
        canvas.rule("axis", (x, y - 5.0), (x, y));
        canvas.text((x, y - 9.0), Anchor::Middle, &rank.to_string());
    }
}

/// Draws the critical difference as a length, from rank 1.
fn draw_critical(canvas: &mut Canvas, shown: f64, critical: f64, place: impl Fn(f64) -> f64) {
    let (from, to) = (place(1.0), place(1.0 + shown));
    canvas.rule("axis", (from, 14.0), (to, 14.0));
    canvas.rule("axis", (from, 10.0), (from, 18.0));
    canvas.rule("axis", (to, 10.0), (to, 18.0));
    canvas.text((to + 8.0, 18.0), Anchor::Start, &format!("CD {critical:.2}"));
}

fn describe(MeanRanks { methods, cliques, .. }: &MeanRanks) -> String {
    let ranks = methods.iter().map(|(name, rank)| format!("{name} {rank:.2}"));
    let mut text = format!("Mean ranks: {}", ranks.collect::<Vec<_>>().join(", "));
    for (from, to) in cliques {
        let [from, to] = [methods[*from].0, methods[*to].0];
        text += &format!("; no significant difference: {from} to {to}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Query, fixture, rank};

    #[test]
    fn bars_join_what_cannot_be_told_apart() {
        let methods = ["dense", "switch", "top-k"].map(String::from).into();
        let ranking = rank(&fixture::runs(), &Query { methods, ..Query::default() }).unwrap();
        // Ranks 1.4, 1.6, 3.0; the critical difference of 3 methods over 5 blocks is 1.48.
        assert_eq!(ranking.cliques(), [(0, 1), (1, 2)]);
        let svg = critical_differences("t", &ranking.mean_ranks());
        assert_eq!(svg.matches("stroke-width=\"4\"").count(), 2);
        let said = "no significant difference: top-k to switch; no significant difference: switch to dense";
        assert!(svg.contains(said), "{svg}");
    }
}
