//! The selection of a suite's runs.

/// The tier of a suite as it stands.
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
    /// The options that make it another request than that of the whole suite, in a fixed order.
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
