//! The same matrix in other storage: by columns, by coordinates, by blocks, or one triangle.
//!
//! Each view is made once from a pattern and keeps, for each of its values, where it lies in the values by rows: after an
//! evaluation one gather refreshes it.

use crate::csr::Pattern;
use spadina_layout::filter::Triangle;

/// No value: an entry of a block that the pattern does not store.
const NONE: u32 = u32::MAX;

/// A matrix by columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CscView {
    /// Start of each column, one element more than there are columns.
    pub col_ptr: Vec<u32>,
    /// Rows, ascending in each column.
    pub row_idx: Vec<u32>,
    /// For each entry, its place in the values by rows.
    pub source: Vec<u32>,
}

/// A matrix by coordinates, row by row; its values are those by rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CooView {
    /// The row of each entry.
    pub rows: Vec<u32>,
    /// The column of each entry.
    pub cols: Vec<u32>,
}

/// A matrix by rows of dense blocks, each row-major.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BsrView {
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Start of each row of blocks.
    pub row_ptr: Vec<u32>,
    /// Block columns, ascending in each row.
    pub col_idx: Vec<u32>,
    /// For each value, its place in the values by rows; `u32::MAX` where nothing is stored.
    pub source: Vec<u32>,
}

/// One triangle of a matrix, by rows.
#[derive(Debug)]
pub struct TriangleView {
    /// The entries of the triangle.
    pub pattern: Pattern,
    /// For each entry, its place in the values by rows.
    pub source: Vec<u32>,
}

/// Collects the values of a view; 0 where nothing is stored. Places beyond the values count as nothing.
fn gather(source: &[u32], values: &[f64], out: &mut Vec<f64>) {
    out.clear();
    out.extend(source.iter().map(|&at| values.get(at as usize).copied().unwrap_or(0.0)));
}

impl CscView {
    /// The view of a pattern: a counting sort by column.
    pub fn new(pattern: &Pattern) -> CscView {
        let mut col_ptr = vec![0_u32; pattern.cols() + 1];
        for &col in pattern.col_idx() {
            col_ptr[col as usize + 1] += 1;
        }
        for col in 0..pattern.cols() {
            col_ptr[col + 1] += col_ptr[col];
        }
        let mut next = col_ptr.clone();
        let (mut row_idx, mut source) = (vec![0; pattern.nnz()], vec![0; pattern.nnz()]);
        for row in 0..pattern.rows() {
            for (&col, at) in pattern.row(row).iter().zip(pattern.row_ptr()[row]..) {
                let place = &mut next[col as usize];
                row_idx[*place as usize] = row as u32;
                source[*place as usize] = at;
                *place += 1;
            }
        }
        CscView { col_ptr, row_idx, source }
    }

    /// The values by columns, from those by rows.
    pub fn gather(&self, values: &[f64], out: &mut Vec<f64>) {
        gather(&self.source, values, out);
    }
}

impl CooView {
    /// The view of a pattern.
    pub fn new(pattern: &Pattern) -> CooView {
        let rows = (0..pattern.rows()).flat_map(|row| pattern.row(row).iter().map(move |_| row as u32));
        CooView { rows: rows.collect(), cols: pattern.col_idx().to_vec() }
    }
}

impl BsrView {
    /// The view of a pattern with blocks of `block.0` rows and `block.1` columns; `None` where these do not divide the matrix or
    /// the blocks hold 2^32 values or more.
    pub fn new(pattern: &Pattern, block: (usize, usize)) -> Option<BsrView> {
        let (height, width) = block;
        if height == 0
            || width == 0
            || !pattern.rows().is_multiple_of(height)
            || !pattern.cols().is_multiple_of(width)
        {
            return None;
        }
        let (mut row_ptr, mut col_idx, mut source) = (vec![0], Vec::<u32>::new(), Vec::new());
        let mut place = vec![0_usize; pattern.cols() / width];
        let mut stamp = vec![0_usize; pattern.cols() / width];
        for block_row in 0..pattern.rows() / height {
            let start = col_idx.len();
            let rows = block_row * height..(block_row + 1) * height;
            for &col in rows.clone().flat_map(|row| pattern.row(row)) {
                let block_col = col as usize / width;
                if stamp[block_col] != block_row + 1 {
                    stamp[block_col] = block_row + 1;
                    col_idx.push(block_col as u32);
                }
            }
            col_idx[start..].sort_unstable();
            for (at, &block_col) in (start..).zip(&col_idx[start..]) {
                place[block_col as usize] = at;
            }
            source.resize(col_idx.len() * height * width, NONE);
            for (r, row) in rows.enumerate() {
                for (&col, at) in pattern.row(row).iter().zip(pattern.row_ptr()[row]..) {
                    let (block_col, c) = (col as usize / width, col as usize % width);
                    source[(place[block_col] * height + r) * width + c] = at;
                }
            }
            row_ptr.push(u32::try_from(col_idx.len()).ok()?);
        }
        let fits = u32::try_from(source.len()).is_ok();
        fits.then_some(BsrView { block, row_ptr, col_idx, source })
    }

    /// The values by blocks, from those by rows.
    pub fn gather(&self, values: &[f64], out: &mut Vec<f64>) {
        gather(&self.source, values, out);
    }
}

impl TriangleView {
    /// The entries on and below (or above) the diagonal; all of them for [`Triangle::Full`].
    pub fn new(pattern: &Pattern, triangle: Triangle) -> TriangleView {
        let (mut row_ptr, mut col_idx, mut source) = (vec![0], Vec::new(), Vec::new());
        for row in 0..pattern.rows() {
            let cols = pattern.row(row);
            let kept = match triangle {
                Triangle::Full => 0..cols.len(),
                Triangle::Lower => 0..cols.partition_point(|&c| c as usize <= row),
                Triangle::Upper => cols.partition_point(|&c| (c as usize) < row)..cols.len(),
            };
            let start = pattern.row_ptr()[row] as usize;
            source.extend(kept.clone().map(|k| (start + k) as u32));
            col_idx.extend_from_slice(&cols[kept]);
            row_ptr.push(col_idx.len() as u32);
        }
        TriangleView { pattern: Pattern::trusted(pattern.rows(), pattern.cols(), row_ptr, col_idx), source }
    }

    /// The values of the triangle, from those of the whole.
    pub fn gather(&self, values: &[f64], out: &mut Vec<f64>) {
        gather(&self.source, values, out);
    }
}
