//! Files: the folders of runs, their identities, their environments, the results of requests.

mod environment;
mod identity;
mod record;
mod request;
mod runs;
pub(crate) mod safetensors;

pub(crate) use environment::Environment;
pub use identity::revision;
pub(crate) use identity::{Origin, after};
pub(crate) use record::{Ended, Numbers, Selected};
pub(crate) use request::Request;
pub(crate) use runs::{NotFinite, Store, read_json};
pub(crate) use safetensors::Tensors;
