//! Some rows and columns of a matrix, renumbered, as a pattern and a list of sources: the filter of prepare, after the fact.
//!
//! Structural programs drop entries where they are emitted. Other programs compute the whole matrix, and what is asked for is
//! gathered from it.

use crate::csr::Pattern;
use crate::error::RuntimeError;
use spadina_layout::filter::{DROPPED, Filter};

/// The source of a value that is zero.
pub const ZERO: u32 = u32::MAX;
/// The source of a value that is one.
pub const ONE: u32 = u32::MAX - 1;

/// The entries that `filter` keeps, with a one on the diagonal of the `forced` rows (empty where there are none), and the place of each
/// in the values of `pattern` ([`ONE`] for those of forced rows).
///
/// # Errors
/// A filter for another matrix.
pub fn select(
    pattern: &Pattern,
    filter: &Filter<'_>,
    forced: &[bool],
) -> Result<(Pattern, Vec<u32>), RuntimeError> {
    if !filter.is_valid() || (filter.row_positions, filter.col_positions) != (pattern.rows(), pattern.cols())
    {
        return Err(RuntimeError::Mismatch("a filter and the matrix"));
    }
    let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); filter.rows];
    for position in 0..pattern.rows() {
        let row = filter.row(position as u32);
        if row == DROPPED {
            continue;
        }
        let start = pattern.row_ptr()[position];
        for (&col, source) in pattern.row(position).iter().zip(start..) {
            let col = filter.col(col);
            if filter.keeps(row, col) {
                rows[row as usize].push((col, source));
            }
        }
    }
    for (row, _) in forced.iter().enumerate().filter(|(_, forced)| **forced) {
        rows[row] = vec![(row as u32, ONE)];
    }
    let (mut row_ptr, mut col_idx, mut sources) = (vec![0_u32], Vec::new(), Vec::new());
    for mut row in rows {
        row.sort_unstable();
        col_idx.extend(row.iter().map(|&(col, _)| col));
        sources.extend(row.iter().map(|&(_, source)| source));
        row_ptr.push(col_idx.len() as u32);
    }
    Ok((Pattern::trusted(filter.rows, filter.cols, row_ptr, col_idx), sources))
}

/// Overwrites values from their sources.
pub fn gather(sources: &[u32], values: &[f64], out: &mut [f64]) {
    for (to, &source) in out.iter_mut().zip(sources) {
        *to = match source {
            ONE => 1.0,
            _ => values.get(source as usize).copied().unwrap_or(0.0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina_layout::filter::Triangle;

    #[test]
    fn rows_and_columns_are_dropped_or_become_the_identity() {
        // 0 1 .
        // 2 3 4
        // . 5 6
        let pattern = Pattern::new(3, 3, vec![0, 2, 5, 7], vec![0, 1, 0, 1, 2, 1, 2]).unwrap();
        let values = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0];
        let map = [0, DROPPED, 1];
        let dropped =
            Filter { row_map: Some(&map), col_map: Some(&map), rows: 2, cols: 2, ..Filter::all(3, 3) };
        let (found, sources) = select(&pattern, &dropped, &[]).unwrap();
        assert_eq!(
            (found.row_ptr(), found.col_idx(), &sources[..]),
            (&[0, 1, 2][..], &[0, 1][..], &[0, 6][..])
        );
        let kept = [0, DROPPED, 2];
        let filter = Filter {
            row_map: Some(&kept),
            col_map: Some(&kept),
            triangle: Triangle::Lower,
            ..Filter::all(3, 3)
        };
        let (found, sources) = select(&pattern, &filter, &[false, true, false]).unwrap();
        assert_eq!((found.row_ptr(), found.col_idx()), (&[0, 1, 2, 3][..], &[0, 1, 2][..]));
        let mut out = [0.0; 3];
        gather(&sources, &values, &mut out);
        assert_eq!(out, [10.0, 1.0, 16.0]);
        assert!(select(&pattern, &Filter::all(2, 3), &[]).is_err());
    }
}
