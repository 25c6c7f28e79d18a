//! Checkpoints of other frameworks: readers, writers and name maps. Nothing is trained here.
//!
//! A checkpoint is a folder as `save_pretrained` of the transformers library writes it: `config.json`,
//! `model.safetensors` or shards with `model.safetensors.index.json`, perhaps `tokenizer.json`; or a GGUF
//! file. If there is no safetensors file, `pytorch_model.bin` or its shards are read, or a file of
//! `torch.save`.
//!
//! Conversion is strict: every tensor of the checkpoint is used exactly once, every parameter of the network
//! is set exactly once, and every key of the config is either honoured or refused by its name.
//!
//! ```text
//! Checkpoint::open(path)        the files, checked; tensors are read one by one
//! describe(&checkpoint.config)  the network of the family, and the rules from tensors to parameters
//! load(network, ..)             a network with the tensors of the checkpoint
//! export(&network, ..)          the tensors of a network, in a folder of the same form
//! ```

mod blocks;
mod checkpoint;
mod dtype;
mod export;
mod family;
mod gguf;
mod json;
mod keys;
mod load;
mod names;
mod packed;
mod pickled;
mod place;
mod pruned;
mod rope_scaling;
mod rules;
mod shard;
mod stored;
mod unmatched;
mod view;

pub use checkpoint::CheckpointFiles;
pub use dtype::Dtype;
pub use export::{CheckpointForm, SourceTensor, export};
pub use family::{ImportedNetwork, describe, known};
pub use keys::Keys;
pub use load::{LoadedNetwork, check, load, not_finite};
pub use rules::{Rules, TensorRule};
pub use stored::Stored;
pub use unmatched::unmatched;
