//! Low-rank adapters on a stack of experts: the matrices of each expert are unchanged, and the product of
//! two small matrices is added to each.
//!
//! Hu et al. *LoRA: Low-Rank Adaptation of Large Language Models*. ICLR 2022.
//! <https://arxiv.org/abs/2106.09685>
//!
//! W' = W + (alpha / r) A B,  A [D, R], B [R, H], B = 0 at first              (3)
//!
//! for every matrix of every expert; W and the biases are not trained. With `train.only = ["adapters"]`
//! nothing else is trained either. [`folded`] returns the experts with W' in the place of W.
//!
//! Differs from the paper: rows are multiplied from the left, so that A comes first; A is uniform within
//! 1 / sqrt(D), not normal; W' is computed once in a pass and then used like any other matrix, so that the
//! first pass and the folded experts give the same bits.
//!
//! Not to be confused with: `low-rank`, in which all experts are changes of one network.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{matmul, slotwise};
use moe::{
    AnyExperts, Choice, Dims, Experts, Init, Pass, PathMapper, config, map_paths, numbers_of,
};
use serde::{Deserialize, Serialize};

/// The experts that are adapted; every default is written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub struct BaseExpert(Choice);

impl BaseExpert {
    /// SwiGLU experts of the default size.
    fn swiglu() -> Self {
        Self::try_from(Choice::of("swiglu")).expect("swiglu is one of this library's kinds")
    }
}

impl TryFrom<Choice> for BaseExpert {
    type Error = moe::ConfigError;

    fn try_from(choice: Choice) -> Result<Self, Self::Error> {
        crate::all().complete(&choice).map(BaseExpert)
    }
}

impl From<BaseExpert> for Choice {
    fn from(BaseExpert(choice): BaseExpert) -> Self {
        choice
    }
}

config! {
    /// The experts, and the sizes of their adapters.
    pub struct LoraConfig {
        /// The experts that are adapted: `ffn`, `swiglu`, `geglu` or `clamped-glu`.
        pub of: BaseExpert = BaseExpert::swiglu(),
        /// The rank of the change, R.
        pub rank: usize = 8,
        /// The factor of the change, times R.
        pub alpha: f64 = 16.0,
    }
}

/// The kinds of experts that are stacks of matrices, with the names of the first matrix, the gate and the
/// last matrix.
const KINDS: [(&str, [&str; 3]); 4] = [
    ("ffn", ["w1", "", "w2"]),
    ("swiglu", ["w", "v", "w2"]),
    ("geglu", ["w", "v", "w2"]),
    ("clamped-glu", ["w", "v", "w2"]),
];

/// A stack of experts with adapters.
#[derive(Module, Debug)]
pub struct Lora {
    /// The adapted experts, which are not trained.
    base: AnyExperts,
    adapters: Adapters,
    scale: f64,
}

/// The adapters of the matrices of all experts.
#[derive(Module, Debug)]
struct Adapters {
    first: Adapter,
    gate: Option<Adapter>,
    last: Adapter,
}

/// The adapters of one matrix of each expert.
#[derive(Module, Debug)]
struct Adapter {
    /// `[E, in, R]`.
    a: Param<Tensor<3>>,
    /// `[E, R, out]`.
    b: Param<Tensor<3>>,
}

impl Adapter {
    fn new(init: &Init, e: usize, [d, h]: [usize; 2], rank: usize) -> Self {
        let bound = 1.0 / (d as f64).sqrt();
        Self { a: init.uniform("a", [e, d, rank], bound), b: init.constant("b", [e, rank, h], 0.0) }
    }

    /// Applies (3).
    fn on(&self, w: Tensor<3>, scale: f64) -> Tensor<3> {
        adapted(w, self.a.val(), self.b.val(), scale)
    }
}

/// Computes (3): W + scale A B.
fn adapted(w: Tensor<3>, a: Tensor<3>, b: Tensor<3>, scale: f64) -> Tensor<3> {
    w + matmul(a, b) * scale
}

impl LoraConfig {
    /// The adapted experts, without adapters.
    pub fn base(&self) -> Choice {
        self.of.0.clone()
    }

    /// The factor of the change, alpha / r.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    /// The hidden width H of the adapted experts.
    fn hidden(&self) -> usize {
        let whole = crate::all().complete(&self.of.0).ok();
        let hidden = whole.and_then(|choice| choice.options.get("hidden")?.as_u64());
        hidden.unwrap_or_default() as usize
    }
}

impl Experts for Lora {
    type Config = LoraConfig;
    const NAME: &'static str = "lora";
    const ABOUT: &'static str = "frozen experts with low-rank adapters (LoRA)";
    const PAPER: &'static str = "https://arxiv.org/abs/2106.09685";

