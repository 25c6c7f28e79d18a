//! The critical-difference diagram: mean ranks, with bars over methods without a significant difference.
//! Demšar 2006, <https://jmlr.org/papers/v7/demsar06a.html>, figure 1.

use super::svg::{Anchor, Canvas, text_width};
use crate::Ranking;

const WIDTH: f64 = 420.0;

/// The ranking as a diagram; the best is on the left.
pub fn critical_differences(title: &str, ranking: &Ranking) -> String {
    let count = ranking.methods.len();
    let widest = ranking.methods.iter().map(|m| text_width(&m.method)).fold(0.0, f64::max);
    let side = widest + 70.0;
    let place = |rank: f64| side + WIDTH * (rank - 1.0) / (count - 1) as f64;
    let cliques = ranking.cliques();
    let axis = 48.0;
    let below = axis + 14.0 + 9.0 * cliques.len() as f64;
    let half = count.div_ceil(2);
    let mut canvas = Canvas::new(WIDTH + 2.0 * side, below + 20.0 * half as f64 + 12.0);
    draw_axis(&mut canvas, axis, count, place);
    draw_critical(&mut canvas, ranking.critical.min((count - 1) as f64), ranking.critical, place);
    for (at, method) in ranking.methods.iter().enumerate() {
        let left = at < half;
        let level = below + 20.0 * if left { at } else { count - 1 - at } as f64 + 8.0;
        let (end, anchor, step) = match left {
            true => (side - 12.0, Anchor::End, -5.0),
            false => (side + WIDTH + 12.0, Anchor::Start, 5.0),
        };
        let x = place(method.rank);
        canvas.rule("axis", (x, axis), (x, level));
        canvas.rule("axis", (x, level), (end, level));
        let text = format!("{} ({:.2})", method.method, method.rank);
        canvas.text((end + step, level + 4.0), anchor, &text);
    }
    for (at, (from, to)) in cliques.iter().enumerate() {
        let y = axis + 10.0 + 9.0 * at as f64;
        let [from, to] = [*from, *to].map(|at| place(ranking.methods[at].rank));
        canvas.line(0, &[(from - 4.0, y), (to + 4.0, y)], 4.0);
    }
    canvas.finish(title, &describe(ranking, &cliques))
}

fn draw_axis(canvas: &mut Canvas, y: f64, count: usize, place: impl Fn(f64) -> f64) {
    canvas.rule("axis", (place(1.0), y), (place(count as f64), y));
    for rank in 1..=count {
        let x = place(rank as f64);
        canvas.rule("axis", (x, y - 5.0), (x, y));
        canvas.text((x, y - 9.0), Anchor::Middle, &rank.to_string());
    }
}

/// The critical difference as a length, from rank 1.
fn draw_critical(canvas: &mut Canvas, shown: f64, critical: f64, place: impl Fn(f64) -> f64) {
    let (from, to) = (place(1.0), place(1.0 + shown));
    canvas.rule("axis", (from, 14.0), (to, 14.0));
    canvas.rule("axis", (from, 10.0), (from, 18.0));
    canvas.rule("axis", (to, 10.0), (to, 18.0));
    canvas.text((to + 8.0, 18.0), Anchor::Start, &format!("CD {critical:.2}"));
}

fn describe(ranking: &Ranking, cliques: &[(usize, usize)]) -> String {
    let name = |at: usize| ranking.methods[at].method.as_str();
    let ranks = ranking.methods.iter().map(|m| format!("{} {:.2}", m.method, m.rank));
    let mut text = format!("Mean ranks: {}", ranks.collect::<Vec<_>>().join(", "));
    for (from, to) in cliques {
        text += &format!("; no significant difference: {} to {}", name(*from), name(*to));
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
        let svg = critical_differences("t", &ranking);
        assert_eq!(svg.matches("stroke-width=\"4\"").count(), 2);
        let said = "no significant difference: top-k to switch; no significant difference: switch to dense";
        assert!(svg.contains(said), "{svg}");
    }
}
