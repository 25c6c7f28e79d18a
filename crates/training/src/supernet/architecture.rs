//! Architectures of a supernet: the space, and random draws from it.

use moe::config;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::genes::{ArchitectureChoice, Genes, Named};

config! {
    /// The architectures of a supernet (AutoMoE, table 2). For text, the layers are those of the decoder.
    pub struct SupernetSpace {
        /// Widths of the encoder.
        pub encoder_width: Vec<usize> = vec![32, 48],
        /// Widths of the decoder.
        pub decoder_width: Vec<usize> = vec![32, 48],
        /// The number of layers of the encoder, which is the same for all architectures.
        pub encoder_layers: usize = 2,
        /// The numbers of layers of the decoder.
        pub decoder_layers: Vec<usize> = vec![1, 2, 3],
        /// The numbers of heads of each attention.
        pub heads: Vec<usize> = vec![2, 4],
        /// The numbers of last encoder layers to whose outputs a layer of the decoder may attend.
        pub encoder_outputs: Vec<usize> = vec![1, 2],
        /// The numbers of experts of each layer; 1 means a dense network.
        pub experts: Vec<usize> = vec![1, 2, 3],
        /// The hidden widths of each expert.
        pub hidden: Vec<usize> = vec![32, 64, 96],
        /// For text: the widths of the layers inside their bottlenecks (SuperShaper), which replace `inner`
        /// as the widths of queries, keys and values; `decoder_width` then has one value, that of the stream.
        pub bottleneck: Option<Vec<usize>> = None,
    }
}

/// One architecture. It has genes for the largest number of decoder layers; those of missing layers are
/// ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Architecture {
    /// The width of the encoder; 0 if there is none.
    pub encoder_width: usize,
    /// The width of the decoder.
    pub decoder_width: usize,
    /// The number of layers of the decoder.
    pub decoder_layers: usize,
    /// The number of heads, by layer of the encoder.
    pub encoder_heads: Vec<usize>,
    /// The hidden width of each expert, by layer of the encoder.
    pub encoder_hidden: Vec<Vec<usize>>,
    /// The number of heads of the decoder's self-attention, by layer.
    pub decoder_heads: Vec<usize>,
    /// The number of heads of the attention to the source, by layer.
    pub cross_heads: Vec<usize>,
    /// The number of attended encoder outputs, by layer of the decoder.
    pub encoder_outputs: Vec<usize>,
    /// The hidden width of each expert, by layer of the decoder.
    pub decoder_hidden: Vec<Vec<usize>>,
    /// The width inside the bottleneck, by layer of the decoder; empty in a space without bottlenecks.
    pub decoder_bottleneck: Vec<usize>,
}

/// The rule that chooses a value of a gene.
enum By<'a> {
    Chance(&'a mut ChaCha8Rng),
    Most,
    Least,
}

impl By<'_> {
    fn of(&mut self, values: &[usize]) -> usize {
        let values_of = values.iter().copied();
        match self {
            Self::Chance(rng) => values[rng.random_range(0..values.len())],
            Self::Most => values_of.max().unwrap_or(0),
            Self::Least => values_of.min().unwrap_or(0),
        }
    }
}

impl SupernetSpace {
    /// Checks that each gene has values, and none is 0.
    pub(super) fn check(&self) -> Result<(), String> {
        let lists = [
            ("encoder_width", &self.encoder_width),
            ("decoder_width", &self.decoder_width),
            ("decoder_layers", &self.decoder_layers),
            ("heads", &self.heads),
            ("encoder_outputs", &self.encoder_outputs),
            ("experts", &self.experts),
            ("hidden", &self.hidden),
        ];
        if let Some((key, values)) =
            lists.iter().find(|(_, values)| values.is_empty() || values.contains(&0))
        {
            return Err(format!(
                "space.{key} = {values:?}: at least one value is needed, and none may be 0"
            ));
        }
        if self.encoder_layers == 0 {
            return Err("space.encoder_layers = 0: must be at least 1".into());
        }
        if let Some(n) = self.encoder_outputs.iter().find(|n| **n > self.encoder_layers) {
            let layers = self.encoder_layers;
            return Err(format!(
                "space.encoder_outputs: {n} is more than encoder_layers = {layers}"
            ));
        }
        self.check_bottleneck()
    }

    /// The largest number of layers of the decoder.
    pub(super) fn most_decoder_layers(&self) -> usize {
        self.decoder_layers.iter().copied().max().unwrap_or(0)
    }

