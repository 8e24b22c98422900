//! Compressed sparse rows: a shared pattern, and values apart.

use spadina_layout::plan::hash;
use std::sync::{Arc, OnceLock};

/// Where the entries of a matrix are.
#[derive(Debug, Default)]
pub struct Pattern {
    rows: usize,
    cols: usize,
    row_ptr: Vec<u32>,
    col_idx: Vec<u32>,
    id: OnceLock<u64>,
}

impl Pattern {
    /// A pattern from its parts; `None` unless `row_ptr` has `rows + 1` ascending elements from 0 to `col_idx.len()` and the
    /// columns of each row ascend strictly below `cols`.
    pub fn new(rows: usize, cols: usize, row_ptr: Vec<u32>, col_idx: Vec<u32>) -> Option<Pattern> {
        let ends = row_ptr.len() == rows + 1
            && row_ptr.first() == Some(&0)
            && row_ptr.last().is_some_and(|&end| end as usize == col_idx.len())
            && row_ptr.is_sorted();
        let sorted = ends
            && row_ptr.windows(2).all(|ends| {
                let row = &col_idx[ends[0] as usize..ends[1] as usize];
                row.is_sorted_by(|a, b| a < b) && row.last().is_none_or(|&c| (c as usize) < cols)
            });
        sorted.then(|| Pattern::trusted(rows, cols, row_ptr, col_idx))
    }

    /// A pattern from parts that are right by construction.
    pub(crate) fn trusted(rows: usize, cols: usize, row_ptr: Vec<u32>, col_idx: Vec<u32>) -> Pattern {
        Pattern { rows, cols, row_ptr, col_idx, id: OnceLock::new() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// Start of each row in `col_idx`, `rows + 1` elements.
    pub fn row_ptr(&self) -> &[u32] {
        &self.row_ptr
    }

    /// Columns, ascending in each row.
    pub fn col_idx(&self) -> &[u32] {
        &self.col_idx
    }

    /// The columns of a row; empty beyond the last.
    pub fn row(&self, row: usize) -> &[u32] {
        match (self.row_ptr.get(row), self.row_ptr.get(row + 1)) {
            (Some(&start), Some(&end)) => &self.col_idx[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Where in the values an entry lies, if it is stored.
    pub fn find(&self, row: usize, col: u32) -> Option<usize> {
        let at = self.row(row).binary_search(&col).ok()?;
        Some(self.row_ptr[row] as usize + at)
    }

    /// The length of the longest row.
    pub fn longest_row(&self) -> usize {
        self.row_ptr.windows(2).map(|w| (w[1] - w[0]) as usize).max().unwrap_or(0)
    }

    /// A 64-bit hash of shape and pattern: equal patterns have equal ids, so that a solver can keep what it derived.
    pub fn id(&self) -> u64 {
        *self.id.get_or_init(|| {
            let mut words = vec![self.rows as u64, self.cols as u64];
            let pack = |list: &[u32], words: &mut Vec<u64>| {
                words.extend(
                    list.chunks(2).map(|c| u64::from(c[0]) | u64::from(*c.get(1).unwrap_or(&0)) << 32),
                );
            };
            let mut state = 0;
            // In pieces, so that nothing of the size of the matrix is allocated.
            for piece in self.row_ptr.chunks(1 << 13).chain(self.col_idx.chunks(1 << 13)) {
                pack(piece, &mut words);
                words.push(state);
                state = hash(&words);
                words.clear();
            }
            state
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        std::ptr::eq(self, other)
            || (self.rows == other.rows
                && self.cols == other.cols
                && self.row_ptr == other.row_ptr
                && self.col_idx == other.col_idx)
    }
}

impl Eq for Pattern {}

/// A sparse matrix by rows.
#[derive(Clone, PartialEq, Debug)]
pub struct Csr {
    /// Where its entries are.
    pub pattern: Arc<Pattern>,
    /// One value per entry.
    pub values: Vec<f64>,
}

impl Csr {
    /// A matrix of zeros.
    pub fn zeros(pattern: Arc<Pattern>) -> Csr {
        let values = vec![0.0; pattern.nnz()];
        Csr { pattern, values }
    }

    /// The entry at a row and column; 0 where none is stored.
    pub fn get(&self, row: usize, col: usize) -> f64 {
        let found = u32::try_from(col).ok().and_then(|col| self.pattern.find(row, col));
        found.and_then(|at| self.values.get(at).copied()).unwrap_or(0.0)
    }

    /// Stored entries `(row, column, value)`, row by row.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        (0..self.pattern.rows()).flat_map(move |row| {
            let start = self.pattern.row_ptr()[row] as usize;
            let cols = self.pattern.row(row).iter().zip(&self.values[start..]);
            cols.map(move |(&col, &value)| (row, col as usize, value))
        })
    }

    /// `y = A x`; `None` unless `x` has one element per column.
    pub fn matvec(&self, x: &[f64]) -> Option<Vec<f64>> {
        if x.len() != self.pattern.cols() {
            return None;
        }
        let mut y = vec![0.0; self.pattern.rows()];
        for (row, col, value) in self.entries() {
            y[row] += value * x[col];
        }
        Some(y)
    }

    /// A copy as a `sprs` matrix (rows compressed).
    pub fn to_sprs(&self) -> sprs::CsMatI<f64, usize, u32> {
        let shape = (self.pattern.rows(), self.pattern.cols());
        let indptr: Vec<u32> = self.pattern.row_ptr().to_vec();
        let indices: Vec<usize> = self.pattern.col_idx().iter().map(|&c| c as usize).collect();
        sprs::CsMatI::new(shape, indptr, indices, self.values.clone())
    }

    /// A copy as a plain `sprs::CsMat` (rows compressed, `usize` indices).
    pub fn to_cs_mat(&self) -> sprs::CsMat<f64> {
        let shape = (self.pattern.rows(), self.pattern.cols());
        let indptr: Vec<usize> = self.pattern.row_ptr().iter().map(|&p| p as usize).collect();
        let indices: Vec<usize> = self.pattern.col_idx().iter().map(|&c| c as usize).collect();
        sprs::CsMat::new(shape, indptr, indices, self.values.clone())
    }
}
