//! A module of one network in a slot of another, frozen network: the training of modules independently of
//! each other.
//!
//! Ni et al. *Deep Incubation: Training Large Models by Divide-and-Conquering*. ICCV 2023.
//! <https://arxiv.org/abs/2212.04129>: a frozen *meta* network M of L slots, one of which holds a module.
//! Lo et al. *m2mKD: Module-to-Module Knowledge Distillation for Modular Transformers*. 2024.
//! <https://arxiv.org/abs/2402.16918>: stitches, where the module has another width.
//!
//! h_i = stopgrad(M_{i-1} o ... o M_0 (x)),  h_0 = x                       (1)
//! z   = M_{L-1} o ... o M_{i+1} (post(S_i(pre(h_i))))                      (2)
//! pre = Linear(LN(.)) from M's width to S's; post = Linear(LN(.)) back     (3)
//!
//! Slot 0 has the patches, the class token and the positions, and no `pre`; the last slot has the norm and
//! the head, and no `post`. The weights of M are not trained, but gradients flow through them. The module's
//! weights are under `module`, with the paths that they have in its own network; M's are under `meta`.
//!
//! With `nac`, the module is one of a neural attentive circuit (`nac/module.rs`), under `nac`; the published
//! stitches for these have no norm (`stitch = "linear"`). After the first module of a circuit the frozen
//! network continues with the module's single output token.

use std::ops::Range;

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::linear_layer;
use moe::{ConfigError, Init, Input, MoeConfig, Pass, Placement, config};
use serde::{Deserialize, Serialize};

use crate::{
    Backbone, BackboneSpec, Nac, NacConfig, Norm, Pool, Vit, VitConfig, VitModule,
    nac::NacModule,
    vit::{IMAGES, sizes},
    vit_module::slots,
    wrong,
};

/// The map between the streams of two widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stitch {
    /// No map: the widths are the same.
    None,
    /// A linear map, as for NAC.
    Linear,
    /// A layer norm and a linear map, (3), as for V-MoE.
    NormLinear,
}

config! {
    /// The module, its slot, and the two networks.
    pub struct HybridConfig {
        /// The slot that holds the module, counted from 0.
        pub slot: usize = 0,
        /// The number of slots, L.
        pub slots: usize = 4,
        /// The frozen network; its blocks are dense.
        pub meta: VitConfig = VitConfig::default(),
        /// The network that the module is a part of; its MoE layers are those of the run.
        pub module: VitConfig = VitConfig::default(),
        /// The neural attentive circuit that the module is a part of, in place of `module`; it has two layers
        /// fewer than there are slots.
        pub nac: Option<NacConfig> = None,
        /// The map between the two networks: `"none"`, `"linear"` or `"norm-linear"`.
        pub stitch: Stitch = Stitch::NormLinear,
    }
}

impl HybridConfig {
    /// The blocks of the slot in the meta network and in the module's.
    fn places(&self) -> Result<[Range<usize>; 2], String> {
        let of = |name, config: &VitConfig| slots(name, config.depth, self.slots);
        let meta = of("meta", &self.meta)?;
        let module = match &self.nac {
            None => of("module", &self.module)?,
            Some(nac) if nac.layers + 2 == self.slots => {
                (0..self.slots).map(|i| i..i + 1).collect()
            }
            Some(nac) => {
                let (slots, layers) = (self.slots, nac.layers);
                return Err(format!(
                    "slots = {slots}: must be two more than nac.layers = {layers}"
                ));
            }
        };
        match (meta.get(self.slot), module.get(self.slot)) {
            (Some(meta), Some(module)) => Ok([meta.clone(), module.clone()]),
            _ => Err(format!("slot = {}: must be below slots = {}", self.slot, self.slots)),
        }
    }

    /// The widths of the meta network and of the module's.
    fn widths(&self) -> [usize; 2] {
        let module = self.nac.as_ref().map_or(self.module.width, |nac| nac.width);
        [self.meta.width, module]
    }

    fn check(&self, height: usize, width: usize) -> Result<(), String> {
        self.places()?;
        let [meta, module] = self.widths();
        if self.stitch == Stitch::None && meta != module {
            return Err(format!(
                "stitch = \"none\": the widths must be equal, but meta has {meta} and module {module}"
            ));
        }
        if [&self.meta, &self.module].iter().any(|config| config.pool == Pool::Distilled) {
            return Err("pool = \"distilled\": not supported; a hybrid has only one head".into());
        }
        let tokens = [&self.meta, &self.module].map(|config| config.tokens(height, width));
        match tokens[0] == tokens[1] || self.nac.is_some() {
            true => Ok(()),
            false => Err(format!("meta has {} tokens, but module has {}", tokens[0], tokens[1])),
        }
    }
}

