//! Reading files.

use std::{fs, io, path::Path};

use crate::Error;

/// The text of a file.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let fault = |source| Error::File { path: path.into(), source };
    // Reading a pipe would wait for whoever writes to it.
    if !fs::metadata(path).map_err(fault)?.is_file() {
        return Err(fault(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    fs::read_to_string(path).map_err(fault)
}
