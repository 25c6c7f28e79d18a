//! The one-to-one assignment of boxes with the largest sum, by shortest augmenting paths (crate `lsap`).

/// A row, a column, and the value of their pair: more than 0.
pub type Worth = (usize, usize, f64);

/// Pairs of row and column with the highest sum of values; each row and each column is in at most one of
/// them. Pairs that are not given have value 0 and are never chosen. No value may be NaN.
///
/// Most rows of a frame overlap one column that overlaps nothing else: these are paired at once, and the
/// assignment is solved for the rest alone, so that the cost depends on the crowded places only.
pub fn highest(worths: &[Worth]) -> Vec<(usize, usize)> {
    let rows = degrees(worths.iter().map(|worth| worth.0));
    let columns = degrees(worths.iter().map(|worth| worth.1));
    let is_alone = |(r, c, _): &&Worth| rows[*r] == 1 && columns[*c] == 1;
    let (alone, crowded): (Vec<&Worth>, Vec<&Worth>) = worths.iter().partition(is_alone);
    let mut pairs: Vec<(usize, usize)> = alone.into_iter().map(|(r, c, _)| (*r, *c)).collect();
    if !crowded.is_empty() {
        pairs.extend(solve(&crowded));
    }
    pairs
}

/// The number of occurrences of each number.
fn degrees(numbers: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut degrees = Vec::new();
    for number in numbers {
        degrees.resize(degrees.len().max(number + 1), 0);
        degrees[number] += 1;
    }
    degrees
}

/// The assignment over the rows and columns that are in some pair.
fn solve(worths: &[&Worth]) -> Vec<(usize, usize)> {
    let rows = distinct(worths.iter().map(|worth| worth.0));
    let columns = distinct(worths.iter().map(|worth| worth.1));
    let place = |all: &[usize], one: usize| all.partition_point(|other| *other < one);
    let mut matrix = vec![0.0; rows.len() * columns.len()];
    for (r, c, worth) in worths {
        matrix[place(&rows, *r) * columns.len() + place(&columns, *c)] = *worth;
    }
    let (r, c) = lsap::solve(rows.len(), columns.len(), &matrix, true).unwrap_or_default();
    let chosen = r.into_iter().zip(c).filter(|(r, c)| matrix[r * columns.len() + c] > 0.0);
    chosen.map(|(r, c)| (rows[r], columns[c])).collect()
}

fn distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut distinct: Vec<usize> = numbers.collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(worths: &[Worth]) -> Vec<(usize, usize)> {
        let mut pairs = highest(worths);
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn wide_tall_and_empty() {
        assert_eq!(sorted(&[(0, 0, 1.0), (0, 1, 5.0), (0, 2, 2.0)]), [(0, 1)]);
        assert_eq!(sorted(&[(0, 0, 4.0), (1, 0, 5.0), (2, 0, 6.0)]), [(2, 0)]);
        let square = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 2.0), (1, 1, 2.9)];
        assert_eq!(sorted(&square), [(0, 1), (1, 0)]);
        assert_eq!(sorted(&[]), []);
    }

    #[test]
    fn lonely_pairs_and_crowds_together_are_the_best_of_all_assignments() {
        // Rows 0 and 4 are alone; rows 1 to 3 share columns 1 to 3.
        let worths = [
            (0, 9, 0.3),
            (1, 1, 0.9),
            (1, 2, 0.8),
            (2, 1, 0.8),
            (3, 2, 0.1),
            (3, 3, 0.2),
            (4, 5, 0.7),
        ];
        assert_eq!(sorted(&worths), [(0, 9), (1, 2), (2, 1), (3, 3), (4, 5)]);
    }
}
