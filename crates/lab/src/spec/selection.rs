//! The selection of a suite's runs.

use report::few;

/// The tier of a suite without a tier's settings.
pub(crate) const LAPTOP: &str = "laptop";

/// The selected runs of a suite, and what is changed in them.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The sizes of the suite; they are part of its name, not of the options.
    pub(crate) tier: String,
    /// The device.
    pub(crate) device: String,
    /// Other seeds than the suite's.
    pub(crate) seeds: Option<Vec<u64>>,
    /// Only runs with these properties, `key=value`.
    pub(crate) only: Vec<String>,
    /// Settings laid over all others, `a.b=c`.
    pub(crate) set: Vec<String>,
    /// Train a few steps only, as a smoke test.
    pub(crate) smoke: bool,
}

impl Default for Selection {
    /// The whole suite, on the processor.
    fn default() -> Self {
        let (only, set) = (Vec::new(), Vec::new());
        let (tier, device) = (LAPTOP.into(), "flex".into());
        Self { tier, device, seeds: None, only, set, smoke: false }
    }
}

impl Selection {
    /// The options that make a request different from that of the whole suite, in a fixed order.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.device != "flex" {
            options.push(format!("--device {}", self.device));
        }
        if let Some(seeds) = &self.seeds {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            options.push(format!("--seeds {}", seeds.join(",")));
        }
        options.extend(self.only.iter().map(|only| format!("--only {only}")));
        options.extend(self.set.iter().map(|set| format!("--set {set}")));
        options.extend(self.smoke.then(|| "--smoke".to_string()));
        options
    }
}

/// The largest number of seeds of an option that a message lists.
const NAMED: usize = 20;

/// An option for a message, with a long list of seeds shortened: `--seeds 0..100000`.
pub(crate) fn shorter(option: &str) -> String {
    let seeds = option.strip_prefix("--seeds ").map(|seeds| seeds.split(','));
    let Some(seeds) = seeds.filter(|seeds| seeds.clone().count() > NAMED) else {
        return option.into();
    };
    let all: Vec<u64> = seeds.clone().filter_map(|seed| seed.parse().ok()).collect();
    match all[..] {
        [first, .., last] if all.windows(2).all(|two| two[0].checked_add(1) == Some(two[1])) => {
            format!("--seeds {first}..{}", u128::from(last) + 1)
        }
        _ => format!("--seeds {}", few(seeds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_of_seeds_are_short_in_messages() {
        let option = |seeds: Vec<u64>| {
            let wanted = Selection { seeds: Some(seeds), ..Selection::default() };
            shorter(&wanted.options()[0])
        };
        assert_eq!(option(vec![0, 1, 2]), "--seeds 0,1,2");
        assert_eq!(option((5..100_000).collect()), "--seeds 5..100000");
        let odd = option((0..100_000).map(|seed| 2 * seed).collect());
        assert!(odd.ends_with(", 36, 38, and 99980 more"), "{odd}");
        assert_eq!(shorter("--smoke"), "--smoke");
    }
}