/// A map between the streams of two networks.
#[derive(Module, Debug)]
struct Bridge {
    norm: Option<Norm>,
    map: Linear,
}

impl Bridge {
    fn new(stitch: Stitch, from: [usize; 2], init: &Init) -> Option<Self> {
        let [before, after] = from;
        let norm = || Norm::layer(init, "norm", before, 1e-5);
        let map = || init.linear("map", before, after, true);
        match stitch {
            Stitch::None => None,
            Stitch::Linear => Some(Self { norm: None, map: map() }),
            Stitch::NormLinear => Some(Self { norm: Some(norm()), map: map() }),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        linear_layer(&self.map, x) // (3)
    }

    fn flops(&self) -> f64 {
        2.0 * self.map.weight.lazy_shape().num_elements() as f64
    }
}

/// A frozen network with another network's module in one of its slots.
#[derive(Module, Debug)]
pub struct Hybrid {
    meta: VitModule,
    pre: Option<Bridge>,
    module: Option<VitModule>,
    nac: Option<NacModule>,
    post: Option<Bridge>,
    /// The blocks of the slot in each network.
    #[module(skip)]
    places: [Range<usize>; 2],
    tokens: usize,
}

/// The layers of the frozen network, none of which is a MoE layer.
fn dense(moe: &MoeConfig) -> MoeConfig {
    MoeConfig { layers: Placement::NONE, pruned: None, ..moe.clone() }
}

impl Backbone for Hybrid {
    type Config = HybridConfig;
    const NAME: &'static str = "hybrid";
    const ABOUT: &'static str =
        "a module of one vision transformer in a slot of another, frozen one";
    const PAPER: &'static str = "https://arxiv.org/abs/2402.16918";
    const CAUSAL: bool = false;

    fn check(config: &HybridConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let dense = dense(spec.moe);
        let of = |name: &str, err: ConfigError| wrong(Self::NAME, format!("{name}: {err}"));
        let meta = BackboneSpec { moe: &dense, ..*spec };
        Vit::check(&config.meta, &meta).map_err(|err| of("meta", err))?;
        match &config.nac {
            None => Vit::check(&config.module, spec).map_err(|err| of("module", err))?,
            Some(nac) => Nac::check(nac, spec).map_err(|err| of("nac", err))?,
        }
        let (_, height, width) = sizes(spec.domain).expect(IMAGES);
        config.check(height, width).map_err(|message| wrong(Self::NAME, message))
    }

    fn init(config: &HybridConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let places = config.places().map_err(|message| wrong(Self::NAME, message))?;
        let (dense, [meta_width, width]) = (dense(spec.moe), config.widths());
        let frozen = BackboneSpec { moe: &dense, ..*spec };
        let meta = <Vit as Backbone>::init(&config.meta, &frozen, &init.at("meta"))?;
        let module = || {
            let whole = <Vit as Backbone>::init(&config.module, spec, init)?;
            Ok::<_, ConfigError>(VitModule::of(whole, |i| places[1].contains(&i)))
        };
        let circuit = |nac: &NacConfig| {
            let whole = <Nac as Backbone>::init(nac, spec, init)?;
            Ok::<_, ConfigError>(NacModule::of(whole, config.slot, init))
        };
        let (first, last) = (config.slot == 0, config.slot + 1 == config.slots);
        let bridge = |name: &str, widths| Bridge::new(config.stitch, widths, &init.at(name));
        let tokens = Backbone::tokens(&meta);
        Ok(Self {
            meta: VitModule::of(meta, |i| !places[0].contains(&i)).no_grad(),
            pre: if first { None } else { bridge("pre", [meta_width, width]) },
            module: if config.nac.is_some() { None } else { Some(module()?) },
            nac: config.nac.as_ref().map(circuit).transpose()?,
            post: if last { None } else { bridge("post", [width, meta_width]) },
            places,
            tokens,
        })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let [slot, _] = self.places.clone();
        let z = match slot.start {
            0 => self.begin(pass, input),
            blocks => {
                let z = self.meta.embed(pass, input);
                let h = self.meta.run(pass, 0..blocks, z).detach(); // (1)
                self.go_on(pass, through(self.pre.as_ref(), h))
            }
        };
        if slot.end == self.meta.depth() {
            return self.end(z);
        }
        let z = through(self.post.as_ref(), z);
        let z = self.meta.run(pass, slot.end..self.meta.depth(), z); // (2)
        self.meta.answer(z)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let bridges: f64 = [&self.pre, &self.post].into_iter().flatten().map(Bridge::flops).sum();
        let tokens = self.tokens;
        let networks = [Some(&self.meta), self.module.as_ref()].into_iter().flatten();
        let networks = networks.map(|part| part.dense_flops(tokens)).sum::<f64>();
        let circuit = self.nac.as_ref().map_or(0.0, |part| part.dense_flops(tokens));
        networks + circuit + tokens as f64 * bridges
    }
}

impl Hybrid {
    /// The output of the first module for images.
    fn begin(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        match (&self.nac, &self.module) {
            (Some(nac), _) => nac.read(input),
            (None, module) => {
                let module = module.as_ref().expect(ONE);
                let z = module.embed(pass, input);
                module.run(pass, self.places[1].clone(), z)
            }
        }
    }