    /// A random architecture: each gene is drawn uniformly and independently.
    pub fn draw(&self, rng: &mut ChaCha8Rng, with_encoder: bool) -> Architecture {
        self.by(By::Chance(rng), with_encoder)
    }

    /// The architecture with the largest sizes.
    pub fn largest(&self, with_encoder: bool) -> Architecture {
        self.by(By::Most, with_encoder)
    }

    /// The architecture with the smallest sizes.
    pub fn smallest(&self, with_encoder: bool) -> Architecture {
        self.by(By::Least, with_encoder)
    }

    fn by(&self, mut by: By, with_encoder: bool) -> Architecture {
        let encoder = if with_encoder { self.encoder_layers } else { 0 };
        let (decoder, cross) =
            (self.most_decoder_layers(), if with_encoder { self.most_decoder_layers() } else { 0 });
        let encoder_width = if with_encoder { by.of(&self.encoder_width) } else { 0 };
        let (decoder_width, decoder_layers) =
            (by.of(&self.decoder_width), by.of(&self.decoder_layers));
        let mut list =
            |n: usize, values: &[usize]| (0..n).map(|_| by.of(values)).collect::<Vec<_>>();
        let encoder_heads = list(encoder, &self.heads);
        let decoder_heads = list(decoder, &self.heads);
        let cross_heads = list(cross, &self.heads);
        let encoder_outputs = list(cross, &self.encoder_outputs);
        let bottleneck = self.bottleneck.as_deref();
        let decoder_bottleneck = bottleneck.map_or_else(Vec::new, |widths| list(decoder, widths));
        let (of_encoder, of_decoder) = (list(encoder, &self.experts), list(decoder, &self.experts));
        let mut hidden = |experts: &[usize]| -> Vec<Vec<usize>> {
            experts.iter().map(|n| list(*n, &self.hidden)).collect()
        };
        Architecture {
            encoder_hidden: hidden(&of_encoder),
            decoder_hidden: hidden(&of_decoder),
            encoder_width,
            decoder_width,
            decoder_layers,
            encoder_heads,
            decoder_heads,
            cross_heads,
            encoder_outputs,
            decoder_bottleneck,
        }
    }

    /// The architecture that a config names, for evaluation; for a sampled one, the largest.
    ///
    /// # Errors
    /// If it is not in this space; names the gene and its known values.
    pub fn architecture(
        &self,
        choice: &ArchitectureChoice,
        with_encoder: bool,
    ) -> Result<Architecture, String> {
        match choice {
            ArchitectureChoice::Named(Named::Smallest) => Ok(self.smallest(with_encoder)),
            ArchitectureChoice::Named(_) => Ok(self.largest(with_encoder)),
            ArchitectureChoice::Genes(genes) => self.of_genes(genes, with_encoder),
        }
    }

    fn of_genes(&self, genes: &Genes, with_encoder: bool) -> Result<Architecture, String> {
        let most = self.largest(with_encoder);
        let encoder = most.encoder_heads.len();
        let decoder = self.most_decoder_layers();
        if !with_encoder && (genes.encoder_width.is_some() || genes.cross_heads.is_some()) {
            return Err(
                "architecture: encoder_width and cross_heads require pairs of sequences".into()
            );
        }
        let cross = if with_encoder { decoder } else { 0 };
        let encoder_width =
            one("encoder_width", genes.encoder_width, most.encoder_width, &self.encoder_width)?;
        let heads = |name, values: &Option<Vec<usize>>, n| {
            list(name, &of_all(values, genes.heads, n), n, &self.heads)
        };
        let hidden = |side, experts: &Option<Vec<usize>>, hidden, n| {
            self.hidden_of(side, &of_all(experts, genes.experts, n), hidden, genes.hidden, n)
        };
        let outputs = &self.encoder_outputs;
        Ok(Architecture {
            encoder_width: if with_encoder { encoder_width } else { 0 },
            decoder_width: one(
                "decoder_width",
                genes.decoder_width,
                most.decoder_width,
                &self.decoder_width,
            )?,
            decoder_layers: one(
                "decoder_layers",
                genes.decoder_layers,
                most.decoder_layers,
                &self.decoder_layers,
            )?,
            encoder_heads: heads("encoder_heads", &genes.encoder_heads, encoder)?,
            encoder_hidden: hidden(
                "encoder",
                &genes.encoder_experts,
                &genes.encoder_hidden,
                encoder,
            )?,
            decoder_heads: heads("decoder_heads", &genes.decoder_heads, decoder)?,
            cross_heads: heads("cross_heads", &genes.cross_heads, cross)?,
            encoder_outputs: list("encoder_outputs", &genes.encoder_outputs, cross, outputs)?,
            decoder_hidden: hidden(
                "decoder",
                &genes.decoder_experts,
                &genes.decoder_hidden,
                decoder,
            )?,
            decoder_bottleneck: self.bottleneck_of(&genes.decoder_bottleneck)?,
        })
    }

