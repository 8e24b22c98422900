//! `J^T J` and `J^T r` of a sparse Jacobian by rows.
//!
//! # Method
//! Row `a` of the product is the sum of the rows `r` of `J` that have an entry in column `a`, each times that entry (Gustavson 1978).
//! The pattern is found once; evaluation adds into a dense row, in the order of `r`, and reads the entries of the pattern from it.
//! Entries `(a, b)` and `(b, a)` are the same sums in the same order: the matrix is symmetric to the bit.

use crate::convert::CscView;
use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::room::Room;
use std::sync::Arc;

/// The prepared product.
#[derive(Clone, Debug)]
pub struct GaussNewton {
    jacobian: Arc<Pattern>,
    columns: Arc<CscView>,
    pattern: Arc<Pattern>,
    /// One dense row, zero between calls.
    row: Vec<f64>,
}

impl GaussNewton {
    /// Finds the pattern of the product.
    ///
    /// # Errors
    /// More than 2^32 - 1 entries, or than there is memory for.
    pub fn new(jacobian: &Arc<Pattern>) -> Result<GaussNewton, RuntimeError> {
        let columns = CscView::new(jacobian);
        let n = jacobian.cols();
        let (mut row_ptr, mut col_idx) = (vec![0_u32], Vec::new());
        let (mut stamp, room) = (vec![u32::MAX; n], Room::default());
        for a in 0..n {
            let start = col_idx.len();
            for &r in &columns.row_idx[columns.col_ptr[a] as usize..columns.col_ptr[a + 1] as usize] {
                for &b in jacobian.row(r as usize) {
                    if stamp[b as usize] != a as u32 {
                        stamp[b as usize] = a as u32;
                        col_idx.push(b);
                    }
                }
            }
            if !room.holds(12 * col_idx.len() as u64) {
                return Err(RuntimeError::Memory { buffer: "J^T J".into() });
            }
            col_idx[start..].sort_unstable();
            let end = u32::try_from(col_idx.len());
            row_ptr.push(end.map_err(|_| RuntimeError::TooLarge { what: "the entries of J^T J" })?);
        }
        let pattern = Arc::new(Pattern::trusted(n, n, row_ptr, col_idx));
        Ok(GaussNewton {
            jacobian: Arc::clone(jacobian),
            columns: Arc::new(columns),
            pattern,
            row: vec![0.0; n],
        })
    }

    /// The pattern of `J^T J`.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// Overwrites the values of `J^T J` from those of `J`.
    ///
    /// # Errors
    /// Slices of other lengths than the patterns have entries.
    pub fn matrix(&mut self, jacobian: &[f64], values: &mut [f64]) -> Result<(), RuntimeError> {
        check("the Jacobian", self.jacobian.nnz(), jacobian.len())?;
        check("J^T J", self.pattern.nnz(), values.len())?;
        for a in 0..self.pattern.rows() {
            let rows = self.columns.col_ptr[a] as usize..self.columns.col_ptr[a + 1] as usize;
            for (&r, &source) in self.columns.row_idx[rows.clone()].iter().zip(&self.columns.source[rows]) {
                let factor = jacobian[source as usize];
                let start = self.jacobian.row_ptr()[r as usize] as usize;
                for (&b, &value) in self.jacobian.row(r as usize).iter().zip(&jacobian[start..]) {
                    self.row[b as usize] += factor * value;
                }
            }
            let start = self.pattern.row_ptr()[a] as usize;
            for (&b, value) in self.pattern.row(a).iter().zip(&mut values[start..]) {
                *value = std::mem::take(&mut self.row[b as usize]);
            }
        }
        Ok(())
    }

    /// Overwrites `gradient` with `J^T r`.
    ///
    /// # Errors
    /// Slices of other lengths than the Jacobian has entries, rows and columns.
    pub fn gradient(
        &self,
        jacobian: &[f64],
        residual: &[f64],
        gradient: &mut [f64],
    ) -> Result<(), RuntimeError> {
        check("the Jacobian", self.jacobian.nnz(), jacobian.len())?;
        check("the residual", self.jacobian.rows(), residual.len())?;
        check("the gradient", self.jacobian.cols(), gradient.len())?;
        gradient.fill(0.0);
        for (row, &r) in residual.iter().enumerate() {
            let start = self.jacobian.row_ptr()[row] as usize;
            for (&col, &value) in self.jacobian.row(row).iter().zip(&jacobian[start..]) {
                gradient[col as usize] += value * r;
            }
        }
        Ok(())
    }
}

fn check(buffer: &str, expected: usize, found: usize) -> Result<(), RuntimeError> {
    let wrong = expected != found;
    if wrong { Err(RuntimeError::Length { buffer: buffer.into(), expected, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_that_of_dense_matrices() {
        // J = [1 2 .; . 3 4], r = [5, 6].
        let pattern = Arc::new(Pattern::new(2, 3, vec![0, 2, 4], vec![0, 1, 1, 2]).unwrap());
        let mut product = GaussNewton::new(&pattern).unwrap();
        let jacobian = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(product.pattern().row_ptr(), [0, 2, 5, 7]);
        let mut values = [9.0; 7];
        for _ in 0..2 {
            product.matrix(&jacobian, &mut values).unwrap();
            assert_eq!(values, [1.0, 2.0, 2.0, 13.0, 12.0, 12.0, 16.0]);
        }
        let mut gradient = [9.0; 3];
        product.gradient(&jacobian, &[5.0, 6.0], &mut gradient).unwrap();
        assert_eq!(gradient, [5.0, 28.0, 24.0]);
        assert!(product.gradient(&jacobian, &[5.0], &mut gradient).is_err());
    }
}
