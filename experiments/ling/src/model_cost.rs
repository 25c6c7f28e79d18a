//! The cost of training a sparse language model: FLOPs, device hours, price.
//!
//! Ling team. *Every FLOP Counts*. 2025, table 1 and section 3.2. <https://arxiv.org/abs/2503.05139>
//!
//! ```text
//! FLOPs per token = 6 N + 12 L d S/2        N: active parameters without embeddings and head;
//!                                           L blocks, d = heads * head width, S the length:
//!                                           a token attends to half of it on average
//! hours  = FLOPs / (utilisation * peak)     of one device
//! price  = sum over devices of hours * price per hour
//! ```

use std::{fs, path::Path};

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

moe::config! {
    /// The sizes of a decoder with a MoE layer in every block.
    pub struct ModelSizes {
        /// The width of the stream.
        pub width: usize = 2048,
        /// The number of blocks.
        pub layers: usize = 28,
        /// The number of query heads.
        pub heads: usize = 16,
        /// The number of heads of keys and values.
        pub kv_heads: usize = 4,
        /// The width of a head; 0 means width / heads.
        pub head_width: usize = 0,
        /// The number of experts to choose from.
        pub experts: usize = 64,
        /// The number of experts that a token chooses.
        pub top_k: usize = 6,
        /// Shared experts, which process every token.
        pub shared: usize = 2,
        /// The experts' hidden width.
        pub hidden: usize = 1408,
        /// The number of tokens in the vocabulary.
        pub vocab: usize = 126_464,
        /// The number of tokens in a sequence.
        pub length: usize = 4096,
    }
}

/// The number of matrices of an expert: SwiGLU, as in Ling's models.
const MATRICES: usize = 3;

/// The published models, by name. The defaults are those of Ling-Lite.
pub(crate) const MODELS: [&str; 2] = ["Ling-Lite", "Ling-Plus"];

impl ModelSizes {
    /// A published model, or one from a TOML file.
    pub(crate) fn read(name: &str) -> anyhow::Result<Self> {
        let sizes = match name {
            "Ling-Lite" => Self::default(),
            "Ling-Plus" => Self {
                width: 5376,
                layers: 88,
                heads: 56,
                kv_heads: 8,
                top_k: 4,
                shared: 1,
                hidden: 3072,
                ..Self::default()
            },
            path if path.ends_with(".toml") => from_file(Path::new(path))?,
            other => {
                let known = MODELS.join(", ");
                return Err(anyhow!(
                    "no model is named {other:?}; known: {known}, or the path of a TOML file"
                ));
            }
        };
        sizes.check().with_context(|| format!("model {name}"))?;
        Ok(sizes)
    }

    fn check(&self) -> anyhow::Result<()> {
        let needed = [
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("experts", self.experts),
            ("hidden", self.hidden),
        ];
        for (key, value) in needed {
            ensure!(value > 0, "{key} = 0: must be at least 1");
        }
        let (k, experts, heads) = (self.top_k, self.experts, self.heads);
        ensure!(k <= experts, "top_k = {k}: must be at most experts = {experts}");
        let divides = self.head_width > 0 || self.width.is_multiple_of(heads);
        ensure!(divides, "heads = {heads} does not divide width = {}; set head_width", self.width);
        Ok(())
    }

    fn head_width(&self) -> usize {
        if self.head_width > 0 { self.head_width } else { self.width / self.heads }
    }

    /// The number of parameters of one block with `experts` experts.
    fn block(&self, experts: usize) -> f64 {
        let queries = 2 * self.heads * self.head_width();
        let keys = 2 * self.kv_heads * self.head_width();
        let experts = experts * MATRICES * self.hidden;
        (self.width * (queries + keys + experts + self.experts)) as f64
    }

    /// N: active parameters per token, without embeddings and head. Norms are not counted.
    pub(crate) fn active(&self) -> f64 {
        self.layers as f64 * self.block(self.top_k + self.shared)
    }

    /// Parameters of embeddings and head.
    pub(crate) fn embeddings(&self) -> f64 {
        (2 * self.vocab * self.width) as f64
    }

    /// All parameters.
    pub(crate) fn params(&self) -> f64 {
        self.layers as f64 * self.block(self.experts + self.shared) + self.embeddings()
    }

    /// FLOPs of training on one token.
    pub(crate) fn flops_per_token(&self) -> f64 {
        let attention = self.layers * self.heads * self.head_width() * self.length;
        6.0 * self.active() + 12.0 * attention as f64 / 2.0
    }
}

/// A device to train on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accelerator {
    /// The name of the device.
    pub(crate) name: String,
    /// The peak, in 10^12 FLOPs per second.
    pub(crate) tflops: f64,
    /// The memory in GB.
    pub(crate) memory: f64,
    /// The price per hour.
    pub(crate) price: f64,
    /// The source of the numbers.
    #[serde(default)]
    pub(crate) source: String,
}

/// The devices of table 1 of the paper; prices in yuan. Peaks are for 16 bits; D and E also support 8 bits.
pub(crate) fn published() -> Vec<Accelerator> {
    let device = |name: &str, tflops, memory, price| Accelerator {
        name: name.into(),
        tflops,
        memory,
        price,
        source: "arXiv 2503.05139, table 1".into(),
    };
    vec![
        device("A", 370.0, 64.0, 7.0),
        device("B", 120.0, 96.0, 4.5),
        device("C", 312.0, 80.0, 10.0),
        device("D", 989.0, 80.0, 27.5),
        device("E", 147.0, 96.0, 5.64),
    ]
}