    /// The widths of the experts of each layer of a side: from the numbers `n` of experts, all with the width
    /// `of_all` or the largest, or from given widths.
    fn hidden_of(
        &self,
        side: &str,
        n: &Option<Vec<usize>>,
        hidden: &Option<Vec<Vec<usize>>>,
        of_all: Option<usize>,
        layers: usize,
    ) -> Result<Vec<Vec<usize>>, String> {
        let widest = self.hidden.iter().copied().max().unwrap_or(0);
        let (experts, widths) = (format!("{side}_experts"), format!("{side}_hidden"));
        let Some(hidden) = hidden else {
            let n = list(&experts, n, layers, &self.experts)?;
            let width = one("hidden", of_all, widest, &self.hidden)?;
            return Ok(n.iter().map(|n| vec![width; *n]).collect());
        };
        let counts: Vec<usize> = hidden.iter().map(Vec::len).collect();
        checked(&widths, &counts, layers, &self.experts)?;
        if let Some(n) = n.as_ref().filter(|n| **n != counts) {
            return Err(format!(
                "architecture: {experts} = {n:?}, but {widths} has {counts:?} widths"
            ));
        }
        for layer in hidden {
            checked(&widths, layer, layer.len(), &self.hidden)?;
        }
        Ok(hidden.clone())
    }
}

/// The genes of `n` layers, or the same gene for all of them.
fn of_all(own: &Option<Vec<usize>>, of_all: Option<usize>, n: usize) -> Option<Vec<usize>> {
    own.clone().or_else(|| of_all.map(|value| vec![value; n]))
}

/// The value of a gene, or the largest one if it is not given.
fn one(name: &str, value: Option<usize>, most: usize, known: &[usize]) -> Result<usize, String> {
    match value {
        Some(value) if !known.contains(&value) => Err(foreign(name, value, known)),
        value => Ok(value.unwrap_or(most)),
    }
}

/// The genes of `n` layers, or the largest value for each.
pub(super) fn list(
    name: &str,
    values: &Option<Vec<usize>>,
    n: usize,
    known: &[usize],
) -> Result<Vec<usize>, String> {
    match values {
        Some(values) => checked(name, values, n, known).map(|()| values.clone()),
        None => Ok(vec![known.iter().copied().max().unwrap_or(0); n]),
    }
}

fn foreign(name: &str, value: impl std::fmt::Debug, known: &[usize]) -> String {
    format!("architecture of another space: {name} = {value:?}; known: {known:?}")
}

fn checked(name: &str, values: &[usize], n: usize, known: &[usize]) -> Result<(), String> {
    if values.len() != n {
        let found = values.len();
        return Err(format!(
            "architecture of another space: {name} has {found} values for {n} layers"
        ));
    }
    match values.iter().find(|value| !known.contains(value)) {
        Some(value) => Err(foreign(name, value, known)),
        None => Ok(()),
    }
}

impl Architecture {
    /// The hidden widths of the existing layers of the decoder.
    pub fn used_decoder_hidden(&self) -> &[Vec<usize>] {
        &self.decoder_hidden[..self.decoder_layers]
    }

