//! The plain residual connection.
//!
//! He, Zhang, Ren, Sun. *Deep Residual Learning for Image Recognition*. CVPR 2016.
//! <https://arxiv.org/abs/1512.03385>
//!
//! y = F(x) + x                                 (1)

use burn::{module::Module, prelude::*};
use moe::{Init, NoConfig, Pass, ResidualRule};

/// The output is added to the stream.
#[derive(Module, Debug)]
pub struct Add;

impl ResidualRule for Add {
    type Config = NoConfig;
    const NAME: &'static str = "add";
    const ABOUT: &'static str = "the output is added to the stream";
    const PAPER: &'static str = "https://arxiv.org/abs/1512.03385";

    fn init(_config: &NoConfig, _width: usize, _init: &Init) -> Self {
        Add
    }

    fn join(&self, _pass: &mut Pass, x: Tensor<3>, output: Tensor<3>) -> Tensor<3> {
        output + x // (1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds() {
        let at = |value: f32| Tensor::<3>::full([1, 1, 1], value, &Device::flex());
        let y = Add.join(&mut Pass::eval(), at(2.0), at(0.5));
        assert_eq!(y.into_scalar::<f32>(), 2.5);
    }
}
