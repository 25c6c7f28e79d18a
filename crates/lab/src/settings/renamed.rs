//! Keys that were renamed. Suites may use the old names for one version, with a warning.

use super::tree::SettingTree;

/// The name of the table, the old key in it, and the new key.
const RENAMED: [[&str; 3]; 4] = [
    ["moe", "storage", "expert_dtype"],
    ["capacity", "served", "keep_fraction"],
    ["task", "pictures", "images"],
    ["sequences", "pictures", "frames"],
];

impl SettingTree {
    /// Renames old keys everywhere in the tree, and returns a warning for each.
    pub(crate) fn rename_old_keys(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.rename_in("", &mut warnings);
        warnings
    }

    /// The same in the table or the list of tables that is called `name`.
    fn rename_in(&mut self, name: &str, warnings: &mut Vec<String>) {
        match self {
            SettingTree::Leaf(..) => {}
            SettingTree::Tables(tables, _) => {
                tables.iter_mut().for_each(|table| table.rename_in(name, warnings));
            }
            SettingTree::Table(table, _) => {
                for [_, old, new] in RENAMED.iter().filter(|[of, ..]| *of == name) {
                    if table.contains_key(*new) {
                        continue; // a table with both is refused when it is read
                    }
                    if let Some(value) = table.remove(*old) {
                        let place = value.place();
                        warnings.push(format!(
                            "{place}: warning: {name}.{old} was renamed to {name}.{new}; the next version \
                             will not accept the old name"
                        ));
                        table.insert(new.to_string(), value);
                    }
                }
                table.iter_mut().for_each(|(key, inner)| inner.rename_in(key, warnings));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn old_names_are_read_with_a_warning_that_names_the_place() {
        let text = "[base]\nmoe.storage = 'bf16'\n[[method]]\nmoe.capacity = { served = 0.5 }\n\
                    [other]\nstorage = 1";
        let mut settings = SettingTree::parse("s.toml", text).unwrap();
        let warnings = settings.rename_old_keys();
        let value = settings.value();
        assert_eq!(value["base"]["moe"], json!({ "expert_dtype": "bf16" }));
        assert_eq!(value["method"][0]["moe"]["capacity"], json!({ "keep_fraction": 0.5 }));
        assert_eq!(value["other"]["storage"], 1);
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0]
                .starts_with("s.toml:2: warning: moe.storage was renamed to moe.expert_dtype")
        );
        assert!(warnings[1].starts_with("s.toml:4: warning: capacity.served was renamed to"));
        assert!(settings.rename_old_keys().is_empty());
    }
}
