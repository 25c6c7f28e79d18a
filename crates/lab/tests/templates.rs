//! The files that `new` writes: the templates are compiled here unchanged, and their own tests run. The pages
//! of the documentation show the same code.

use std::{fs, path::Path};

/// A template as a module of its own.
macro_rules! template {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[allow(dead_code, reason = "its main function is that of a program")]
        mod $name;
    };
}

template!(router, "../templates/router/src/main.rs");
template!(expert, "../templates/expert/src/main.rs");
template!(residual, "../templates/residual/src/main.rs");
template!(task, "../templates/task/src/main.rs");
template!(backbone, "../templates/backbone/src/main.rs");

#[test]
fn pages_show_the_templates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (kind, page, title, name) in [
        ("expert", "add-an-expert", "TwoLayer", "two-layer"),
        ("residual", "add-a-residual-rule", "Scaled", "scaled"),
        ("task", "add-a-task", "BrightColumn", "bright-column"),
        ("backbone", "add-a-backbone", "Rows", "rows"),
    ] {
        let template = root.join("templates").join(kind).join("src/main.rs");
        let template = fs::read_to_string(template).unwrap();
        // From the hyperparameters to the main function.
        let code =
            &template[template.find("config! {").unwrap()..template.find("fn main").unwrap()];
        let code = code.replace("Sample", title).replace("sample", name);
        let page = root.join("../../docs").join(page).with_extension("md");
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(code.trim_end()), "{} shows other code than {kind}", page.display());
    }
}
