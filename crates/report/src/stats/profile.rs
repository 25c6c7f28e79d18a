//! Performance profiles: the share of runs above each threshold.
//! Agarwal et al. 2021, <https://arxiv.org/abs/2108.13264>, section 4.2.

use super::mean::average;

/// The share of runs above `threshold`, with all tasks weighted equally: `tasks[task][run]`. None without
/// runs.
pub fn profile(tasks: &[Vec<f64>], threshold: f64) -> Option<f64> {
    let share = |runs: &Vec<f64>| {
        let above = runs.iter().filter(|score| **score > threshold).count();
        (!runs.is_empty()).then(|| above as f64 / runs.len() as f64)
    };
    average(&tasks.iter().filter_map(share).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        let tasks = [vec![0.2, 0.5, 0.9, 0.9], vec![0.5]];
        assert_eq!(profile(&tasks, 0.5), Some((0.5 + 0.0) / 2.0));
        assert_eq!(profile(&tasks, 0.1), Some(1.0));
        assert_eq!(profile(&[], 0.1), None);
    }

    #[test]
    fn numpy_agrees() {
        let golden = golden("profile");
        let scores: Vec<Vec<f64>> = serde_json::from_value(golden["scores"].clone()).unwrap();
        for point in golden["points"].as_array().unwrap() {
            let share = profile(&scores, point["tau"].as_f64().unwrap()).unwrap();
            assert!((share - point["share"].as_f64().unwrap()).abs() < 1e-14, "{point}");
        }
    }
}
