//! Sums and means of the reports of MoE layers.

use moe::LayerReport;

/// Adds the reports of the layers on one more batch; with supernets, not every batch has all layers.
pub(crate) fn add_reports(sums: &mut Vec<LayerReport>, reports: &[LayerReport]) {
    for (layer, report) in reports.iter().enumerate() {
        match sums.get_mut(layer) {
            Some(sum) => sum.add(report),
            None => sums.push(report.clone()),
        }
    }
}

/// The mean over the layers, if there are any.
pub(crate) fn mean_over(layers: &[LayerReport], of: impl Fn(&LayerReport) -> f64) -> Option<f64> {
    let sum: f64 = layers.iter().map(of).sum();
    (!layers.is_empty()).then(|| sum / layers.len() as f64)
}
