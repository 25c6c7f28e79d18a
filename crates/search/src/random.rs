//! Random search: as many different members as another search has evaluated, drawn independently.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{Found, Search, SearchError, trials::Seen};

impl Search<'_> {
    /// Evaluates `evaluations` different members that keep the limit; fewer if the space has no more.
    ///
    /// # Errors
    /// If no member keeps the limit, or one cannot be evaluated.
    pub fn random(&mut self, evaluations: usize) -> Result<Found, SearchError> {
        if evaluations == 0 {
            return Err(SearchError::Settings("evaluations = 0: at least one is needed".into()));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(1);
        let (mut seen, mut new) = (Seen::default(), Vec::new());
        while new.len() < evaluations {
            let Some(candidate) =
                self.propose(&mut seen, &mut rng, |space, rng| space.draw(rng))?
            else {
                break;
            };
            new.push(candidate);
        }
        let mut found = Found { candidates: Vec::new(), populations: Vec::new() };
        self.evaluate_all(new, &mut found)?;
        Ok(found)
    }
}
