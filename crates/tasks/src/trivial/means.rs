//! Classification of a row by the means of the classes: an isotropic Gaussian around each mean, with the same
//! variance for all classes, and the share of the class,
//!
//! score of c = ln(share of c) - |x - mean of c|² / (2 s²)                                       (1)
//!
//! with s² the mean squared distance of a row to the mean of its class, over the numbers of a row.

/// The means of classes.
pub(crate) struct ClassMeans {
    means: Vec<Vec<f64>>,
    /// The share of each class; 0 if it has no row.
    shares: Vec<f64>,
    variance: f64,
}

impl ClassMeans {
    /// The means of rows of `width` numbers with their classes, in `0..classes`.
    pub(crate) fn of<'a, I>(rows: I, [classes, width]: [usize; 2]) -> Self
    where
        I: Iterator<Item = (&'a [f32], usize)> + Clone,
    {
        let (mut means, mut counts) = (vec![vec![0.0; width]; classes], vec![0.0_f64; classes]);
        for (row, class) in rows.clone() {
            counts[class] += 1.0;
            means[class].iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            mean.iter_mut().for_each(|sum| *sum /= count.max(1.0));
        }
        let all = counts.iter().sum::<f64>().max(1.0);
        let away: f64 = rows.map(|(row, class)| squared(row, &means[class])).sum();
        let variance = (away / (all * width.max(1) as f64)).max(1e-12);
        Self { means, shares: counts.iter().map(|count| count / all).collect(), variance }
    }

    /// The score (1) of each class; minus infinity for a class without rows.
    pub(crate) fn scores(&self, row: &[f32]) -> Vec<f64> {
        let score = |(mean, share): (&Vec<f64>, &f64)| {
            share.ln() - squared(row, mean) / (2.0 * self.variance)
        };
        self.means.iter().zip(&self.shares).map(score).collect()
    }

    /// The probability of each class by (1).
    pub(crate) fn probabilities(&self, row: &[f32]) -> Vec<f64> {
        let scores = self.scores(row);
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all: f64 = scores.iter().map(|score| (score - most).exp()).sum();
        scores.iter().map(|score| (score - most).exp() / all).collect()
    }
}

fn squared(row: &[f32], mean: &[f64]) -> f64 {
    row.iter().zip(mean).map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Means 1 and 6; squared distances 1, 1, 0 over three numbers: s² = 2 / 3. Class 1 has no row.
        let rows = [[0.0_f32], [2.0], [6.0]];
        let rows = rows.iter().map(|row| &row[..]).zip([0, 0, 2]);
        let means = ClassMeans::of(rows, [3, 1]);
        let scores = means.scores(&[3.0]);
        assert!((scores[0] - ((2.0_f64 / 3.0).ln() - 4.0 / (4.0 / 3.0))).abs() < 1e-12);
        assert!((scores[2] - ((1.0_f64 / 3.0).ln() - 9.0 / (4.0 / 3.0))).abs() < 1e-12);
        assert_eq!(scores[1], f64::NEG_INFINITY);
        let shares = means.probabilities(&[3.0]);
        let expected = 1.0 / (1.0 + (scores[2] - scores[0]).exp());
        assert!((shares[0] - expected).abs() < 1e-12 && shares[1] == 0.0);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