    fn check(config: &LoraConfig, dims: Dims) -> Result<(), String> {
        let BaseExpert(base) = &config.of;
        if !KINDS.iter().any(|(kind, _)| *kind == base.kind) {
            let known = KINDS.map(|(kind, _)| kind).join(", ");
            return Err(format!("of = {:?}: expected one of {known}", base.kind));
        }
        let entry = crate::all().get(&base.kind).cloned().map_err(|err| err.to_string())?;
        (entry.build.check)(base, dims).map_err(|err| err.to_string())?;
        let most = config.hidden().min(dims.width);
        match config.rank {
            0 => Err("rank = 0: must be at least 1".into()),
            rank if rank > most => Err(format!(
                "rank = {rank} is larger than {most}, the smaller side of the matrices"
            )),
            _ if config.alpha > 0.0 && config.alpha.is_finite() => Ok(()),
            _ => Err(format!("alpha = {}: must be above 0", config.alpha)),
        }
    }

    fn init(config: &LoraConfig, dims: Dims, init: &Init) -> Self {
        let (BaseExpert(base), e) = (&config.of, dims.n_experts);
        let (d, h, r) = (dims.width, config.hidden(), config.rank);
        let kinds = crate::all();
        // The paths are those without adapters, so that the weights of a plain network fit.
        let built = kinds.get(&base.kind).and_then(|entry| (entry.build.init)(base, dims, init));
        let built = built.unwrap_or_else(|err| panic!("{err}"));
        let at = |name: &str, sides| Adapter::new(&init.at("adapters").at(name), e, sides, r);
        let adapters = Adapters {
            first: at("first", [d, h]),
            gate: (base.kind != "ffn").then(|| at("gate", [d, h])),
            last: at("last", [h, d]),
        };
        Self { base: built.no_grad(), adapters, scale: config.scale() }
    }

    fn forward(&self, pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        match self.stack() {
            Some(matrices) => slotwise(slots, matrices),
            None => self.changed().forward(pass, slots),
        }
    }

    fn stack(&self) -> Option<kernels::Ffn> {
        let base = self.base.stack()?;
        let (adapters, scale) = (&self.adapters, self.scale);
        let gate = base.gate.map(|w| match &adapters.gate {
            Some(gate) => gate.on(w, scale),
            None => w,
        });
        Some(kernels::Ffn {
            w1: adapters.first.on(base.w1, scale),
            gate,
            w2: adapters.last.on(base.w2, scale),
            ..base
        })
    }

    /// The number for the adapted experts: W' is computed once for all rows.
    fn flops_per_row(&self) -> f64 {
        self.base.flops_per_row()
    }
}

impl Lora {
    /// The experts with W' in the place of W.
    fn changed(&self) -> AnyExperts {
        map_paths(self.base.clone(), &mut Change { adapters: &self.adapters, scale: self.scale })
    }
}

/// Replaces W by W'.
struct Change<'a> {
    adapters: &'a Adapters,
    scale: f64,
}

impl PathMapper for Change<'_> {
    fn map<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let Adapters { first, gate, last } = self.adapters;
        let adapter = match path.last().map(String::as_str) {
            Some("w1" | "w") => Some(first),
            Some("v") => gate.as_ref(),
            Some("w2") => Some(last),
            _ => None,
        };
        let Some(adapter) = adapter else { return param };
        let w = param.val();
        let shape = w.shape();
        let stack = w.reshape::<3, _>(shape.clone());
        // The matrix is not a parameter: its gradient flows to the adapters.
        Param::initialized(param.id, adapter.on(stack, self.scale).reshape::<D, _>(shape))
    }
}

