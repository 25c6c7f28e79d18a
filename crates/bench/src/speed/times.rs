//! Times of the variants, and the rows made of them.

use serde::Serialize;

use super::{args::Speed, peak::Peak};

/// One row.
#[derive(Serialize)]
pub(crate) struct EngineSpeed {
    pub(crate) engine: &'static str,
    pub(crate) kind: String,
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) hidden: usize,
    pub(crate) experts: usize,
    pub(crate) k: usize,
    pub(crate) threads: usize,
    pub(crate) forward_ms: f64,
    pub(crate) forward_backward_ms: f64,
    pub(crate) forward_min_ms: f64,
    pub(crate) forward_backward_min_ms: f64,
    /// GFLOP/s of the experts' products in the forward pass, at the minimum time.
    pub(crate) gflops: f64,
    /// The highest rate of the device, if a layer was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak: Option<Peak>,
}

/// Milliseconds, round by round.
#[derive(Clone, Default)]
pub(crate) struct Times {
    forward: Vec<f64>,
    pub(super) both: Vec<f64>,
}

impl Times {
    /// Adds a round.
    pub(crate) fn add(&mut self, forward: f64, both: f64) {
        self.forward.push(forward);
        self.both.push(both);
    }
}

/// The row of a variant.
pub(crate) fn row(
    setting: &Speed,
    threads: usize,
    (engine, times): (&'static str, Times),
) -> EngineSpeed {
    let Times { mut forward, mut both } = times;
    forward.sort_by(f64::total_cmp);
    both.sort_by(f64::total_cmp);
    let Speed { tokens, width, hidden, experts, k, .. } = *setting;
    EngineSpeed {
        engine,
        kind: setting.kind.clone(),
        tokens,
        width,
        hidden,
        experts,
        k,
        threads,
        forward_ms: median(&forward),
        forward_backward_ms: median(&both),
        forward_min_ms: forward[0],
        forward_backward_min_ms: both[0],
        gflops: flops(setting) / forward[0] / 1e6,
        peak: None,
    }
}

/// The median of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// Floating-point operations of the experts' products in one forward pass.
pub(crate) fn flops(setting: &Speed) -> f64 {
    let matrices = if setting.kind == "swiglu" { 3 } else { 2 };
    (2 * matrices * setting.tokens * setting.k * setting.width * setting.hidden) as f64
}

#[cfg(test)]
mod tests {
    use super::{super::args::setting, *};

    #[test]
    fn flops_and_medians_by_hand() {
        assert_eq!(flops(&setting()), (2 * 3 * 12 * 2 * 4 * 3) as f64);
        assert_eq!((median(&[1.0, 2.0, 4.0]), median(&[1.0, 2.0])), (2.0, 1.5));
    }
}
