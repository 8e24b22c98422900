//! Matrices as those of `faer`: by columns, the pattern apart from the values.

use crate::problem::Problem;
use crate::sum::Sum;
use faer::sparse::{SparseColMat, SymbolicSparseColMat};
use spadina_runtime::convert::CscView;
use spadina_runtime::csr::Pattern;

impl Problem {
    /// The pattern of the matrix, by columns: what a symbolic factorization is made of, and good as long as [`Problem::pattern_id`]
    /// stays.
    pub fn faer_pattern(&self) -> SymbolicSparseColMat<usize> {
        symbolic(self.pattern(), &CscView::new(self.pattern()))
    }

    /// The matrix with these values.
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn faer_matrix(&self, values: &[f64]) -> SparseColMat<usize, f64> {
        numeric(self.pattern(), &self.values_by_rows(values))
    }
}

impl Sum {
    /// As [`Problem::faer_pattern`].
    pub fn faer_pattern(&self) -> SymbolicSparseColMat<usize> {
        symbolic(self.pattern(), &CscView::new(self.pattern()))
    }

    /// As [`Problem::faer_matrix`].
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn faer_matrix(&self, values: &[f64]) -> SparseColMat<usize, f64> {
        numeric(self.pattern(), &crate::export::by_rows(self.pattern(), self.storage(), values))
    }
}

fn symbolic(pattern: &Pattern, view: &CscView) -> SymbolicSparseColMat<usize> {
    let wide = |list: &[u32]| list.iter().map(|&n| n as usize).collect();
    SymbolicSparseColMat::new_checked(
        pattern.rows(),
        pattern.cols(),
        wide(&view.col_ptr),
        None,
        wide(&view.row_idx),
    )
}

fn numeric(pattern: &Pattern, by_rows: &[f64]) -> SparseColMat<usize, f64> {
    let view = CscView::new(pattern);
    let mut values = Vec::new();
    view.gather(by_rows, &mut values);
    SparseColMat::new(symbolic(pattern, &view), values)
}
