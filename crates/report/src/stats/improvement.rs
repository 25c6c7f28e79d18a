//! The probability of improvement: the probability that a run of A beats a run of B on the same task. Agarwal
//! et al. 2021, <https://arxiv.org/abs/2108.13264>, section 4.3.

/// The probability that a run of `a` is higher than one of `b`, with ties counted as half and all tasks
/// weighted equally. Both arguments have one list of runs for each task. None if a list is empty. This is the
/// reference for [`improvements`].
#[cfg(test)]
fn probability_of_improvement(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<f64> {
    let mut tasks = a.iter().zip(b).map(|(a, b)| chance(a, b));
    let (sum, n) = tasks.try_fold((0.0, 0), |(sum, n), x| Some((sum + x?, n + 1)))?;
    (n > 0).then(|| sum / f64::from(n))
}

/// The mean of the probabilities of improvement of each method over each other method, from the runs
/// `scores[method][task]` of at least two methods, with the same number of runs per task for each method.
/// Each run is searched for once among the runs of all methods, and not once for each other method.
pub(crate) fn improvements(scores: &[Vec<Vec<f64>>]) -> Vec<f64> {
    let tasks = scores.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; scores.len()];
    for task in 0..tasks {
        let all =
            sorted(&scores.iter().flat_map(|tasks| &tasks[task]).copied().collect::<Vec<_>>());
        for (sum, of_method) in sums.iter_mut().zip(scores) {
            let own = &of_method[task];
            let n = own.len() as f64;
            // A method's runs win half of the comparisons among themselves.
            *sum += (won(own, &all) - n * n / 2.0) / (n * n * (scores.len() - 1) as f64);
        }
    }
    sums.into_iter().map(|sum| sum / tasks as f64).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The number of comparisons that the runs of `a` win against sorted runs, with ties counted as half.
fn won(a: &[f64], sorted: &[f64]) -> f64 {
    let won = |a: &f64| {
        let below = sorted.partition_point(|b| b < a);
        let up_to = sorted.partition_point(|b| b <= a);
        (below + up_to) as f64 / 2.0
    };
    a.iter().map(won).sum()
}

#[cfg(test)]
fn chance(a: &[f64], b: &[f64]) -> Option<f64> {
    let duels = a.len() * b.len();
    (duels > 0).then(|| won(a, &sorted(b)) / duels as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // 3 beats 1 and 2; 2 beats 1 and ties with 2: 3.5 of 4. In the second task the run loses.
        let (a, b) = ([vec![3.0, 2.0], vec![0.0]], [vec![1.0, 2.0], vec![1.0]]);
        assert_eq!(probability_of_improvement(&a, &b), Some(3.5 / 4.0 / 2.0));
        assert_eq!(probability_of_improvement(&[vec![]], &[vec![1.0]]), None);
    }

    #[test]
    fn among_many_it_is_the_mean_over_the_others() {
        let scores = [
            vec![vec![0.5, 0.2, 0.2], vec![0.1, 0.9, 0.4]],
            vec![vec![0.2, 0.3, 0.5], vec![0.4, 0.4, 0.8]],
            vec![vec![0.1, 0.2, 0.6], vec![0.9, 0.3, 0.1]],
        ];
        for (at, got) in improvements(&scores).into_iter().enumerate() {
            let others = (0..3).filter(|other| *other != at);
            let each = others.map(|b| probability_of_improvement(&scores[at], &scores[b]).unwrap());
            assert!((got - each.sum::<f64>() / 2.0).abs() < 1e-15);
        }
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
