//! Compression of known values: what the products with the seeds would be.

use crate::coloring::Coloring;
use crate::error::ColoringError;
use crate::layout::{Layout, Shape, require_len};

impl Coloring {
    /// Sums the values of a matrix (in row order of the pattern) color by color: the products that a program's JVPs,
    /// VJPs or HVPs would give. The result has the layout described at [`Shape`].
    ///
    /// # Errors
    /// When there is not one value for each entry.
    pub fn compress(&self, values: &[f64], layout: Layout) -> Result<Vec<f64>, ColoringError> {
        let mut compressed = vec![0.0; Shape::new(self, layout).len()];
        self.compress_into(values, layout, &mut compressed)?;
        Ok(compressed)
    }

    /// [`Coloring::compress`] into a buffer of the caller.
    ///
    /// # Errors
    /// When a buffer has the wrong length.
    pub fn compress_into(
        &self,
        values: &[f64],
        layout: Layout,
        compressed: &mut [f64],
    ) -> Result<(), ColoringError> {
        let shape = Shape::new(self, layout);
        require_len("the slice of values", values.len(), self.pattern().nnz())?;
        require_len("the compressed buffer", compressed.len(), shape.len())?;
        compressed.fill(0.0);
        for ((i, j), value) in self.pattern().entries().zip(values) {
            match self.column_colors().get(j) {
                None | Some(0) => {}
                Some(&color) => compressed[shape.column_index(color, i)] += value,
            }
            match self.row_colors().get(i) {
                None | Some(0) => {}
                Some(&color) => compressed[shape.row_index(color, j)] += value,
            }
        }
        Ok(())
    }
}
