//! The quantity that a suite holds equal, and the deviation of each method from it.

use std::fmt;

use crate::{
    Row, Setting,
    few::{NOTED, first},
};

/// The budget of a method, relative to the reference method of its suite.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spent<'a> {
    /// The quantity that is held equal.
    pub(crate) equal: &'a str,
    /// The smallest and the largest deviation of the runs, as shares.
    pub(crate) off: (f64, f64),
    /// The tolerance, as a share.
    pub(crate) limit: f64,
}

impl<'a> Spent<'a> {
    /// The budget of a method in a setting; none if no quantity is held equal.
    pub(crate) fn of(setting: &Setting<'a>, method: &str) -> Option<Self> {
        Self::of_rows(setting.rows(method))
    }

    /// The same for any rows.
    pub(crate) fn of_rows(rows: impl Iterator<Item = &'a Row> + Clone) -> Option<Self> {
        let rows = rows.filter(|row| !row.budget.is_empty());
        let first = rows.clone().next()?;
        let off = || rows.clone().filter_map(|row| row.budget_off);
        let ends = (off().fold(f64::MAX, f64::min), off().fold(f64::MIN, f64::max));
        (ends.0 <= ends.1).then_some(Self {
            equal: &first.budget,
            off: ends,
            limit: first.budget_limit.unwrap_or(0.0),
        })
    }

    /// Whether any run exceeds the tolerance.
    pub(crate) fn is_off(&self) -> bool {
        self.off.0 < -self.limit || self.off.1 > self.limit
    }

    /// A sentence on the quantity that is held equal.
    pub(crate) fn rule(&self) -> String {
        let limit = 100.0 * self.limit;
        format!(
            "Held equal: {}, within {limit} % of the reference method; a method that is off is \
             marked, and takes no part in bold.",
            self.equal
        )
    }
}

/// Whether a method is off the budget of its suite.
pub(crate) fn is_off(setting: &Setting, method: &str) -> bool {
    Spent::of(setting, method).is_some_and(|spent| spent.is_off())
}

/// The note below a comparison that has methods off the budget; none if all are within it.
pub(crate) fn warning(setting: &Setting, methods: &[&str]) -> Option<String> {
    let spent = methods.iter().filter_map(|method| Some((method, Spent::of(setting, method)?)));
    let off: Vec<_> = spent.filter(|(_, spent)| spent.is_off()).collect();
    let equal = off.first()?.1.equal;
    let each: Vec<String> =
        off.iter().map(|(method, Spent { off, .. })| format!("{method} {}", share(*off))).collect();
    Some(format!(
        "Off the budget of equal {equal}: {}; differences are not due to the method alone.",
        first(NOTED, each, ", ")
    ))
}

impl fmt::Display for Spent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_off() { "off: " } else { "" };
        write!(f, "{mark}{}", share(self.off))
    }
}

/// A share, or a range of shares: `+0.4 %`, `-1.0 to +2.3 %`.
fn share((low, high): (f64, f64)) -> String {
    let (low, high) = (format!("{:+.1}", 100.0 * low), format!("{:+.1}", 100.0 * high));
    if low == high { format!("{low} %") } else { format!("{low} to {high} %") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Row, Runs, fixture::row};

    #[test]
    fn one_run_too_far_off_is_enough() {
        let off = |seed, off| Row {
            budget: "seconds".into(),
            budget_off: Some(off),
            budget_limit: Some(0.05),
            ..row("a", seed, "loss", 1.0)
        };
        let runs = Runs::of([off(0, -0.01), off(1, 0.051), row("b", 0, "loss", 1.0)]);
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let spent = Spent::of(&setting, "a").unwrap();
        assert_eq!(spent.to_string(), "off: -1.0 to +5.1 %");
        assert_eq!(Spent::of(&setting, "b"), None);
        let warning = warning(&setting, &["a", "b"]).unwrap();
        assert!(warning.starts_with("Off the budget of equal seconds: a -1.0 to +5.1 %;"));
        let within = Runs::of([off(0, -0.05), off(1, 0.05)]);
        let setting = Setting::all(&within, false).unwrap().remove(0);
        assert!(!is_off(&setting, "a"));
    }
}
