//! Compressed sparse rows, owned and borrowed, with the checks and conversions that files need.

use crate::error::Error;
use crate::index::Index;

/// A sparse matrix in compressed rows: columns increase within a row, no entry stands twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr {
    /// Number of rows.
    pub nrows: usize,
    /// Number of columns.
    pub ncols: usize,
    /// Where each row starts in `col_idx` and `values`; `nrows + 1` offsets.
    pub row_ptr: Vec<usize>,
    /// Column of each entry.
    pub col_idx: Vec<usize>,
    /// Value of each entry; structural zeros are kept.
    pub values: Vec<f64>,
}

/// A sparse matrix borrowed from the caller, in the index types it has.
#[derive(Debug, Clone, Copy)]
pub struct CsrRef<'a, P = usize, I = usize> {
    /// Number of rows.
    pub nrows: usize,
    /// Number of columns.
    pub ncols: usize,
    /// Row offsets, `nrows + 1`.
    pub row_ptr: &'a [P],
    /// Column of each entry.
    pub col_idx: &'a [I],
    /// Value of each entry.
    pub values: &'a [f64],
}

/// Most rows or columns without that many entries that a file may claim: their offsets take one gigabyte.
const MAX_EMPTY_EXTENT: usize = 1 << 27;

impl Csr {
    /// The same matrix, borrowed.
    pub fn as_ref(&self) -> CsrRef<'_> {
        CsrRef {
            nrows: self.nrows,
            ncols: self.ncols,
            row_ptr: &self.row_ptr,
            col_idx: &self.col_idx,
            values: &self.values,
        }
    }

    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// Rows and columns swapped.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut row_ptr = vec![0_usize; self.ncols + 1];
        for &c in &self.col_idx {
            row_ptr[c + 1] += 1;
        }
        for c in 0..self.ncols {
            row_ptr[c + 1] += row_ptr[c];
        }
        let mut next = row_ptr.clone();
        let (mut col_idx, mut values) = (vec![0; self.nnz()], vec![0.0; self.nnz()]);
        for r in 0..self.nrows {
            for k in self.row_ptr[r]..self.row_ptr[r + 1] {
                let slot = next[self.col_idx[k]];
                next[self.col_idx[k]] += 1;
                col_idx[slot] = r;
                values[slot] = self.values[k];
            }
        }
        Self { nrows: self.ncols, ncols: self.nrows, row_ptr, col_idx, values }
    }

    /// Entries in any order, those at the same place added up in the order given.
    ///
    /// # Errors
    /// Lists of different lengths, a place outside the matrix, extents too large for memory.
    pub fn from_triplets(
        nrows: usize,
        ncols: usize,
        rows: &[usize],
        cols: &[usize],
        values: &[f64],
    ) -> Result<Self, Error> {
        if rows.len() != cols.len() || rows.len() != values.len() {
            let (r, c, v) = (rows.len(), cols.len(), values.len());
            return Err(Error::Invalid(format!("{r} row indices, {c} column indices and {v} values")));
        }
        check_extent("rows", nrows, rows.len())?;
        check_extent("columns", ncols, rows.len())?;
        for (k, (&r, &c)) in rows.iter().zip(cols).enumerate() {
            if r >= nrows || c >= ncols {
                return Err(Error::Invalid(format!(
                    "entry {k} is at ({r}, {c}), outside the {nrows} x {ncols} matrix"
                )));
            }
        }
        // Two stable counting sorts, by column and then by row, so equal places keep their order.
        let by_column = counting_order(cols, ncols, 0..rows.len());
        let order = counting_order(rows, nrows, by_column.iter().copied());
        let mut row_ptr = Vec::with_capacity(nrows + 1);
        row_ptr.push(0);
        let (mut col_idx, mut out): (Vec<usize>, Vec<f64>) = (Vec::with_capacity(rows.len()), Vec::new());
        out.reserve(rows.len());
        for k in order {
            let (r, c, v) = (rows[k], cols[k], values[k]);
            while row_ptr.len() <= r {
                row_ptr.push(col_idx.len());
            }
            let row_start = row_ptr[row_ptr.len() - 1];
            match out.last_mut() {
                Some(last) if col_idx.len() > row_start && col_idx.last() == Some(&c) => *last += v,
                _ => {
                    col_idx.push(c);
                    out.push(v);
                }
            }
        }
        row_ptr.resize(nrows + 1, col_idx.len());
        Ok(Self { nrows, ncols, row_ptr, col_idx, values: out })
    }

    /// Compressed rows as a file states them: checked, columns sorted, entries at the same place added up.
    ///
    /// # Errors
    /// Offsets that do not start at 0, decrease or do not end at the number of entries; columns out of range.
    pub fn from_parts(
        nrows: usize,
        ncols: usize,
        row_ptr: Vec<usize>,
        col_idx: Vec<usize>,
        values: Vec<f64>,
    ) -> Result<Self, Error> {
        let borrowed = CsrRef { nrows, ncols, row_ptr: &row_ptr, col_idx: &col_idx, values: &values };
        borrowed.check()?;
        check_extent("columns", ncols, col_idx.len())?;
        let sorted = |r: usize| col_idx[row_ptr[r]..row_ptr[r + 1]].is_sorted_by(|a, b| a < b);
        if (0..nrows).all(sorted) {
            return Ok(Self { nrows, ncols, row_ptr, col_idx, values });
        }
        let rows: Vec<usize> =
            (0..nrows).flat_map(|r| std::iter::repeat_n(r, row_ptr[r + 1] - row_ptr[r])).collect();
        Self::from_triplets(nrows, ncols, &rows, &col_idx, &values)
    }
}

