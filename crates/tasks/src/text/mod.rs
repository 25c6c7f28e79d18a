//! Text.

mod attack;
mod files;
mod stream;
mod tanaka_lm;
mod text_lm;
pub mod tokens;

pub use stream::Stream;
pub use tanaka_lm::TanakaLm;
pub use text_lm::TextLm;
pub use tokens::Tokenizer;
