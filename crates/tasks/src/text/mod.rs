//! Text.

mod attack;
mod choices;
mod files;
mod sources;
mod state_of_the_union;
mod stream;
mod tanaka_lm;
mod text_lm;
pub mod tokens;

pub use choices::{CHOICE_METRICS, Candidate, Question};
pub use state_of_the_union::{HoldOut, StateOfTheUnion};
pub use stream::Stream;
pub use tanaka_lm::TanakaLm;
pub use text_lm::TextLm;
pub use tokens::Tokenizer;
