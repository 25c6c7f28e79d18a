//! Pictures.

mod digits;

pub use digits::Digits;
