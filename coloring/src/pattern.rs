//! The sparsity pattern every algorithm here starts from: compressed sparse rows without values.

use std::sync::Arc;

use crate::error::ColoringError;

/// Positions of the nonzeros of an `nrows` x `ncols` matrix, row by row, columns strictly increasing in a row.
///
/// Cheap to clone: the arrays are shared.
///
/// ```
/// use spadina_coloring::pattern::Pattern;
/// let p = Pattern::new(2, 3, vec![0, 2, 3], vec![0, 2, 1])?;
/// assert_eq!((p.nnz(), p.row(0)), (3, &[0, 2][..]));
/// assert_eq!(p.transpose().row(2), &[0]);
/// # Ok::<(), spadina_coloring::error::ColoringError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    nrows: usize,
    ncols: usize,
    row_ptr: Arc<[usize]>,
    col_idx: Arc<[u32]>,
}

impl Pattern {
    /// Pattern from compressed rows: `row_ptr` has `nrows + 1` offsets into `col_idx`.
    ///
    /// # Errors
    /// When the offsets are not ascending from 0 to `col_idx.len()`, a column is out of range or not above its
    /// predecessor in the row, or a size does not fit 31 bits (rows + columns) or 32 bits (entries).
    pub fn new(
        nrows: usize,
        ncols: usize,
        row_ptr: impl Into<Arc<[usize]>>,
        col_idx: impl Into<Arc<[u32]>>,
    ) -> Result<Self, ColoringError> {
        let (row_ptr, col_idx) = (row_ptr.into(), col_idx.into());
        check_sizes(nrows, ncols, col_idx.len())?;
        if row_ptr.len() != nrows + 1 {
            return Err(ColoringError::RowPtrLength { expected: nrows + 1, found: row_ptr.len() });
        }
        if row_ptr[0] != 0 {
            return Err(ColoringError::RowPtr { row: 0 });
        }
        for (row, ends) in row_ptr.windows(2).enumerate() {
            let cols = col_idx.get(ends[0]..ends[1]).ok_or(ColoringError::RowPtr { row })?;
            if let Some(&col) = cols.iter().find(|&&c| c as usize >= ncols) {
                return Err(ColoringError::ColumnOutOfRange { row, col: col as usize, ncols });
            }
            if let Some(pair) = cols.windows(2).find(|p| p[0] >= p[1]) {
                return Err(ColoringError::NotIncreasing { row, col: pair[1] as usize });
            }
        }
        if row_ptr[nrows] != col_idx.len() {
            return Err(ColoringError::RowPtr { row: nrows });
        }
        Ok(Self { nrows, ncols, row_ptr, col_idx })
    }

    /// Pattern from a list of (row, column) pairs in any order; repeated pairs count once.
    ///
    /// # Errors
    /// When an index is out of range or a size does not fit.
    pub fn from_entries(nrows: usize, ncols: usize, entries: &[(u32, u32)]) -> Result<Self, ColoringError> {
        check_sizes(nrows, ncols, entries.len())?;
        let mut row_ptr = vec![0usize; nrows + 1];
        for &(row, col) in entries {
            let (row, col) = (row as usize, col as usize);
            if row >= nrows {
                return Err(ColoringError::RowOutOfRange { row, col, nrows });
            }
            if col >= ncols {
                return Err(ColoringError::ColumnOutOfRange { row, col, ncols });
            }
            row_ptr[row + 1] += 1;
        }
        prefix_sum(&mut row_ptr);
        let mut next = row_ptr.clone();
        let mut cols = vec![0u32; entries.len()];
        for &(row, col) in entries {
            cols[next[row as usize]] = col;
            next[row as usize] += 1;
        }
        let mut kept = 0;
        for row in 0..nrows {
            let range = row_ptr[row]..row_ptr[row + 1];
            cols[range.clone()].sort_unstable();
            row_ptr[row] = kept;
            for k in range {
                if kept == row_ptr[row] || cols[k] != cols[kept - 1] {
                    cols[kept] = cols[k];
                    kept += 1;
                }
            }
        }
        row_ptr[nrows] = kept;
        cols.truncate(kept);
        Self::new(nrows, ncols, row_ptr, cols)
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// The `nrows + 1` offsets of the rows.
    pub fn row_ptr(&self) -> &[usize] {
        &self.row_ptr
    }

    /// The column of each entry, row by row.
    pub fn col_idx(&self) -> &[u32] {
        &self.col_idx
    }

    /// The columns of one row; empty when the row does not exist.
    pub fn row(&self, row: usize) -> &[u32] {
        if row < self.nrows { &self.col_idx[self.row_ptr[row]..self.row_ptr[row + 1]] } else { &[] }
    }

    /// Index of entry (`row`, `col`) in row order, if it is stored.
    pub fn find(&self, row: usize, col: usize) -> Option<usize> {
        let at = self.row(row).binary_search(&u32::try_from(col).ok()?).ok()?;
        Some(self.row_ptr[row] + at)
    }

    /// All entries as (row, column), in row order.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.nrows).flat_map(|i| self.row(i).iter().map(move |&j| (i, j as usize)))
    }

