//! A matrix of shares as shades, for example of experts that are active together, or of experts by class.

use super::svg::{Anchor, Canvas, text_width};

/// The shades from 0 to the largest share.
const SHADES: [&str; 6] = ["#f2f2f2", "#c6dbef", "#9ecae1", "#6baed6", "#2171b5", "#08306b"];

/// Draws the matrix of one layer, with names for its rows; columns are experts.
pub fn matrix(title: &str, row_label: &str, names: &[String], rows: &[Vec<f64>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let side = (300.0 / columns.max(names.len()).max(1) as f64).clamp(8.0, 24.0);
    let widest = names.iter().map(|name| text_width(name)).fold(0.0, f64::max);
    let left = 34.0 + widest;
    let (width, height) = (side * columns as f64, side * rows.len() as f64);
    let mut canvas = Canvas::new(left + width.max(80.0) + 86.0, height + 54.0);
    let most = rows.iter().flatten().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    canvas.upright_text((12.0, 8.0 + height / 2.0), row_label);
    for (at, (name, row)) in names.iter().zip(rows).enumerate() {
        let y = 8.0 + side * at as f64;
        canvas.text((left - 6.0, y + side / 2.0 + 4.0), Anchor::End, name);
        for (column, share) in row.iter().enumerate() {
            let (x, fill) = (left + side * column as f64, SHADES[shade(*share / most)]);
            canvas.add(format_args!(
                r#"<rect x="{x:.1}" y="{y:.1}" width="{side:.1}" height="{side:.1}" fill="{fill}"/>"#
            ));
        }
    }
    let every = (20.0 / side).ceil() as usize;
    for column in (0..columns).step_by(every.max(1)) {
        let x = left + side * (column as f64 + 0.5);
        canvas.text((x, height + 24.0), Anchor::Middle, &column.to_string());
    }
    canvas.text((left + width / 2.0, height + 44.0), Anchor::Middle, "expert");
    legend(&mut canvas, left + width.max(80.0) + 14.0, most);
    canvas.finish(title, &describe(row_label, names, rows))
}

fn shade(share: f64) -> usize {
    ((share * SHADES.len() as f64) as usize).min(SHADES.len() - 1)
}

fn legend(canvas: &mut Canvas, x: f64, most: f64) {
    for (at, fill) in SHADES.iter().rev().enumerate() {
        let (y, from) =
            (8.0 + 16.0 * at as f64, (SHADES.len() - 1 - at) as f64 / SHADES.len() as f64);
        canvas.add(format_args!(
            r##"<rect x="{x:.1}" y="{y:.1}" width="14" height="16" fill="{fill}" stroke="#999" stroke-width="0.5"/>"##
        ));
        canvas.text((x + 20.0, y + 12.0), Anchor::Start, &format!("≥ {:.2}", from * most));
    }
}

/// A description: the largest entry of each row.
fn describe(row_label: &str, names: &[String], rows: &[Vec<f64>]) -> String {
    let most = |(name, row): (&String, &Vec<f64>)| {
        let (expert, share) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(format!("{row_label} {name}: most expert {expert}, {share:.2}"))
    };
    names.iter().zip(rows).filter_map(most).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_follow_the_shares() {
        assert_eq!([0.0, 0.2, 0.99, 1.0].map(shade), [0, 1, 5, 5]);
        let names = ["3".to_string(), "8".to_string()];
        let svg = matrix("t", "class", &names, &[vec![1.0, 0.0], vec![0.25, 0.75]]);
        assert!(
            svg.contains("class 3: most expert 0, 1.00; class 8: most expert 1, 0.75"),
            "{svg}"
        );
        assert_eq!(svg.matches(r##"fill="#08306b""##).count(), 2); // one, and the legend
    }

    #[test]
    fn nothing_is_no_trouble() {
        assert!(!matrix("t", "class", &[], &[]).contains("NaN"));
    }
}
