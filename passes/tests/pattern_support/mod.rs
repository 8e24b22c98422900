//! What the pattern tests share: reference files, and formulas as functions.

#![allow(clippy::unwrap_used, dead_code, reason = "test support; not every test uses all of it")]

pub(crate) mod expression;
pub(crate) mod json;
pub(crate) mod translate;

use spadina_passes::analysis::pattern::csr::Pattern;
use std::path::PathBuf;

/// The text of a file of the reference folder beside the checkout; `None` (said in one line) where it is missing.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn reference(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", path.display());
    }
    text
}

/// A pattern as rows of zeros and ones.
pub(crate) fn show(pattern: &Pattern) -> Vec<String> {
    let digit = |row, col| if pattern.contains(row, col) { '1' } else { '0' };
    (0..pattern.nrows).map(|row| (0..pattern.ncols).map(|col| digit(row, col)).collect()).collect()
}