    /// The transposed pattern.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let row_ptr = self.column_starts();
        let mut next = row_ptr.clone();
        let mut col_idx = vec![0u32; self.nnz()];
        for i in 0..self.nrows {
            for &j in self.row(i) {
                let slot = &mut next[j as usize];
                col_idx[*slot] = i as u32;
                *slot += 1;
            }
        }
        Self { nrows: self.ncols, ncols: self.nrows, row_ptr: row_ptr.into(), col_idx: col_idx.into() }
    }

    /// Where each column starts in the order of columns.
    fn column_starts(&self) -> Vec<usize> {
        let mut starts = vec![0usize; self.ncols + 1];
        for &j in &*self.col_idx {
            starts[j as usize + 1] += 1;
        }
        prefix_sum(&mut starts);
        starts
    }

    /// The transposed pattern, and for each of its entries the index of the same entry here.
    pub fn transpose_with_map(&self) -> (Self, Vec<u32>) {
        let row_ptr = self.column_starts();
        let mut next = row_ptr.clone();
        let mut col_idx = vec![0u32; self.nnz()];
        let mut map = vec![0u32; self.nnz()];
        for i in 0..self.nrows {
            for k in self.row_ptr[i]..self.row_ptr[i + 1] {
                let slot = &mut next[self.col_idx[k] as usize];
                col_idx[*slot] = i as u32;
                map[*slot] = k as u32;
                *slot += 1;
            }
        }
        let transposed =
            Self { nrows: self.ncols, ncols: self.nrows, row_ptr: row_ptr.into(), col_idx: col_idx.into() };
        (transposed, map)
    }

    /// Whether the pattern is square and equal to its transpose.
    pub fn is_symmetric(&self) -> bool {
        self.require_symmetric().is_ok()
    }

    /// Like [`Pattern::is_symmetric`], with the reason when it is not.
    ///
    /// # Errors
    /// When the pattern is not square, or naming an entry without its partner.
    pub fn require_symmetric(&self) -> Result<(), ColoringError> {
        let (nrows, ncols) = (self.nrows, self.ncols);
        if nrows != ncols {
            return Err(ColoringError::NotSquare { nrows, ncols });
        }
        // Sweeping the rows, entry (i, j) must be the next one of row j whose column is i: both triangles advance in step.
        let mut next = self.row_ptr[..nrows].to_vec();
        for i in 0..nrows {
            for &j in self.row(i) {
                let slot = &mut next[j as usize];
                match self.row(j as usize).get(*slot - self.row_ptr[j as usize]) {
                    Some(&c) if c as usize == i => *slot += 1,
                    Some(&c) if (c as usize) < i => {
                        return Err(ColoringError::NotSymmetric { row: j as usize, col: c as usize });
                    }
                    _ => return Err(ColoringError::NotSymmetric { row: i, col: j as usize }),
                }
            }
        }
        Ok(())
    }
}

fn check_sizes(nrows: usize, ncols: usize, nnz: usize) -> Result<(), ColoringError> {
    const VERTEX_LIMIT: usize = 1 << 30;
    if nrows >= VERTEX_LIMIT || ncols >= VERTEX_LIMIT {
        return Err(ColoringError::TooLarge { what: "the number of rows or columns" });
    }
    if nnz >= (1 << 31) {
        return Err(ColoringError::TooLarge { what: "the number of entries" });
    }
    Ok(())
}

fn prefix_sum(counts: &mut [usize]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_counted_once() {
        let p = Pattern::from_entries(3, 3, &[(2, 0), (0, 2), (0, 0), (2, 0), (0, 2)]).unwrap();
        assert_eq!(p.row_ptr(), &[0, 2, 2, 3]);
        assert_eq!(p.col_idx(), &[0, 2, 0]);
        assert!(p.is_symmetric());
        assert_eq!(p.find(2, 0), Some(2));
        assert_eq!(p.find(1, 1), None);
    }

    #[test]
    fn transposes_agree() {
        let entries: Vec<(u32, u32)> = (0..60).map(|k| (k * 7 % 13, k * k % 17)).collect();
        let p = Pattern::from_entries(13, 17, &entries).unwrap();
        let (transposed, map) = p.transpose_with_map();
        assert_eq!(p.transpose(), transposed);
        assert_eq!(transposed.transpose(), p);
        assert!(transposed.entries().zip(map).all(|((j, i), k)| p.find(i, j) == Some(k as usize)));
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(matches!(Pattern::new(1, 1, vec![0], vec![]), Err(ColoringError::RowPtrLength { .. })));
        assert!(matches!(Pattern::new(1, 1, vec![0, 2], vec![0]), Err(ColoringError::RowPtr { .. })));
        assert!(matches!(Pattern::new(1, 1, vec![0, 0], vec![0]), Err(ColoringError::RowPtr { .. })));
        assert!(matches!(Pattern::new(2, 1, vec![0, 1, 0], vec![0]), Err(ColoringError::RowPtr { .. })));
        assert!(matches!(
            Pattern::new(1, 1, vec![0, 1], vec![1]),
            Err(ColoringError::ColumnOutOfRange { .. })
        ));
        assert!(matches!(
            Pattern::new(1, 2, vec![0, 2], vec![1, 1]),
            Err(ColoringError::NotIncreasing { .. })
        ));
    }

    #[test]
    fn the_unsymmetric_entry_is_named() {
        let error =
            |entries: &[(u32, u32)]| Pattern::from_entries(4, 4, entries).unwrap().require_symmetric();
        assert_eq!(error(&[(1, 3)]), Err(ColoringError::NotSymmetric { row: 1, col: 3 }));
        assert_eq!(error(&[(3, 1)]), Err(ColoringError::NotSymmetric { row: 3, col: 1 }));
        assert_eq!(
            error(&[(0, 1), (1, 0), (3, 0), (2, 2)]),
            Err(ColoringError::NotSymmetric { row: 3, col: 0 })
        );
        assert_eq!(error(&[(0, 1), (1, 0), (1, 1)]), Ok(()));
        assert_eq!(error(&[(3, 0), (3, 1), (1, 3)]), Err(ColoringError::NotSymmetric { row: 3, col: 0 }));
    }
}