impl<P: Index, I: Index> CsrRef<'_, P, I> {
    /// Number of stored entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// Whether offsets, columns and values fit each other.
    ///
    /// # Errors
    /// What does not fit, with its position.
    pub fn check(&self) -> Result<(), Error> {
        if self.values.len() != self.col_idx.len() {
            let (v, c) = (self.values.len(), self.col_idx.len());
            return Err(Error::Invalid(format!("{v} values for {c} column indices")));
        }
        check_pattern(self.nrows, self.ncols, self.row_ptr, self.col_idx)
    }
}

/// Whether offsets and columns make a pattern of the given extents.
pub(crate) fn check_pattern<P: Index, I: Index>(
    nrows: usize,
    ncols: usize,
    row_ptr: &[P],
    col_idx: &[I],
) -> Result<(), Error> {
    if row_ptr.len().checked_sub(1) != Some(nrows) {
        return Err(Error::Invalid(format!("{} row offsets for {nrows} rows", row_ptr.len())));
    }
    if row_ptr[0].get() != 0 || row_ptr[nrows].get() != col_idx.len() {
        let (a, b) = (row_ptr[0].get(), row_ptr[nrows].get());
        return Err(Error::Invalid(format!(
            "row offsets run from {a} to {b} over {} entries",
            col_idx.len()
        )));
    }
    if let Some(r) = (0..nrows).find(|&r| row_ptr[r].get() > row_ptr[r + 1].get()) {
        return Err(Error::Invalid(format!("row offsets decrease after row {r}")));
    }
    if let Some(k) = col_idx.iter().position(|c| c.get() >= ncols) {
        let c = col_idx[k].get();
        return Err(Error::Invalid(format!("entry {k} is in column {c} of {ncols}")));
    }
    Ok(())
}

/// Refuses extents whose offsets alone would exhaust memory.
pub(crate) fn check_extent(what: &str, extent: usize, entries: usize) -> Result<(), Error> {
    if extent > MAX_EMPTY_EXTENT && extent > entries {
        return Err(Error::Invalid(format!(
            "{extent} {what} for {entries} entries are more than is supported"
        )));
    }
    Ok(())
}

/// Positions sorted by key, equal keys in the order given.
fn counting_order(keys: &[usize], bound: usize, positions: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut next = vec![0_usize; bound + 1];
    for &key in keys {
        next[key + 1] += 1;
    }
    for key in 0..bound {
        next[key + 1] += next[key];
    }
    let mut order = vec![0; keys.len()];
    for k in positions {
        order[next[keys[k]]] = k;
        next[keys[k]] += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triplets_are_sorted_and_added_up() {
        let a = Csr::from_triplets(3, 3, &[2, 0, 2, 2], &[1, 0, 0, 1], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(a.row_ptr, [0, 1, 1, 3]);
        assert_eq!(
            (a.col_idx.as_slice(), a.values.as_slice()),
            ([0, 0, 1].as_slice(), [2.0, 3.0, 5.0].as_slice())
        );
        assert_eq!(a.transpose().transpose(), a);
        assert!(Csr::from_triplets(2, 2, &[2], &[0], &[1.0]).is_err());
        assert!(Csr::from_triplets(usize::MAX, 2, &[2], &[0], &[1.0]).is_err());
        assert_eq!(Csr::from_triplets(0, 0, &[], &[], &[]).unwrap().row_ptr, [0]);
    }

    #[test]
    fn unsorted_rows_are_put_right() {
        let a = Csr::from_parts(2, 3, vec![0, 3, 3], vec![2, 0, 2], vec![1.0, 2.0, 3.0]).unwrap();
        assert_eq!((a.col_idx, a.values), (vec![0, 2], vec![2.0, 4.0]));
        for (ptr, cols) in [
            (vec![0, 1], vec![0]),
            (vec![0, 2, 1], vec![0]),
            (vec![1, 1, 1], vec![0]),
            (vec![0, 1, 2], vec![0, 3]),
        ] {
            let values = vec![1.0; cols.len()];
            assert!(Csr::from_parts(2, 3, ptr, cols, values).is_err());
        }
    }
}
