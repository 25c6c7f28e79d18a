//! Atomic writes of files and folders, reads of regular files that do not block, and digests as text.
//!
//! ```text
//! write_atomic(path, bytes)?;                 // a file, after a kill, a full disk or a power cut
//! write_folder(path, |part| ..)?;             // a folder, the same
//! let bytes = read_regular(path, u64::MAX)?;  // no pipe, no device, at most these bytes
//! ```

mod atomic;
mod folder;
mod hex;
mod json_memory;
mod json_repeats;
mod part;
mod regular;
mod several;
mod tree;
mod unpacked;

pub use atomic::{create_folder, sync_name, write_atomic, write_atomic_with};
pub use folder::write_folder;
pub use hex::hex;
pub use json_memory::json_memory;
pub use json_repeats::repeated_key;
pub use part::{Scratch, abandon_parts, remove_parts};
pub use regular::{read_regular, read_text};
pub use several::write_files;
pub use tree::files_below;
pub use unpacked::most_unpacked;
