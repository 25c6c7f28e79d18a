//! Building blocks of routers, for this crate and for others: the linear gate, balance and z losses,
//! noise, settling of scores before the choice, normalisation of weights, and checks of hyperparameters.
//!
//! ```
//! use burn::prelude::*;
//! use moe::{Dims, Init, Pass, Plan, softmax};
//! use routers::kit::{Balance, BalanceLoss, Gate, check, losses, scores};
//!
//! let dims = Dims { width: 4, n_experts: 8, units: 6 };
//! let init = Init::new(0, &Device::flex());
//! check::k(2, dims).unwrap();
//! let gate = Gate::new(dims, &init);
//! let balance = BalanceLoss::new(Balance::Choices, dims, &init);
//!
//! // In `Router::route`, for units of `[G, U, D]`:
//! let (mut pass, units) = (Pass::eval(), init.normal("units", [1, 6, 4], 1.0).val());
//! let s = gate.forward(&mut pass, units); // [G, U, E]
//! let experts = scores::best(&mut pass, s.clone(), 2); // [G, U, K]
//! let weights = softmax(s.clone().gather(2, experts.clone()), 2);
//! balance.add(&mut pass, 0.01, softmax(s.clone(), 2), experts.clone());
//! losses::add(&mut pass, "z", 0.001, || losses::router_z(s));
//! let plan = Plan::TokenChoice { experts, weights, n_experts: 8 };
//! assert_eq!(plan.n_units(), 6);
//! ```

pub mod check;
pub mod losses;
pub mod noise;
pub mod scores;
pub mod shares;

mod balance_loss;
mod faithful;
mod gate;
mod recorded;

pub use balance_loss::BalanceLoss;
pub use faithful::Faithful;
pub use gate::Gate;
pub use losses::Balance;
pub use noise::GivenNoise;
#[cfg(test)]
pub(crate) use recorded::tests::trace_file;
pub use recorded::{Recorded, TraceFile};

pub(crate) mod assignment;
pub(crate) mod balance_bias;
pub(crate) mod expert_groups;
pub(crate) mod load;
pub(crate) mod normal_cdf;
pub(crate) mod null;
pub(crate) mod quantile;
pub(crate) mod state;
pub(crate) mod unit_length;
