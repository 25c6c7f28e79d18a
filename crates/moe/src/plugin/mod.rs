//! Parts that all plug-ins share: hyperparameters, registries, parameters behind `dyn`, initial weights.

mod boxed;
mod config;
mod init;
mod parameters;
mod registry;
mod typed;

pub use boxed::{AnyMapper, AnyVisitor, Boxed, Erased, Plug, Socket};
pub use config::{Choice, Hyper, NoConfig};
pub use init::{Init, Scheme, stable_hash};
pub use parameters::{
    Parameter, PathMapper, PathVisitor, map_paths, numbers_of, parameters, visit_paths,
    with_parameters,
};
pub use registry::{ConfigError, Entry, Registry, read};
pub use typed::typed;
