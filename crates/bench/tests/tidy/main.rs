//! The invariants of docs/architecture.md and the words of the project, as far as a program can check them.

mod circles;
mod contents;
mod devices;
mod manifests;
mod tree;
mod words;
