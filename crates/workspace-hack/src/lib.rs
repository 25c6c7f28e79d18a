//! No code: its manifest names the features of shared dependencies, so that every choice of packages
//! (`cargo test --workspace`, `cargo test -p routers`, `cargo run -p bench`) uses one build of Burn.
