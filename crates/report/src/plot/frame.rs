//! The frame of a plot: axes, grid and legend.

use super::{
    axis::Axis,
    svg::{Anchor, Canvas, text_width},
};

/// The default margin on the left, for the numbers of the axis.
pub(super) const LEFT: f64 = 64.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// The plotting area.
pub(super) struct Frame {
    x: Axis,
    y: Axis,
    left: f64,
    width: f64,
    height: f64,
}

impl Frame {
    /// Makes a frame of this inner size with a legend on its right, and the canvas on which both are drawn.
    pub(super) fn new(
        x: Axis,
        y: Axis,
        size: (f64, f64),
        names: &[(&str, usize)],
    ) -> (Self, Canvas) {
        Self::with_left(x, y, size, names, LEFT)
    }

    /// The same with another margin on the left.
    pub(super) fn with_left(
        x: Axis,
        y: Axis,
        (width, height): (f64, f64),
        names: &[(&str, usize)],
        left: f64,
    ) -> (Self, Canvas) {
        let widest = names.iter().map(|(name, _)| text_width(name)).fold(0.0, f64::max);
        let legend = if names.is_empty() { 16.0 } else { 44.0 + widest };
        let rows = (20.0 * names.len() as f64).max(height);
        let mut canvas = Canvas::new(left + width + legend, TOP + rows + BOTTOM);
        let frame = Self { x, y, left, width, height };
        frame.draw(&mut canvas);
        frame.legend(&mut canvas, names);
        (frame, canvas)
    }

    /// The position of a point.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (self.x.place(x), self.y.place(y));
        (self.left + self.width * x, TOP + self.height * (1.0 - y))
    }

    fn draw(&self, canvas: &mut Canvas) {
        let (right, bottom) = (self.left + self.width, TOP + self.height);
        for (x, text) in self.x.ticks((self.width / 80.0) as usize) {
            let at = self.left + self.width * self.x.place(x);
            canvas.rule("grid", (at, TOP), (at, bottom));
            canvas.text((at, bottom + 17.0), Anchor::Middle, &text);
        }
        // An axis without a label has names instead of numbers, which the plot writes itself.
        if !self.y.label.is_empty() {
            for (y, text) in self.y.ticks((self.height / 45.0) as usize) {
                let at = TOP + self.height * (1.0 - self.y.place(y));
                canvas.rule("grid", (self.left, at), (right, at));
                canvas.text((self.left - 7.0, at + 4.0), Anchor::End, &text);
            }
        }
        canvas.rule("axis", (self.left, bottom), (right, bottom));
        canvas.rule("axis", (self.left, TOP), (self.left, bottom));
        canvas.text((self.left + self.width / 2.0, bottom + 36.0), Anchor::Middle, &self.x.label);
        canvas.upright_text((14.0, TOP + self.height / 2.0), &self.y.label);
    }

    fn legend(&self, canvas: &mut Canvas, names: &[(&str, usize)]) {
        let left = self.left + self.width + 14.0;
        for (at, (name, hue)) in names.iter().enumerate() {
            let y = TOP + 10.0 + 20.0 * at as f64;
            canvas.line(*hue, &[(left, y), (left + 18.0, y)], 2.5);
            canvas.text((left + 24.0, y + 4.0), Anchor::Start, name);
        }
    }
}