    /// The encoder's share of all experts in layers with more than one; none without such layers.
    pub fn encoder_share(&self) -> Option<f64> {
        let count = |layers: &[Vec<usize>]| {
            layers.iter().map(Vec::len).filter(|n| *n > 1).sum::<usize>() as f64
        };
        let (encoder, decoder) = (count(&self.encoder_hidden), count(self.used_decoder_hidden()));
        (encoder + decoder > 0.0).then(|| encoder / (encoder + decoder))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn choice(json: &str) -> ArchitectureChoice {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_drawn_is_of_the_space() {
        let space = SupernetSpace::default();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut layers = Vec::new();
        for _ in 0..50 {
            let drawn = space.draw(&mut rng, true);
            let genes = Genes {
                heads: None,
                experts: None,
                hidden: None,
                encoder_width: Some(drawn.encoder_width),
                decoder_width: Some(drawn.decoder_width),
                decoder_layers: Some(drawn.decoder_layers),
                encoder_heads: Some(drawn.encoder_heads.clone()),
                encoder_experts: None,
                encoder_hidden: Some(drawn.encoder_hidden.clone()),
                decoder_heads: Some(drawn.decoder_heads.clone()),
                cross_heads: Some(drawn.cross_heads.clone()),
                encoder_outputs: Some(drawn.encoder_outputs.clone()),
                decoder_experts: None,
                decoder_hidden: Some(drawn.decoder_hidden.clone()),
                decoder_bottleneck: None,
            };
            let read = space.architecture(&ArchitectureChoice::Genes(genes), true).unwrap();
            assert_eq!(read, drawn);
            layers.push(drawn.decoder_layers);
        }
        assert!([1, 2, 3].iter().all(|n| layers.contains(n)));
        let text = space.draw(&mut rng, false);
        assert!(text.encoder_heads.is_empty() && text.cross_heads.is_empty());
    }

    #[test]
    fn what_is_left_out_is_the_largest() {
        let space = SupernetSpace::default();
        let of = |json: &str| space.architecture(&choice(json), true);
        assert_eq!(of("{}").unwrap(), space.largest(true));
        assert_eq!(of("\"sampled\"").unwrap(), space.largest(true));
        assert_eq!(of("\"smallest\"").unwrap().decoder_width, 32);
        let some = of("{\"decoder_layers\": 1, \"encoder_experts\": [1, 2]}").unwrap();
        assert_eq!(some.encoder_hidden, [vec![96], vec![96, 96]]);
        assert_eq!(some.used_decoder_hidden(), [vec![96, 96, 96]]);
        assert_eq!(some.encoder_share(), Some(0.4));
    }

    #[test]
    fn one_gene_for_all_layers_is_a_homogeneous_architecture() {
        let space = SupernetSpace::default();
        let of = |json: &str| space.architecture(&choice(json), true);
        let alike = of("{\"heads\": 2, \"experts\": 2, \"hidden\": 64}").unwrap();
        assert_eq!(alike.encoder_hidden, vec![vec![64, 64]; 2]);
        assert_eq!(alike.decoder_hidden, vec![vec![64, 64]; 3]);
        assert_eq!((alike.decoder_heads, alike.cross_heads), (vec![2; 3], vec![2; 3]));
        assert_eq!(alike.encoder_heads, [2, 2]);
        let own = of("{\"experts\": 1, \"decoder_experts\": [3, 2, 1]}").unwrap();
        assert_eq!(own.encoder_hidden, vec![vec![96]; 2]);
        assert_eq!(own.decoder_hidden[0], vec![96; 3]);
        let err = of("{\"hidden\": 65}").unwrap_err();
        assert!(err.ends_with("hidden = 65; known: [32, 64, 96]"), "{err}");
    }

    #[test]
    fn an_architecture_of_another_space_is_named() {
        let space = SupernetSpace::default();
        let err = |json: &str| space.architecture(&choice(json), true).unwrap_err();
        let expected = "architecture of another space: decoder_width = 40; known: [32, 48]";
        assert_eq!(err("{\"decoder_width\": 40}"), expected);
        assert!(
            err("{\"encoder_heads\": [2]}").contains("encoder_heads has 1 values for 2 layers")
        );
        assert!(
            err("{\"encoder_hidden\": [[32], [33]]}").contains("encoder_hidden = 33; known: [32")
        );
        let err = err("{\"encoder_experts\": [2, 1], \"encoder_hidden\": [[32], [32]]}");
        assert!(err.contains("encoder_experts = [2, 1], but encoder_hidden has [1, 1]"), "{err}");
        let unread = |json: &str| serde_json::from_str::<ArchitectureChoice>(json).unwrap_err();
        let text = unread("\"large\"").to_string();
        assert!(text.contains("unknown variant `large`, expected one of `sampled`"), "{text}");
        let text = unread("{\"decoder_with\": 3}").to_string();
        assert!(text.contains("unknown field `decoder_with`"), "{text}");
        let wrong = SupernetSpace { encoder_outputs: vec![3], ..SupernetSpace::default() };
        assert!(wrong.check().unwrap_err().contains("3 is more than encoder_layers = 2"));
        let wrong = SupernetSpace { heads: vec![], ..SupernetSpace::default() };
        assert!(wrong.check().unwrap_err().starts_with("space.heads = []"));
    }
}
