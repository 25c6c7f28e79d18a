//! Each family against the transformers library: logits, choices of experts, greedy text, and the same bytes
//! after import and export.
//!
//! A folder in `fixtures/` has a tiny random checkpoint and the library's results for it;
//! `scripts/golden/transformers_checkpoints.py` wrote them.

mod common;

use std::fs;

use common::{NEAR, compared, expected, fixture, greedy, imported, print_row};
use interop::{CheckpointFiles, CheckpointForm, export};

fn computes_the_same(name: &str) {
    let (gap, same) = compared(name);
    print_row(name, gap);
    assert!(gap < NEAR, "{name}: {gap}");
    assert!(same, "{name}");
}

fn writes_the_same(name: &str) {
    let (_, wanted) = expected(name).ints("greedy").unwrap();
    assert_eq!(wanted.len(), 32);
    assert_eq!(greedy(name, true), wanted, "with a cache");
    assert_eq!(greedy(name, false), wanted, "without a cache");
}

fn comes_back_to_the_byte(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (network, model, checkpoint) = imported(name, 8);
    let to = folder.path().join(name);
    export(&network, &model.rules, &CheckpointForm::of(&checkpoint), &to, None).unwrap();
    let again = CheckpointFiles::open(&to).unwrap();
    assert_eq!(again.config, checkpoint.config);
    assert!(again.tensors().eq(checkpoint.tensors()));
    for (tensor, _) in checkpoint.tensors() {
        assert_eq!(again.bytes(tensor).unwrap(), checkpoint.bytes(tensor).unwrap(), "{tensor}");
    }
    // Whole files are compared too: tensors are in the order in which the library writes them.
    for file in checkpoint.files() {
        let [here, there] =
            [&fixture(name), &to].map(|folder| fs::read(folder.join(&file)).unwrap());
        assert!(here == there, "{file}");
    }
    let twice =
        export(&network, &model.rules, &CheckpointForm::of(&checkpoint), &to, None).unwrap_err();
    assert!(format!("{twice:#}").ends_with("it already exists"), "{twice:#}");
}

macro_rules! families {
    ($($test:ident $folder:literal;)*) => { $(
        mod $test {
            #[test]
            fn logits_and_choices_are_those_of_the_library() {
                super::computes_the_same($folder);
            }

            #[test]
            fn greedy_text_is_that_of_the_library() {
                super::writes_the_same($folder);
            }

            #[test]
            fn import_and_export_give_the_same_bytes() {
                super::comes_back_to_the_byte($folder);
            }
        }
    )* };
}

families! {
    mixtral "mixtral";
    olmoe "olmoe";
    qwen2_moe "qwen2-moe";
    qwen3_moe "qwen3-moe";
    granite_moe "granite-moe";
    gpt_oss "gpt-oss";
    deepseek_v2 "deepseek-v2";
    deepseek_v3 "deepseek-v3";
    llama "llama";
    llama3 "llama3";
    llama_linear "llama-linear";
    bailing_moe "bailing-moe";
}
