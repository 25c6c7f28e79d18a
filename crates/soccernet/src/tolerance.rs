//! Tolerances of spotting and grounding in seconds: a detection is correct within *half* of a tolerance on
//! either side.

/// The tolerances over which a metric is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tolerances {
    /// 5, 10, ..., 60 seconds.
    #[default]
    Loose,
    /// 1, 2, 3, 4, 5 seconds.
    Tight,
    /// A single one, of 1 to 5 seconds.
    At(u8),
}

impl Tolerances {
    /// Names on the command line.
    pub const NAMES: [&str; 7] = ["loose", "tight", "at1", "at2", "at3", "at4", "at5"];

    /// The tolerances with this name.
    pub fn parse(name: &str) -> Option<Self> {
        match Self::NAMES.iter().position(|known| *known == name)? {
            0 => Some(Self::Loose),
            1 => Some(Self::Tight),
            seconds => Some(Self::At(seconds as u8 - 1)),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loose => "loose",
            Self::Tight => "tight",
            Self::At(seconds) => Self::NAMES[usize::from(seconds.clamp(1, 5)) + 1],
        }
    }

    /// The tolerances in seconds.
    pub fn seconds(self) -> Vec<i64> {
        match self {
            Self::Loose => (1..=12).map(|i| 5 * i).collect(),
            Self::Tight => (1..=5).collect(),
            Self::At(seconds) => vec![i64::from(seconds)],
        }
    }

    /// The mean over tolerances by the trapezoid rule: the first and the last tolerance have half the weight.
    pub fn mean(values: &[f64]) -> f64 {
        match values {
            [] => 0.0,
            [one] => *one,
            _ => {
                let areas = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
                areas.sum::<f64>() / (values.len() - 1) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_seconds() {
        for name in Tolerances::NAMES {
            assert_eq!(Tolerances::parse(name).unwrap().name(), name);
        }
        assert_eq!(Tolerances::parse("at6"), None);
        assert_eq!(Tolerances::Loose.seconds().len(), 12);
        assert_eq!(Tolerances::parse("at3").unwrap().seconds(), [3]);
    }

    #[test]
    fn ends_weigh_half() {
        assert_eq!(Tolerances::mean(&[1.0, 0.0, 0.0, 0.0, 1.0]), 0.25);
        assert_eq!(Tolerances::mean(&[0.3]), 0.3);
    }
}
