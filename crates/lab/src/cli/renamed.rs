//! Commands that were renamed, from `experiments/renamed.toml`: the error for an old name gives the new one.

use toml::Table;

const RENAMED: &str = include_str!("../../../../experiments/renamed.toml");

/// The error for a command line that begins with the old name of a command; none if the name is not an old
/// one, or if the program has a verb of that name.
pub(super) fn error_of_old_name(args: &[String], verbs: &[&str]) -> Option<String> {
    let table: Table = RENAMED.parse().expect("the table is TOML");
    table.iter().find_map(|(old, new)| {
        let begins =
            old.split(' ').eq(args.iter().take(old.split(' ').count()).map(String::as_str));
        let new = new.as_str().filter(|_| begins && !verbs.contains(&old.as_str()))?;
        Some(format!("`{old}` was renamed to `{new}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_lead_to_new_ones() {
        let table: Table = RENAMED.parse().unwrap();
        assert!(table.len() >= 2);
        for (old, new) in &table {
            let mut args: Vec<String> = old.split(' ').map(str::to_string).collect();
            let expected = format!("`{old}` was renamed to `{}`", new.as_str().unwrap());
            assert_eq!(error_of_old_name(&args, &["run"]).as_ref(), Some(&expected));
            // A program that has a verb of the old name runs it.
            assert_eq!(error_of_old_name(&args, &["run", old]), None);
            args.push("--help".into());
            assert_eq!(error_of_old_name(&args, &[]), Some(expected));
            *args.last_mut().unwrap() = String::new();
            args[0].push('s');
            assert_eq!(error_of_old_name(&args, &[]), None);
        }
        assert_eq!(error_of_old_name(&[], &[]), None);
    }
}
