//! A MoE layer and nothing else: the two-layer networks of theory.
//!
//! Chen, Deng, Wu, Gu, Li. *Towards Understanding the Mixture-of-Experts Layer in Deep Learning*.
//! NeurIPS 2022. <https://arxiv.org/abs/2208.02813>
//!
//! f(x) = sum over the tokens of MoE(x), its first coordinates                     (1)
//!
//! An image's rows are the tokens. There are no other parameters, no norm and no residual.

use burn::{module::Module, prelude::*};
use moe::{ConfigError, Domain, Init, Input, MoeLayer, NoConfig, Pass};

use crate::{Backbone, BackboneSpec, wrong};

/// A MoE layer and nothing else.
#[derive(Module, Debug)]
pub struct Bare {
    layer: MoeLayer,
    tokens: usize,
    outputs: usize,
}

/// The number of tokens and the width, if the inputs are rows of numbers.
fn sizes(domain: Domain) -> Option<[usize; 2]> {
    match domain {
        Domain::Image { channels: 1, height, width } => Some([height, width]),
        _ => None,
    }
}

/// The message of an error that `check` excludes.
const ROWS: &str = "expected images of one channel, with rows as tokens";

impl Backbone for Bare {
    type Config = NoConfig;
    const NAME: &'static str = "bare";
    const ABOUT: &'static str = "a single MoE layer on the rows of an image, summed over the rows";
    const PAPER: &'static str = "https://arxiv.org/abs/2208.02813";
    const CAUSAL: bool = false;

    fn check(_config: &NoConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let [tokens, width] = sizes(spec.domain).ok_or_else(|| wrong(ROWS.into()))?;
        if !spec.moe.layers.has(0, 1) {
            return Err(wrong(
                "moe.layers: must be \"all\", since the only block is a MoE layer".into(),
            ));
        }
        if spec.outputs > width {
            let outputs = spec.outputs;
            return Err(wrong(format!("{outputs} outputs do not fit in rows of {width}")));
        }
        spec.library.check(spec.moe, [tokens, width], 1)
    }

    fn init(_config: &NoConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [tokens, width] = sizes(spec.domain).expect(ROWS);
        let config = spec.moe.of_layer(0);
        let layer = MoeLayer::new(&config, spec.library, [tokens, width], &init.at("moe"))?;
        Ok(Self { layer, tokens, outputs: spec.outputs })
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let Input::Image(rows) = input else { panic!("{ROWS}") };
        let y = self.layer.forward(pass, rows.squeeze_dim::<3>(1));
        y.sum_dim(1).narrow(2, 0, self.outputs) // (1)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use moe::{MoeConfig, Placement};

    const ROWS_OF_6: Domain = Domain::Image { channels: 1, height: 4, width: 6 };

    #[test]
    fn it_is_the_sum_over_the_rows() {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::ALL, ..moe };
        let init = Init::new(0, &Device::flex());
        let config = NoConfig::default();
        let bare = <Bare as Backbone>::init(&config, &spec(ROWS_OF_6, &moe, &library), &init);
        let bare = bare.unwrap();
        let rows = init.normal("rows", [2, 1, 4, 6], 1.0).val();
        let y = Backbone::forward(&bare, &mut Pass::eval(), Input::Image(rows.clone()));
        assert_eq!(y.dims(), [2, 1, 3]);
        let layer = bare.layer.forward(&mut Pass::eval(), rows.squeeze_dim::<3>(1));
        let expected = layer.sum_dim(1).narrow(2, 0, 3).into_data();
        assert_eq!(y.into_data(), expected);
    }

    #[test]
    fn it_learns() {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::ALL, ..moe };
        let init = Init::new(0, &Device::flex().autodiff());
        let spec = spec(ROWS_OF_6, &moe, &library);
        let bare = <Bare as Backbone>::init(&NoConfig::default(), &spec, &init).unwrap();
        let rows = init.normal("rows", [3, 1, 4, 6], 1.0).val().detach();
        loss_falls(bare, Input::Image(rows), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (library, moe) = library();
        let check = |moe: &MoeConfig, domain| {
            let spec = spec(domain, moe, &library);
            <Bare as Backbone>::check(&NoConfig::default(), &spec).unwrap_err().to_string()
        };
        let all = MoeConfig { layers: Placement::ALL, ..moe.clone() };
        assert!(check(&all, Domain::Text { vocab: 9, length: 4 }).contains("with rows as tokens"));
        let narrow = Domain::Image { channels: 1, height: 4, width: 2 };
        assert!(check(&all, narrow).contains("3 outputs do not fit in rows of 2"));
        let none = MoeConfig { layers: Placement::NONE, ..moe };
        assert!(check(&none, ROWS_OF_6).contains("the only block is a MoE layer"));
    }
}
