//! A sparsity pattern as plain compressed sparse rows.

/// Positions of the nonzeros of an `nrows` x `ncols` matrix: row by row, columns ascending and distinct in a row.
///
/// The arrays are what `spadina_coloring::pattern::Pattern::new` takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// Number of rows.
    pub nrows: usize,
    /// Number of columns.
    pub ncols: usize,
    /// Start of each row in `col_idx`, and the end of the last: `nrows + 1` offsets.
    pub row_ptr: Vec<usize>,
    /// The column of each entry.
    pub col_idx: Vec<u32>,
}

impl Pattern {
    /// Number of entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// The columns of a row; empty beyond the last.
    pub fn row(&self, row: usize) -> &[u32] {
        match (self.row_ptr.get(row), self.row_ptr.get(row + 1)) {
            (Some(&start), Some(&end)) => &self.col_idx[start..end],
            _ => &[],
        }
    }

    /// Whether an entry is in the pattern.
    pub fn contains(&self, row: usize, col: usize) -> bool {
        u32::try_from(col).is_ok_and(|col| self.row(row).binary_search(&col).is_ok())
    }
}
