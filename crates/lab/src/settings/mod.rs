//! Settings as written: a tree of TOML in which each value has its source and line.

mod keys;
mod reader;
mod renamed;
mod tree;

pub(crate) use keys::at;
pub use keys::{known_keys, tables, typed_table, typed_tables};
pub use tree::{Place, SettingTree};
