//! Puts a generated block into a page that is otherwise written by hand.

use crate::Error;

/// The page with the text between `<!-- BEGIN: name -->` and `<!-- END: name -->` replaced.
pub fn splice(page: &str, name: &str, block: &str) -> Result<String, Error> {
    let (begin, end) = (format!("<!-- BEGIN: {name} -->"), format!("<!-- END: {name} -->"));
    let missing = |mark: &str| {
        Error::Query(format!(
            "the page has no line {mark:?}; the block goes between {begin} and {end}"
        ))
    };
    let (head, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, tail) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!("{head}{begin}\n\n{}\n\n{end}{tail}", block.trim_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- BEGIN: table -->\nold\n<!-- END: table -->\nb\n";

    #[test]
    fn only_the_block_changes() {
        let once = splice(PAGE, "table", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- BEGIN: table -->\n\nnew\n\n<!-- END: table -->\nb\n");
        assert_eq!(splice(&once, "table", "new\n").unwrap(), once);
    }

    #[test]
    fn a_missing_mark_is_named() {
        let err = splice(PAGE, "tabel", "new").unwrap_err().to_string();
        assert!(err.contains("no line \"<!-- BEGIN: tabel -->\""), "{err}");
        let err = splice("<!-- BEGIN: t -->", "t", "new").unwrap_err().to_string();
        assert!(err.contains("no line \"<!-- END: t -->\""), "{err}");
    }
}
