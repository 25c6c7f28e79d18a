//! Matching of the experts of two networks: the one-to-one assignment with the largest sum.
//!
//! Kuhn. *The Hungarian Method for the Assignment Problem*. 1955.
//! <https://doi.org/10.1002/nav.3800020109>, in the form with potentials, of cubic time.
//!
//! Units of two networks are compared after such a matching in: Li et al. *Convergent Learning*. ICLR 2016.
//! <https://arxiv.org/abs/1511.07543>

/// The column of each row of a square matrix, such that the sum of the entries is the largest.
pub fn matching(gain: &[Vec<f64>]) -> Vec<usize> {
    let n = gain.len();
    // Rows and columns count from 1; row 0 is the row that is being assigned. Costs are negative gains.
    let (mut u, mut v) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let mut row_of = vec![0; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let (mut column, mut least) = (0, vec![f64::INFINITY; n + 1]);
        let (mut came_from, mut used) = (vec![0; n + 1], vec![false; n + 1]);
        while row_of[column] != 0 {
            used[column] = true;
            let (here, mut step, mut next) = (row_of[column], f64::INFINITY, 0);
            for j in (1..=n).filter(|j| !used[*j]) {
                let reduced = -gain[here - 1][j - 1] - u[here] - v[j];
                if reduced < least[j] {
                    (least[j], came_from[j]) = (reduced, column);
                }
                if least[j] < step {
                    (step, next) = (least[j], j);
                }
            }
            for j in 0..=n {
                if used[j] {
                    u[row_of[j]] += step;
                    v[j] -= step;
                } else {
                    least[j] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[came_from[column]];
            column = came_from[column];
        }
    }
    let mut columns = vec![0; n];
    (1..=n).for_each(|column| columns[row_of[column] - 1] = column - 1);
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Rng;

    fn total(gain: &[Vec<f64>], columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, column)| gain[row][*column]).sum()
    }

    /// The largest sum over all assignments, by exhaustive search.
    fn best(gain: &[Vec<f64>], row: usize, free: &[usize]) -> f64 {
        if free.is_empty() {
            return 0.0;
        }
        let rest =
            |column: usize| free.iter().copied().filter(|c| *c != column).collect::<Vec<_>>();
        let with = |column: &usize| gain[row][*column] + best(gain, row + 1, &rest(*column));
        free.iter().map(with).fold(f64::MIN, f64::max)
    }

    #[test]
    fn no_other_assignment_is_better() {
        let mut rng = Rng::new(3);
        for n in 1..=6 {
            for _ in 0..20 {
                let row = |rng: &mut Rng| (0..n).map(|_| rng.below(50) as f64).collect();
                let gain: Vec<Vec<f64>> = (0..n).map(|_| row(&mut rng)).collect();
                let columns = matching(&gain);
                let all: Vec<usize> = (0..n).collect();
                assert_eq!(total(&gain, &columns), best(&gain, 0, &all), "{gain:?}");
                let mut sorted = columns.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, all);
            }
        }
    }
}