/// The `[[device]]` tables of a TOML file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hardware {
    device: Vec<Accelerator>,
}

/// The devices of a file.
pub(crate) fn hardware(path: &Path) -> anyhow::Result<Vec<Accelerator>> {
    let Hardware { device } = from_file(path)?;
    ensure!(!device.is_empty(), "{}: expected at least one [[device]]", path.display());
    for Accelerator { name, tflops, price, .. } in &device {
        let valid = *tflops > 0.0 && tflops.is_finite() && *price >= 0.0 && price.is_finite();
        ensure!(
            valid,
            "{}: device {name:?}: tflops = {tflops} must be above 0, and price = {price} at least 0",
            path.display()
        );
    }
    Ok(device)
}

fn from_file<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

impl Accelerator {
    /// The hours that one device takes at this share of its peak.
    pub(crate) fn hours(&self, flops: f64, utilisation: f64) -> f64 {
        flops / (utilisation * self.tflops * 1e12) / 3600.0
    }

    /// The price of these hours.
    pub(crate) fn cost(&self, flops: f64, utilisation: f64) -> f64 {
        self.hours(flops, utilisation) * self.price
    }

    /// The share of its peak at which the FLOPs cost this much.
    pub(crate) fn implied(&self, flops: f64, cost: f64) -> f64 {
        self.cost(flops, 1.0) / cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, wanted: f64, share: f64) {
        assert!((got / wanted - 1.0).abs() < share, "{got} {wanted}");
    }

    #[test]
    fn a_tiny_model_by_hand() {
        let sizes = ModelSizes {
            width: 4,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            experts: 3,
            top_k: 1,
            shared: 1,
            hidden: 5,
            vocab: 7,
            length: 10,
            ..ModelSizes::default()
        };
        // A block: queries and output 2 * 4 * 4, keys and values 2 * 4 * 2, gate 4 * 3, and
        // 3 * 4 * 5 an expert.
        let block = 32.0 + 16.0 + 12.0;
        assert_eq!(sizes.active(), 2.0 * (block + 2.0 * 60.0));
        assert_eq!(sizes.params(), 2.0 * (block + 4.0 * 60.0) + 56.0);
        assert_eq!(sizes.flops_per_token(), 6.0 * 360.0 + 12.0 * 2.0 * 4.0 * 5.0);
    }

    #[test]
    fn the_published_models_have_their_sizes() {
        let [lite, plus] = MODELS.map(|name| ModelSizes::read(name).unwrap());
        near(lite.params(), 16.8e9, 0.005);
        near(lite.active() + lite.embeddings(), 2.75e9, 0.005);
        near(plus.params(), 290e9, 0.005);
        near(plus.active() + plus.embeddings(), 28.8e9, 0.01);
    }

    #[test]
    fn the_published_prices_of_a_trillion_tokens_imply_a_utilisation() {
        let plus = ModelSizes::read("Ling-Plus").unwrap();
        let flops = 1e12 * plus.flops_per_token();
        near(flops, 1.775e23, 0.002);
        let device = |name: &str| published().into_iter().find(|d| d.name == name).unwrap();
        // By hand: 1.775e23 / (989e12 * 3600) = 49,850 hours at 27.5, 1.371 M at the peak.
        near(device("D").hours(flops, 1.0), 49_850.0, 0.002);
        near(device("D").implied(flops, 6.35e6), 0.216, 0.005);
        near(device("D").cost(flops, 0.216), 6.35e6, 0.005);
        // The cheap devices would have to reach these shares of their peaks for 5.08 M.
        for (name, share) in [("A", 0.184), ("B", 0.364), ("C", 0.311), ("E", 0.372)] {
            near(device(name).implied(flops, 5.08e6), share, 0.01);
        }
    }

    #[test]
    fn bad_input_is_named_with_the_alternatives() {
        let err = ModelSizes::read("ling").unwrap_err().to_string();
        assert!(
            err.starts_with("no model is named \"ling\"; known: Ling-Lite, Ling-Plus"),
            "{err}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        let wrong = |text: &str| {
            fs::write(&path, text).unwrap();
            let name = path.display().to_string();
            format!("{:#}", ModelSizes::read(&name).unwrap_err())
        };
        let err = wrong("widht = 3");
        assert!(err.contains("m.toml") && err.contains("unknown field `widht`"), "{err}");
        assert!(wrong("width = 30").contains("heads = 16 does not divide width = 30"));
        assert!(wrong("top_k = 65").contains("top_k = 65: must be at most experts = 64"));
        let devices = |text: &str| {
            fs::write(&path, text).unwrap();
            format!("{:#}", hardware(&path).unwrap_err())
        };
        let err = devices("[[device]]\nname = 'x'\ntflops = 0.0\nmemory = 1.0\nprice = 1.0\n");
        assert!(err.contains("device \"x\": tflops = 0"), "{err}");
        let err = devices("[[device]]\nname = 'x'\ntflop = 1.0\nmemory = 1.0\nprice = 1.0\n");
        assert!(err.contains("unknown field `tflop`, expected one of"), "{err}");
        assert!(hardware(Path::new("no.toml")).is_err());
    }
}
