//! DeiT with distillation: Touvron et al. *Training data-efficient image transformers & distillation through
//! attention*. 2020. <https://arxiv.org/abs/2012.12877>
//!
//! Keys: those of ViT.
//!
//! Tensors: those of ViT beneath `deit` rather than `vit`, `position_embeddings` `[1, N + 2, D]`; besides
//! `deit.embeddings.distillation_token` `[1, 1, D]`, and in the place of `classifier` two heads,
//! `cls_classifier` and `distillation_classifier`.
//!
//! Differs from ViT: a second token of its own after the class token; the answer is the mean of the scores of
//! both.

use backbones::Pool;

use super::{ImportedNetwork, vit::read_with};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut model = read_with(keys, Pool::Distilled, "deit")?;
    let rules = &mut model.rules;
    rules.same("distillation.token", "deit.embeddings.distillation_token");
    for (here, there) in [("head", "cls"), ("distillation.head", "distillation")] {
        rules.map(format!("{here}.weight"), format!("{there}_classifier.weight"));
        rules.same(format!("{here}.bias"), format!("{there}_classifier.bias"));
    }
    Ok(model)
}
