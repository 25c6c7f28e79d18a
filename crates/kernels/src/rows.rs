//! Rows sorted by expert with a counting sort, and cut into chunks for parallel work.

/// One row of work: a token processed by an expert, with the weight of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertRow {
    /// The expert, in `0..n_experts`.
    pub expert: usize,
    /// The row of the input, in `0..n_tokens`.
    pub token: usize,
    /// The index of its weight, in `0..n_choices`; several rows may share one.
    pub choice: usize,
}

/// Rows in the order of their experts.
///
/// Tokens are divided into chunks of equal length, and within an expert the rows of one chunk are
/// contiguous, as a *segment*. A chunk is a unit of parallel work: no two chunks write to the same token,
/// and the number of rows of a chunk does not depend on the distribution of the load over the experts.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(crate) n_tokens: usize,
    pub(crate) n_experts: usize,
    pub(crate) n_choices: usize,
    /// Tokens in a chunk; the last chunk may be shorter.
    pub(crate) chunk: usize,
    pub(crate) n_chunks: usize,
    pub(crate) token: Vec<u32>,
    pub(crate) choice: Vec<u32>,
    /// The start of the segment of expert e and chunk c: `bounds[e * n_chunks + c]`; the last entry is the
    /// end.
    bounds: Vec<usize>,
}

/// The average number of rows of a segment from which on a product runs at nearly full speed.
const SEGMENT: usize = 128;
/// The number of rows from which on a second thread pays off.
const WORTH_TWO: usize = 256;
/// The largest number of chunks; more bring no speed-up.
const MOST_CHUNKS: usize = 64;

impl Rows {
    /// Sorts entries by expert, in linear time. Entries of a segment keep their order.
    ///
    /// # Panics
    /// If an entry is out of range.
    pub fn new(
        n_tokens: usize,
        n_experts: usize,
        n_choices: usize,
        entries: impl Iterator<Item = ExpertRow> + Clone,
    ) -> Self {
        let n_rows = entries.clone().count();
        // It depends on the shape alone, so that the number of threads changes no sum.
        let least = if n_rows < WORTH_TWO { 1 } else { 2 };
        let wanted = (n_rows / (SEGMENT * n_experts.max(1))).clamp(least, MOST_CHUNKS);
        let chunk = n_tokens.div_ceil(1 << wanted.ilog2()).max(1);
        let n_chunks = n_tokens.div_ceil(chunk).max(1);
        let segment = |entry: &ExpertRow| entry.expert * n_chunks + entry.token / chunk;
        let mut bounds = vec![0; n_experts * n_chunks + 1];
        for entry in entries.clone() {
            assert!(
                entry.token < n_tokens && entry.choice < n_choices,
                "{entry:?} is out of range"
            );
            bounds[segment(&entry) + 1] += 1;
        }
        for i in 1..bounds.len() {
            bounds[i] += bounds[i - 1];
        }
        let mut next = bounds.clone();
        let (mut token, mut choice) = (vec![0; n_rows], vec![0; n_rows]);
        for entry in entries {
            let row = &mut next[segment(&entry)];
            token[*row] = entry.token as u32;
            choice[*row] = entry.choice as u32;
            *row += 1;
        }
        Self { n_tokens, n_experts, n_choices, chunk, n_chunks, token, choice, bounds }
    }

    /// `per_expert` rows for each expert, in order, for experts with slots of their own.
    pub fn in_order(n_experts: usize, per_expert: usize) -> Self {
        let n = n_experts * per_expert;
        let entry = |row| ExpertRow { expert: row / per_expert, token: row, choice: row };
        Self::new(n, n_experts, n, (0..n).map(entry))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.token.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.token.is_empty()
    }

    /// The choice of each row.
    pub fn choices(&self) -> impl Iterator<Item = usize> {
        self.choice.iter().map(|choice| *choice as usize)
    }

    /// The number of rows of each expert.
    pub fn loads(&self) -> Vec<usize> {
        (0..self.n_experts).map(|expert| self.of(expert).len()).collect()
    }

    /// The rows of an expert.
    pub(crate) fn of(&self, expert: usize) -> std::ops::Range<usize> {
        self.bounds[expert * self.n_chunks]..self.bounds[(expert + 1) * self.n_chunks]
    }

    /// The rows of an expert in a chunk.
    pub(crate) fn segment(&self, expert: usize, chunk: usize) -> std::ops::Range<usize> {
        let at = expert * self.n_chunks + chunk;
        self.bounds[at]..self.bounds[at + 1]
    }

    /// Splits `width` numbers for each row into the segments of each chunk: `pieces[chunk][expert]`.
    pub(crate) fn cut<'a>(&self, mut rest: &'a mut [f32], width: usize) -> Vec<Vec<&'a mut [f32]>> {
        let mut pieces: Vec<Vec<&mut [f32]>> =
            (0..self.n_chunks).map(|_| Vec::with_capacity(self.n_experts)).collect();
        for expert in 0..self.n_experts {
            for (chunk, pieces) in pieces.iter_mut().enumerate() {
                let (piece, more) = rest.split_at_mut(self.segment(expert, chunk).len() * width);
                pieces.push(piece);
                rest = more;
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(n_tokens: usize, n_experts: usize) -> impl Strategy<Value = Vec<ExpertRow>> {
        let entry = (0..n_experts, 0..n_tokens).prop_map(|(expert, token)| ExpertRow {
            expert,
            token,
            choice: token,
        });
        prop::collection::vec(entry, 0..600)
    }

    proptest! {
        #[test]
        fn every_entry_is_there_once_at_its_expert_and_chunk(entries in entries(300, 3)) {
            let rows = Rows::new(300, 3, 300, entries.iter().copied());
            let mut found = Vec::new();
            for expert in 0..3 {
                for chunk in 0..rows.n_chunks {
                    for row in rows.segment(expert, chunk) {
                        let token = rows.token[row] as usize;
                        prop_assert_eq!(token / rows.chunk, chunk);
                        found.push(ExpertRow { expert, token, choice: rows.choice[row] as usize });
                    }
                }
            }
            let key = |entry: &ExpertRow| (entry.expert, entry.token, entry.choice);
            let mut expected = entries;
            expected.sort_by_key(key);
            found.sort_by_key(key);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn no_rows_and_no_tokens_are_fine() {
        let rows = Rows::new(0, 2, 0, std::iter::empty());
        assert!(rows.is_empty());
        assert_eq!(rows.loads(), [0, 0]);
        assert_eq!(Rows::in_order(3, 2).loads(), [2, 2, 2]);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_token_that_is_not_there_is_refused() {
        Rows::new(1, 1, 1, std::iter::once(ExpertRow { expert: 0, token: 1, choice: 0 }));
    }
}
