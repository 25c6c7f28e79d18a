//! Files: the folders of runs, their identities, their environments, the results of requests.

mod checksum;
mod environment;
mod identity;
mod record;
mod request;
mod run_files;
mod runs;
pub(crate) mod safetensors;
mod seal;

pub(crate) use environment::Environment;
pub use identity::revision;
pub(crate) use identity::{Origin, after};
pub(crate) use record::{Ended, Numbers, Selected};
pub(crate) use request::Request;
pub(crate) use run_files::is_folder;
pub use runs::read_traces;
pub(crate) use runs::{NotFinite, Store, folder_named, has_file, read_file, read_json, read_log};
pub(crate) use safetensors::Tensors;
