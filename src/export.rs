//! Matrices as other crates take them.

use spadina_runtime::convert::{BsrView, CscView};
use spadina_runtime::csr::Pattern;
use spadina_runtime::storage::{Format, Storage};
use sprs::CsMat;
use std::borrow::Cow;

/// Values by rows.
///
/// # Panics
/// If `values` has another length than the storage.
pub(crate) fn by_rows<'a>(pattern: &Pattern, storage: &Storage, values: &'a [f64]) -> Cow<'a, [f64]> {
    assert_eq!(values.len(), storage.len, "one value for each that is stored");
    let sources = match storage.format {
        Format::Csr | Format::Coo => return Cow::Borrowed(values),
        Format::Csc => CscView::new(pattern).source,
        Format::Bsr(height, width) => {
            BsrView::new(pattern, (height, width)).expect("the storage was made from this pattern").source
        }
    };
    let mut by_rows = vec![0.0; pattern.nnz()];
    for (&at, &value) in sources.iter().zip(values) {
        // Blocks have values that the pattern does not store.
        if let Some(place) = by_rows.get_mut(at as usize) {
            *place = value;
        }
    }
    Cow::Owned(by_rows)
}

/// As a `sprs` matrix: by columns if it is stored so, else by rows.
///
/// # Panics
/// If `values` has another length than the storage.
pub(crate) fn to_sprs(pattern: &Pattern, storage: &Storage, values: &[f64]) -> CsMat<f64> {
    assert_eq!(values.len(), storage.len, "one value for each that is stored");
    // A problem of values alone has no rows, nor the place where they end.
    if storage.starts().is_empty() && storage.len == 0 {
        return CsMat::zero(storage.shape);
    }
    let starts = |storage: &Storage| storage.starts().iter().collect::<Vec<usize>>();
    let indices = |storage: &Storage| storage.indices().iter().collect::<Vec<usize>>();
    match storage.format {
        Format::Csr => CsMat::new(storage.shape, starts(storage), indices(storage), values.to_vec()),
        Format::Csc => CsMat::new_csc(storage.shape, starts(storage), indices(storage), values.to_vec()),
        // Without the zeros that fill blocks.
        Format::Coo | Format::Bsr(..) => {
            let row_ptr = pattern.row_ptr().iter().map(|&n| n as usize).collect();
            let cols = pattern.col_idx().iter().map(|&n| n as usize).collect();
            CsMat::new(storage.shape, row_ptr, cols, by_rows(pattern, storage, values).into_owned())
        }
    }
}
