//! The operations of layers: the functions for read-backs and products.

use std::collections::BTreeSet;

use crate::tree::{code, names, read, root, sources};

/// When tensors are read back, the processor waits for the graphics card: layers use one function for it,
/// which counts the calls.
#[test]
fn layers_read_back_by_one_function() {
    let reads = [
        ".into_data(",
        ".to_data(",
        ".into_scalar(",
        ".into_scalar::",
        ".try_into_data",
        ".try_to_data",
        ".try_into_scalar",
        "Transaction",
    ];
    // These operations of Burn read back: sorting, ranking, and those whose output shape depends on values.
    let burns = [
        ".sort(",
        ".sort_descending(",
        ".sort_with_indices(",
        ".sort_descending_with_indices(",
        ".argsort(",
        ".argsort_descending(",
        ".topk(",
        ".topk_with_indices(",
        ".one_hot(",
        ".one_hot_fill(",
        ".nonzero(",
        ".argwhere(",
        ".mask_select(",
        ".all_close(",
    ];
    let known = [
        ("kernels/src/read_back.rs", ".into_data("),
        // Only used on the processor.
        ("routers/src/kit/quantile.rs", ".sort_descending("),
    ];
    let mut found = BTreeSet::new();
    for of in ["kernels", "moe", "routers", "experts", "residuals", "backbones"] {
        for (path, text) in sources(of) {
            let path = path.to_string_lossy();
            // Code that is shared by tests.
            let shared = ["/conformance/", "/tests.rs", "/testing.rs", "/same_bits.rs"];
            if shared.iter().any(|part| path.contains(part)) {
                continue;
            }
            let code = code(&text);
            for read in reads.iter().chain(&burns).filter(|read| code.contains(**read)) {
                let at = known.iter().position(|(end, of)| path.ends_with(end) && of == read);
                assert!(at.is_some(), "{path}: {read}, in place of kernels::read_back");
                found.insert(at);
            }
        }
    }
    assert_eq!(found.len(), known.len(), "the search finds what is there");
}

#[test]
fn the_padded_engine_reads_nothing_back() {
    let reads = |file: &str| {
        let text = read(&root().join("crates/moe/src").join(file));
        let reads = ["read_back(", "to_host("];
        let code = code(&text);
        reads.into_iter().filter(|read| code.contains(read)).collect::<Vec<_>>()
    };
    for file in ["engine/padded.rs", "engine/reference.rs", "engine/merged.rs", "capacity/queue.rs"]
    {
        assert_eq!(reads(file), [""; 0], "{file}");
    }
    assert_eq!(reads("engine/dropless.rs"), ["to_host("], "the search finds what is there");
}

/// The operations of a device do not depend on the settings of a run.
#[test]
fn kernels_are_left_out_in_tests_and_counts_alone() {
    let programs = names("crates").into_iter().map(|name| (sources(&name), name));
    for (sources, name) in programs {
        for (path, text) in sources {
            let path = path.to_string_lossy();
            let may = name == "kernels" || path.ends_with("bench/src/speed/syncs.rs");
            assert!(may || !code(&text).contains("without_kernels"), "{path}");
        }
    }
}

/// Burn's products have an order of sums that depends on the processor: docs/performance.md.
#[test]
fn products_are_those_of_kernels() {
    let crates = names("crates").into_iter().filter(|name| name != "kernels");
    for (path, text) in crates.flat_map(|name| sources(&name)) {
        if path.ends_with("tests.rs") || path.ends_with("subject.rs") {
            continue;
        }
        for burns in [".matmul(", "einsum!", "module::linear"] {
            let at = path.display();
            assert!(!code(&text).contains(burns), "{at}: {burns}: use kernels::matmul or linear");
        }
    }
}
