//! Treatment of invalid input that the official evaluators accept.

use crate::{Error, Result};

/// The treatment of input that the official evaluators accept and should not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Returns the official number, and notes the oddities that it depends on.
    #[default]
    Official,
    /// Refuse the input.
    Strict,
}

impl Mode {
    /// Names on the command line.
    pub const NAMES: [&str; 2] = ["official", "strict"];

    /// A mode by its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "official" => Some(Self::Official),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A collector of oddities (official), or one that stops at the first (strict).
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// The treatment of such input.
    pub mode: Mode,
    notes: Vec<Error>,
}

impl Judge {
    /// A judge that refuses oddities.
    pub fn strict() -> Self {
        Self::new(Mode::Strict)
    }

    /// A judge of this mode, without notes.
    pub fn new(mode: Mode) -> Self {
        Self { mode, notes: Vec::new() }
    }

    /// Whether the judge refuses oddities.
    pub fn is_strict(&self) -> bool {
        self.mode == Mode::Strict
    }

    /// Notes an oddity, or returns it as an error if strict.
    ///
    /// # Errors
    ///
    /// If strict.
    pub fn odd(&mut self, oddity: Error) -> Result<()> {
        if self.is_strict() {
            return Err(oddity);
        }
        self.notes.push(oddity);
        Ok(())
    }

    /// The notes so far, in order.
    pub fn notes(&self) -> &[Error] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_notes_and_strict_refuses() {
        let oddity = Error::entry("a.json", "predictions[3]", "half 3; must be 1 or 2");
        let mut judge = Judge::default();
        assert_eq!(judge.odd(oddity.clone()), Ok(()));
        assert_eq!(judge.notes(), std::slice::from_ref(&oddity));
        assert_eq!(Judge::strict().odd(oddity.clone()), Err(oddity));
    }

    #[test]
    fn names_are_read_back() {
        assert!(
            Mode::NAMES.iter().all(|name| Mode::parse(name).is_some_and(|m| m.name() == *name))
        );
        assert_eq!(Mode::parse("lenient"), None);
    }
}
