//! Images whose patches are tinted by the expert that processes them.

use super::svg::{Anchor, Canvas};
use crate::trace::Trace;

/// The colours of experts; they repeat after twelve.
const TINTS: [&str; 12] = [
    "#e6194b", "#3cb44b", "#ffcc00", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6",
    "#9a6324", "#808000", "#469990", "#a9a9a9",
];

/// The colour of an expert, the same in images and in text.
pub(crate) fn tint(expert: usize) -> &'static str {
    TINTS[expert % TINTS.len()]
}

const SIDE: f64 = 64.0;
const ACROSS: usize = 8;
/// The largest number of pixels of all images in a figure.
const PIXELS: usize = 1 << 16;

/// Draws the images of a trace for one layer, up to 65,536 pixels in all; none if there are no images or no
/// patches.
pub fn patches(title: &str, trace: &Trace, layer: usize) -> Option<String> {
    let (pixels, [rows, columns]) = (trace.pixels.as_ref()?, trace.about.patches?);
    let [n, height, width] = pixels.shape;
    let (layer, size) = (trace.layers.get(layer)?, height.saturating_mul(width));
    let n = n.min(PIXELS.checked_div(size)?);
    if n == 0 || rows == 0 || columns == 0 {
        return None;
    }
    let lines = n.div_ceil(ACROSS) as f64;
    let legend = 18.0 * layer.n_experts.min(TINTS.len()) as f64 + 20.0;
    let room = (lines * (SIDE + 22.0)).max(legend);
    let mut canvas = Canvas::new(ACROSS as f64 * (SIDE + 8.0) + 92.0, room + 6.0);
    let mut said = Vec::new();
    let mut shown: Vec<i32> = Vec::new();
    for (unit, (example, first)) in trace.example.iter().zip(layer.first()).enumerate() {
        let at = shown.iter().position(|known| known == example).unwrap_or(shown.len());
        if at >= n {
            continue;
        }
        let (left, top) = corner(at);
        if at == shown.len() {
            shown.push(*example);
            figure(&mut canvas, (left, top), &pixels.grey[at * size..], (height, width));
            let label = trace.label[unit].to_string();
            canvas.text((left + SIDE / 2.0, top + SIDE + 14.0), Anchor::Middle, &label);
            said.push(label);
        }
        let (Some(expert), Ok(place)) = (first, usize::try_from(trace.position[unit])) else {
            continue;
        };
        let (w, h) = (SIDE / columns as f64, SIDE / rows as f64);
        let (x, y) = (left + w * (place % columns) as f64, top + h * (place / columns) as f64);
        let fill = tint(expert);
        canvas.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" fill="{fill}" opacity="0.45"/>"#
        ));
    }
    key(&mut canvas, ACROSS as f64 * (SIDE + 8.0) + 10.0, layer.n_experts);
    let description = format!("Figures of the classes {}", said.join(", "));
    (!said.is_empty()).then(|| canvas.finish(title, &description))
}

fn corner(at: usize) -> (f64, f64) {
    ((at % ACROSS) as f64 * (SIDE + 8.0) + 4.0, (at / ACROSS) as f64 * (SIDE + 22.0) + 4.0)
}

/// Draws a grey image, with adjacent pixels of the same grey in a row merged.
fn figure(
    canvas: &mut Canvas,
    (left, top): (f64, f64),
    grey: &[f32],
    (height, width): (usize, usize),
) {
    let (w, h) = (SIDE / width as f64, SIDE / height as f64);
    for (row, line) in grey.chunks(width).take(height).enumerate() {
        let mut column = 0;
        for run in line.chunk_by(|a, b| level(*a) == level(*b)) {
            let (x, y, long) =
                (left + w * column as f64, top + h * row as f64, w * run.len() as f64);
            let grey = level(run[0]) * 17;
            canvas.add(format_args!(
                r#"<rect x="{x:.1}" y="{y:.1}" width="{long:.1}" height="{h:.1}" fill="rgb({grey},{grey},{grey})"/>"#
            ));
            column += run.len();
        }
    }
}

/// The grey of a pixel, quantised to sixteen levels.
fn level(grey: f32) -> u8 {
    (grey.clamp(0.0, 1.0) * 15.0).round() as u8
}

fn key(canvas: &mut Canvas, x: f64, experts: usize) {
    for expert in 0..experts.min(TINTS.len()) {
        let (y, fill) = (8.0 + 18.0 * expert as f64, tint(expert));
        canvas.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="14" height="14" fill="{fill}" opacity="0.75"/>"#
        ));
        canvas.text((x + 20.0, y + 11.5), Anchor::Start, &format!("expert {expert}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::trace, trace::Pixels};

    #[test]
    fn every_patch_has_the_colour_of_its_expert() {
        let mut trace = trace();
        trace.about.patches = Some([1, 2]);
        trace.pixels =
            Some(Pixels { shape: [2, 2, 2], grey: vec![0.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0] });
        let svg = patches("t", &trace, 0).unwrap();
        assert!(svg.contains("Figures of the classes 5, 7"), "{svg}");
        let tinted = |expert| {
            let fill = format!("fill=\"{}\" opacity=\"0.45\"", tint(expert));
            svg.matches(&fill).count()
        };
        assert_eq!([tinted(0), tinted(1), tinted(2)], [3, 1, 0]);
        assert!(patches("t", &crate::fixture::trace(), 0).is_none());
    }

    #[test]
    fn without_rows_and_columns_there_is_no_figure() {
        let mut trace = trace();
        for (shape, places) in
            [([1, 0, 0], [1, 1]), ([1, 2, 0], [1, 1]), ([1, 1, 1], [1, 0]), ([1, 1, 1], [0, 1])]
        {
            trace.about.patches = Some(places);
            trace.pixels = Some(Pixels { shape, grey: vec![0.5; shape.iter().product()] });
            assert!(patches("t", &trace, 0).is_none(), "{shape:?} {places:?}");
        }
    }

    #[test]
    fn so_many_pixels_are_shown() {
        let mut trace = trace();
        trace.about.patches = Some([1, 1]);
        trace.pixels = Some(Pixels { shape: [2, 200, 200], grey: vec![0.5; 80_000] });
        assert!(patches("t", &trace, 0).unwrap().contains("Figures of the classes 5\""));
        trace.pixels = Some(Pixels { shape: [1, 300, 300], grey: vec![0.5; 90_000] });
        assert_eq!(patches("t", &trace, 0), None);
    }
}
