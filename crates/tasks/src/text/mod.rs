//! Text.

mod alphabet;
mod attack;
mod stream;
mod tanaka_lm;
mod text_lm;

pub use tanaka_lm::TanakaLm;
pub use text_lm::TextLm;