    /// The output of the module for the stream at its width, if the module is not the first one.
    fn go_on(&self, pass: &mut Pass, z: Tensor<3>) -> Tensor<3> {
        match (&self.nac, &self.module) {
            (Some(nac), _) => nac.mediate(z),
            (None, module) => module.as_ref().expect(ONE).run(pass, self.places[1].clone(), z),
        }
    }

    /// The scores of the last module.
    fn end(&self, z: Tensor<3>) -> Tensor<3> {
        match (&self.nac, &self.module) {
            (Some(nac), _) => nac.answer(z),
            (None, module) => module.as_ref().expect(ONE).answer(z),
        }
    }
}

/// The message of an error that `init` excludes.
const ONE: &str = "a hybrid must have a module of a vit or of a nac";

fn through(bridge: Option<&Bridge>, x: Tensor<3>) -> Tensor<3> {
    match bridge {
        Some(bridge) => bridge.forward(x),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use burn::{
        module::{ModuleVisitor, Param},
        optim::GradientsParams,
    };
    use moe::{Choice, Domain, numbers_of, parameters, with_parameters};

    const SMALL: Domain = Domain::Image { channels: 1, height: 4, width: 4 };

    fn vit(width: usize, depth: usize) -> VitConfig {
        let dense = Choice::of("ffn").with("hidden", 8);
        VitConfig { width, depth, heads: 2, dense, ..VitConfig::default() }
    }

    fn config(slot: usize) -> HybridConfig {
        let (meta, module) = (vit(8, 3), vit(6, 6));
        HybridConfig { slot, slots: 3, meta, module, ..HybridConfig::default() }
    }

    /// A hybrid built with a library of dense networks.
    fn hybrid(config: &HybridConfig, device: &Device) -> Result<Hybrid, ConfigError> {
        let (library, moe) = library();
        let moe = dense(&moe);
        let spec = spec(SMALL, &moe, &library);
        Hybrid::check(config, &spec)?;
        <Hybrid as Backbone>::init(config, &spec, &Init::new(0, device))
    }

    fn whole(config: &VitConfig, seed: u64) -> Vit {
        let (library, moe) = library();
        let (moe, init) = (dense(&moe), Init::new(seed, &Device::flex()));
        <Vit as Backbone>::init(config, &spec(SMALL, &moe, &library), &init).unwrap()
    }

    fn pixels(device: &Device) -> Input {
        Input::Image(Init::new(0, device).normal("pixels", [3, 1, 4, 4], 1.0).val().detach())
    }

    #[test]
    fn a_module_of_the_meta_network_itself_gives_the_meta_network_to_the_bit() {
        let meta = vit(8, 3);
        let vit = whole(&meta, 7);
        let y = vit.forward(&mut Pass::eval(), pixels(&Device::flex())).into_data();
        for slot in 0..3 {
            let stitch = Stitch::None;
            let (meta, module) = (meta.clone(), meta.clone());
            let config =
                HybridConfig { slot, slots: 3, meta, module, stitch, ..HybridConfig::default() };
            let hybrid = hybrid(&config, &Device::flex()).unwrap();
            // Takes every weight from the whole network, by its path.
            let known: Vec<String> = parameters(&hybrid).into_iter().map(|p| p.path).collect();
            let numbers = numbers_of(&vit, |_| true).into_iter().flat_map(|(of, data)| {
                ["meta", "module"].map(|part| (format!("{part}.{}", of.path), data.clone()))
            });
            let numbers = numbers.filter(|(path, _)| known.contains(path)).collect();
            let hybrid = with_parameters(hybrid, numbers).unwrap();
            assert_eq!(hybrid.num_params(), vit.num_params());
            let z = hybrid.forward(&mut Pass::eval(), pixels(&Device::flex())).into_data();
            assert_eq!(y, z, "slot {slot}");
            assert_eq!(Backbone::dense_flops(&hybrid), Backbone::dense_flops(&vit));
        }
    }

    /// The number of elements whose gradient is not 0.
    fn gradients(hybrid: &Hybrid, grads: &GradientsParams) -> usize {
        struct Count<'a>(&'a GradientsParams, usize);
        impl ModuleVisitor for Count<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let Some(grad) = self.0.get::<D>(param.id) else { return };
                let numbers = grad.shape().num_elements();
                self.1 += if grad.abs().max().into_scalar::<f32>() > 0.0 { numbers } else { 0 };
            }
        }
        let mut count = Count(grads, 0);
        hybrid.visit(&mut count);
        count.1
    }

    #[test]
    fn every_slot_learns_and_the_frozen_network_has_no_gradient() {
        let device = Device::flex().autodiff();
        for slot in 0..3 {
            let hybrid = hybrid(&config(slot), &device).unwrap();
            for known in parameters(&hybrid) {
                assert_eq!(known.trained, !known.path.starts_with("meta."), "{}", known.path);
            }
            let y = hybrid.forward(&mut Pass::train(0, 0, 0.0), pixels(&device));
            let grads = GradientsParams::from_grads(y.square().sum().backward(), &hybrid);
            let moved = hybrid.module.num_params() + hybrid.pre.num_params();
            assert_eq!(gradients(&hybrid, &grads), moved + hybrid.post.num_params(), "slot {slot}");
            loss_falls(hybrid, pixels(&device), 1);
        }
    }

    fn circuit(slot: usize) -> HybridConfig {
        let nac =
            NacConfig { inputs: 3, mediators: 8, width: 8, layers: 1, ..NacConfig::default() };
        HybridConfig { stitch: Stitch::Linear, nac: Some(nac), ..config(slot) }
    }

    #[test]
    fn modules_of_a_circuit_learn_and_become_parts_of_a_whole_one() {
        let device = Device::flex().autodiff();
        let (library, moe) = library();
        let moe = dense(&moe);
        let spec = spec(SMALL, &moe, &library);
        let nac = circuit(0).nac.unwrap();
        let whole = <Nac as Backbone>::init(&nac, &spec, &Init::new(3, &device)).unwrap();
        let whole: Vec<String> = parameters(&whole).into_iter().map(|p| p.path).collect();
        let mut taught = Vec::new();
        for slot in 0..3 {
            let hybrid = hybrid(&circuit(slot), &device).unwrap();
            for known in parameters(&hybrid) {
                let fixed = known.path.starts_with("meta.") || known.path.starts_with("nac.fixed_");
                assert_eq!(known.trained, !fixed, "{}", known.path);
                let path = known.path.strip_prefix("nac.").filter(|_| !fixed);
                taught.extend(path.map(str::to_string));
            }
            loss_falls(hybrid, pixels(&device), 1);
        }
        // All parameters except those that only the whole network has.
        assert!(taught.iter().all(|path| whole.contains(path)), "{taught:?}");
        let own = |path: &&String| {
            let own = ["inputs.", "mediators.", "outputs.", "seeder.", "confidence."];
            own.iter().any(|start| path.starts_with(start)) || path.ends_with("kernel.bandwidth")
        };
        assert_eq!(taught.len(), whole.iter().filter(|path| !own(path)).count());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let check =
            |config: HybridConfig| hybrid(&config, &Device::flex()).unwrap_err().to_string();
        let err = check(HybridConfig { slot: 3, ..config(0) });
        assert!(err.contains("slot = 3: must be below slots = 3"), "{err}");
        let err = check(HybridConfig { slots: 4, ..config(0) });
        assert!(err.contains("slots = 4 does not divide depth = 3 of meta"), "{err}");
        let err = check(HybridConfig { stitch: Stitch::None, ..config(0) });
        assert!(err.contains("meta has 8 and module 6"), "{err}");
        let module = VitConfig { patch: 4, ..vit(6, 6) };
        let err = check(HybridConfig { module, ..config(0) });
        assert!(err.contains("meta has 4 tokens, but module has 1"), "{err}");
        let meta = VitConfig { heads: 3, ..vit(8, 3) };
        let err = check(HybridConfig { meta, ..config(0) });
        assert!(err.contains("meta: ") && err.contains("heads = 3"), "{err}");
        let err = check(HybridConfig { slots: 4, meta: vit(8, 4), ..circuit(0) });
        assert!(err.contains("slots = 4: must be two more than nac.layers = 1"), "{err}");
    }
}
