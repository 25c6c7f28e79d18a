//! Text.

mod attack;
mod choices;
mod files;
mod masked_lm;
mod measures;
mod sources;
mod state_of_the_union;
mod stream;
mod tanaka_lm;
mod text_lm;
pub mod tokens;
mod translation;

pub use choices::CHOICE_METRICS;
pub use masked_lm::{MaskedLm, MaskedLmConfig};
pub use measures::{Bleu, BleuScore, Chrf, Separation, Smoothing};
pub use state_of_the_union::StateOfTheUnion;
pub use stream::Stream;
pub use tanaka_lm::TanakaLm;
pub use text_lm::TextLm;
pub use tokens::{Tokenizer, Tokens};
pub use translation::{Translation, TranslationConfig};