/// The values of a network whose experts have adapters of this `scale`, by the paths of the same network
/// without adapters: W' in the place of W.
pub fn folded(network: &impl Module, scale: f64, device: &Device) -> BTreeMap<String, TensorData> {
    let mut all: BTreeMap<String, TensorData> =
        numbers_of(network, |_| true).into_iter().map(|(known, data)| (known.path, data)).collect();
    let prefix = |path: &String| Some(path.split_once(".adapters.")?.0.to_string());
    let places: BTreeSet<String> = all.keys().filter_map(prefix).collect();
    for place in places {
        let kind =
            |names: &&(&str, [&str; 3])| all.contains_key(&format!("{place}.base.{}", names.1[0]));
        let Some((_, names)) = KINDS.iter().find(kind) else { continue };
        for (adapter, name) in ["first", "gate", "last"].into_iter().zip(names) {
            let mut take =
                |path: String| all.remove(&path).map(|data| Tensor::<3>::from_data(data, device));
            let at = |which: &str| format!("{place}.adapters.{adapter}.{which}");
            let (Some(a), Some(b)) = (take(at("a")), take(at("b"))) else { continue };
            let path = format!("{place}.base.{name}");
            if let Some(w) = take(path.clone()) {
                all.insert(path, kernels::read_back(adapted(w, a, b, scale)));
            }
        }
        let base = format!("{place}.base.");
        let own: Vec<String> = all.keys().filter(|path| path.starts_with(&base)).cloned().collect();
        for path in own {
            if let Some(data) = all.remove(&path) {
                all.insert(path.replacen(&base, &format!("{place}."), 1), data);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::GradientsParams;
    use moe::{parameters, with_parameters};

    const DIMS: Dims = Dims { width: 5, n_experts: 3, units: 4 };

    #[derive(Module, Debug)]
    struct Layer {
        experts: AnyExperts,
    }

    #[test]
    fn the_default_of_the_adapted_experts_is_written_out() {
        let LoraConfig { of: BaseExpert(base), .. } = LoraConfig::default();
        assert!(base.options.contains_key("hidden"), "{base:?}");
    }

    fn layer(choice: &Choice) -> Layer {
        let init = Init::new(0, &Device::flex().autodiff()).at("experts");
        let kinds = crate::all();
        let build = kinds.get(&choice.kind).unwrap().build.init;
        Layer { experts: build(choice, DIMS, &init).unwrap() }
    }

    fn output(layer: &Layer) -> Vec<f32> {
        let init = Init::new(1, &Device::flex().autodiff());
        let x = init.normal("x", [3, 4, 5], 1.0).val();
        layer.experts.forward(&mut Pass::eval(), x).into_data().iter().collect()
    }

    fn base(kind: &str) -> Choice {
        crate::all().complete(&Choice::of(kind).with("hidden", 7)).unwrap()
    }

    fn lora(kind: &str) -> Layer {
        let of = serde_json::to_value(base(kind)).unwrap();
        layer(&Choice::of("lora").with("of", of).with("rank", 2).with("alpha", 3.0))
    }

    /// The layer with adapters that are not 0.
    fn moved(lora: Layer) -> Layer {
        let init = Init::new(2, &Device::flex());
        let all = parameters(&lora).into_iter().filter(|known| known.path.ends_with(".b"));
        let numbers = all.map(|known| {
            let [e, r, h] = known.shape[..] else { panic!("three axes") };
            let data = init.normal(&known.path, [e, r, h], 0.5).val().into_data();
            (known.path, data)
        });
        let numbers = numbers.collect();
        with_parameters(lora, numbers).unwrap()
    }

    #[test]
    fn the_first_pass_is_that_of_the_base_to_the_bit() {
        for (kind, _) in KINDS {
            let bits =
                |layer: &Layer| output(layer).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&lora(kind)), bits(&layer(&base(kind))), "{kind}");
        }
    }

    #[test]
    fn folded_experts_give_the_same_and_only_adapters_are_trained() {
        for (kind, _) in KINDS {
            let lora = moved(lora(kind));
            let plain = layer(&base(kind));
            assert_ne!(output(&lora), output(&plain));
            let plain = with_parameters(plain, folded(&lora, 1.5, &Device::flex())).unwrap();
            assert_eq!(output(&lora), output(&plain), "{kind}");
            let trained = parameters(&lora).into_iter().filter(|known| known.trained);
            assert!(trained.into_iter().all(|known| known.path.contains(".adapters.")));
        }
    }

    #[test]
    fn every_adapter_has_a_gradient_and_no_matrix_has() {
        for (kind, names) in KINDS {
            let lora = moved(lora(kind));
            let x = Init::new(1, &Device::flex().autodiff()).normal("x", [3, 4, 5], 1.0).val();
            let grads = lora.experts.forward(&mut Pass::train(0, 0, 0.0), x).sum().backward();
            let grads = GradientsParams::from_grads(grads, &lora);
            let matrices = names.iter().filter(|name| !name.is_empty()).count();
            assert_eq!(grads.len(), 2 * matrices, "{kind}");
        }
    }

    #[test]
    fn the_change_is_the_scaled_product_by_hand() {
        let at = |values: &[f32], shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
        };
        // [1 2; 3 4] + 0.5 [1; 2] [10 20]
        let w = adapted(
            at(&[1.0, 2.0, 3.0, 4.0], [1, 2, 2]),
            at(&[1.0, 2.0], [1, 2, 1]),
            at(&[10.0, 20.0], [1, 1, 2]),
            0.5,
        );
        assert_eq!(w.into_data().iter::<f32>().collect::<Vec<_>>(), [6.0, 12.0, 13.0, 24.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |choice: Choice| {
            let build = crate::all().get("lora").unwrap().build.check;
            build(&choice, DIMS).unwrap_err().to_string()
        };
        let err = wrong(Choice::of("lora").with("of", "conv"));
        assert!(err.contains("expected one of ffn, swiglu, geglu, clamped-glu"), "{err}");
        let err = wrong(Choice::of("lora").with("rank", 6));
        assert!(err.contains("rank = 6 is larger than 5"), "{err}");
        assert!(wrong(Choice::of("lora").with("rank", 2).with("alpha", 0.0)).contains("alpha = 0"));
    }
}
