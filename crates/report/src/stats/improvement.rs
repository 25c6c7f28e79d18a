//! The probability of improvement: how often a run of A beats a run of B on the same task.
//! Agarwal et al. 2021, <https://arxiv.org/abs/2108.13264>, section 4.3.

/// The chance that a run of `a` is higher than one of `b`, ties as half, every task alike.
/// Both have one list of runs for each task. None where a list is empty.
pub fn probability_of_improvement(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<f64> {
    let sorted = |task: &Vec<f64>| {
        let mut sorted = task.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    improvement_of_sorted(a, &b.iter().map(sorted).collect::<Vec<_>>())
}

/// The same where the runs of `b` are in order.
pub(crate) fn improvement_of_sorted(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<f64> {
    let tasks = a.iter().zip(b).map(|(a, b)| chance(a, b));
    let (sum, n) = tasks.into_iter().try_fold((0.0, 0), |(sum, n), x| Some((sum + x?, n + 1)))?;
    (n > 0).then(|| sum / f64::from(n))
}

fn chance(a: &[f64], sorted: &[f64]) -> Option<f64> {
    let won = |a: &f64| {
        let below = sorted.partition_point(|b| b < a);
        let up_to = sorted.partition_point(|b| b <= a);
        (below + up_to) as f64 / 2.0
    };
    let duels = a.len() * sorted.len();
    (duels > 0).then(|| a.iter().map(won).sum::<f64>() / duels as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // 3 beats 1 and 2; 2 beats 1 and ties with 2: 3.5 of 4. The second task is lost.
        let (a, b) = ([vec![3.0, 2.0], vec![0.0]], [vec![1.0, 2.0], vec![1.0]]);
        assert_eq!(probability_of_improvement(&a, &b), Some(3.5 / 4.0 / 2.0));
        assert_eq!(probability_of_improvement(&[vec![]], &[vec![1.0]]), None);
    }

    #[test]
    fn rliable_agrees() {
        for case in golden("improvement").as_array().unwrap() {
            let lists =
                |key: &str| -> Vec<Vec<f64>> { serde_json::from_value(case[key].clone()).unwrap() };
            let chance = probability_of_improvement(&lists("a"), &lists("b")).unwrap();
            assert!((chance - case["chance"].as_f64().unwrap()).abs() < 1e-14);
        }
    }
}
