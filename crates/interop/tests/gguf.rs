//! GGUF files against the transformers library, which reads them too; `scripts/golden/gguf_checkpoints.py` wrote
//! them.

mod common;

use common::{NEAR, compared, expected, fixture, greedy, imported, place, print_row};
use interop::{CheckpointFiles, CheckpointForm, describe, export};

#[test]
fn logits_and_greedy_text_are_those_of_the_library() {
    let (gap, _) = compared("gguf-llama");
    print_row("gguf-llama", gap);
    assert!(gap < NEAR, "{gap}");
    let (_, wanted) = expected("gguf-llama").ints("greedy").unwrap();
    assert_eq!(greedy("gguf-llama", true), wanted);
}

/// Stacked experts are split into single ones, and the original row order is restored.
#[test]
fn mixtral_has_the_numbers_of_its_folder() {
    let open = |name: &str| CheckpointFiles::open(&place(name)).unwrap();
    let (file, folder) = (open("gguf-mixtral"), open("mixtral"));
    let names =
        |of: &CheckpointFiles| of.tensors().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&file), names(&folder));
    for name in names(&file) {
        assert_eq!(file.numbers(&name).unwrap(), folder.numbers(&name).unwrap(), "{name}");
    }
    let [here, there] = [&file, &folder].map(|of| describe(&of.config).unwrap());
    // The file does not contain the weight of the balance loss in training.
    let router = there.moe.router.clone().with("balance", 0.0);
    assert_eq!(here.moe, moe::MoeConfig { router, ..there.moe });
    assert_eq!(here.backbone, there.backbone);
    assert!(matches!(file.tokenizer_within(), Some(Err("the file has no tokeniser"))));
}

#[test]
fn the_tokeniser_gives_the_published_tokens() {
    let checkpoint = CheckpointFiles::open(&place("gguf-llama")).unwrap();
    let json = checkpoint.tokenizer_within().unwrap().unwrap();
    let tokenizer = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
    let text = std::fs::read(fixture("gguf-llama").join("tokens.json")).unwrap();
    let tokens: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let found = tokenizer.encode(tokens["text"].as_str().unwrap(), false).unwrap();
    assert_eq!(serde_json::json!(found.get_ids()), tokens["ids"]);
    let place = checkpoint.tokenizer_place();
    assert!(
        place.ends_with("gguf-llama/model.tokenizer.json")
            && checkpoint.tokenizer().unwrap().is_none()
    );
}

/// A file is exported as a folder with the same numbers.
#[test]
fn it_goes_out_as_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (network, model, file) = imported("gguf-llama", 8);
    let to = folder.path().join("above/out/");
    export(&network, &model.rules, &CheckpointForm::of(&file), &to, None).unwrap();
    let again = CheckpointFiles::open(&to).unwrap();
    assert_eq!(again.config, file.config);
    assert_eq!(again.files(), ["model.safetensors"]);
    for (name, stored) in file.tensors() {
        assert_eq!(again.numbers(name).unwrap(), file.numbers(name).unwrap(), "{name}");
        assert_eq!(again.tensor(name).unwrap().dtype, stored.dtype.written());
    }
}
