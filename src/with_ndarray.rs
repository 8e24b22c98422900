//! Arrays of `ndarray` as inputs, and dense matrices.

use crate::inputs::{Element, ToArray};
use crate::problem::Problem;
use ndarray::{Array2, ArrayBase, Data, Dimension};
use spadina_io::array::Array;

impl<T: Element, S: Data<Elem = T>, D: Dimension> ToArray for ArrayBase<S, D> {
    /// A copy in row-major order, whatever the memory order is.
    fn to_array(&self) -> Array {
        let values = self.iter().copied().collect();
        Array::new(self.shape().to_vec(), T::data(values)).expect("one value for each place of the shape")
    }
}

impl Problem {
    /// The matrix with these values, every entry in its place: rows by columns.
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn dense_matrix(&self, values: &[f64]) -> Array2<f64> {
        let (pattern, values) = (self.pattern(), self.values_by_rows(values));
        let mut dense = Array2::zeros((pattern.rows(), pattern.cols()));
        for row in 0..pattern.rows() {
            let start = pattern.row_ptr()[row] as usize;
            for (&col, &value) in pattern.row(row).iter().zip(&values[start..]) {
                dense[(row, col as usize)] = value;
            }
        }
        dense
    }
}
