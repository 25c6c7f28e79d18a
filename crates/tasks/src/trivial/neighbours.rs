//! Prediction of a token from its two neighbours: counts with Witten-Bell smoothing, of both neighbours, of
//! the left one alone and of none. If the left neighbour is not known, the right one takes its place.

use super::ngram::Ngram;

/// The counts of a text.
pub(crate) struct Neighbours {
    /// Contexts end in the left neighbour.
    left: Ngram,
    /// Contexts end in the right neighbour.
    right: Ngram,
    /// Tokens from this number on are not known.
    vocab: i32,
}

impl Neighbours {
    /// A model without counts, of tokens in `0..vocab`.
    pub(crate) fn new(vocab: usize) -> Self {
        let [left, right] = [0, 1].map(|_| Ngram::new(3, vocab));
        Self { left, right, vocab: vocab as i32 }
    }

    /// Counts the tokens of a text that have two neighbours.
    pub(crate) fn learn(&mut self, text: &[i32]) {
        for beside in text.windows(3) {
            let [left, token, right] = [beside[0], beside[1], beside[2]];
            self.left.learn(&[right, left, token], 2);
            self.right.learn(&[left, right, token], 2);
        }
    }

    /// The probability of a token at a place of a text of which some tokens are not known.
    pub(crate) fn probability(&self, text: &[i32], at: usize, token: i32) -> f64 {
        let known = |at: Option<usize>| {
            let token = at.and_then(|at| text.get(at)).copied();
            token.filter(|token| (0..self.vocab).contains(token)).unwrap_or(self.vocab)
        };
        let (left, right) = (known(at.checked_sub(1)), known(Some(at + 1)));
        match left == self.vocab {
            true => self.right.probability(&[left, right, token], 2),
            false => self.left.probability(&[right, left, token], 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // With two neighbours: 1 between 0 and 0 twice, 0 between 1 and 1.
        let mut model = Neighbours::new(2);
        model.learn(&[0, 1, 0, 1, 0]);
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{found}");
        let hidden = 2;
        let alone = (2.0 + 2.0 / 2.0) / 5.0;
        let beside_one = (2.0 + alone) / 3.0;
        let between = (2.0 + beside_one) / 3.0;
        close(model.probability(&[hidden, hidden, hidden], 1, 1), alone);
        close(model.probability(&[0, hidden, hidden], 1, 1), beside_one);
        close(model.probability(&[hidden, hidden, 0], 1, 1), beside_one);
        close(model.probability(&[0, hidden, 0], 1, 1), between);
        close(model.probability(&[0, hidden, 0], 1, 0), 1.0 - between);
        // At the ends of a text there is one neighbour.
        close(model.probability(&[hidden, 0], 0, 1), beside_one);
        close(model.probability(&[0, hidden], 1, 1), beside_one);
    }
}
