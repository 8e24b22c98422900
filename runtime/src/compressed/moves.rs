//! Where the values of a direct coloring are read, batch by batch.

use crate::error::RuntimeError;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{ColorScatter, Target};
use spadina_coloring::error::ColoringError;

/// Moves from the products of each batch to the values.
#[derive(Clone, Debug)]
pub(super) struct Moves {
    /// End of the moves of each batch.
    ptr: Vec<usize>,
    /// Position in the products of the batch.
    src: Vec<u32>,
    /// Position in the values; empty where there is one batch whose moves fill the values in order.
    dst: Vec<u32>,
}

pub(super) fn refused(error: &ColoringError) -> RuntimeError {
    match error {
        ColoringError::TooLarge { what } => RuntimeError::TooLarge { what },
        _ => RuntimeError::Mismatch("coloring and target"),
    }
}

impl Moves {
    /// `place(color, entry)` gives batch and position of a product's entry; colors count from 0, columns first.
    pub(super) fn new(
        coloring: &Coloring,
        target: Target,
        len: usize,
        batches: usize,
        place: impl Fn(usize, usize) -> (usize, usize),
    ) -> Result<Moves, RuntimeError> {
        let scatter = ColorScatter::new(coloring, target).map_err(|error| refused(&error))?;
        let (nrows, ncols) = (coloring.pattern().nrows(), coloring.pattern().ncols());
        let stride = nrows.max(ncols);
        // Products whose values say where they stand, as whole numbers below 2^53; what was never moved stays negative.
        let mut codes = vec![-1.0; len];
        let mut product = vec![0.0; stride];
        for color in 0..coloring.n_colors() {
            let length = if color < coloring.n_column_colors() { nrows } else { ncols };
            for (entry, code) in product.iter_mut().enumerate() {
                *code = (color * stride + entry) as f64;
            }
            scatter.decompress(color + 1, &product[..length], &mut codes).map_err(|error| refused(&error))?;
        }
        let placed = |&code: &f64| {
            let code = code as usize;
            place(code / stride, code % stride)
        };
        let mut ptr = vec![0; batches + 1];
        for code in codes.iter().filter(|&&code| code >= 0.0) {
            ptr[placed(code).0 + 1] += 1;
        }
        for batch in 0..batches {
            ptr[batch + 1] += ptr[batch];
        }
        let mut next = ptr.clone();
        let (mut src, mut dst) = (vec![0; ptr[batches]], vec![0; ptr[batches]]);
        for (value, code) in codes.iter().enumerate().filter(|&(_, &code)| code >= 0.0) {
            let (batch, at) = placed(code);
            let slot = &mut next[batch];
            src[*slot] = u32::try_from(at).map_err(|_| RuntimeError::TooLarge { what: "products" })?;
            dst[*slot] = value as u32;
            *slot += 1;
        }
        if batches == 1 && dst.len() == len {
            dst = Vec::new();
        }
        Ok(Moves { ptr, src, dst })
    }

    /// Moves the values of one batch.
    pub(super) fn run(&self, batch: usize, products: &[f64], values: &mut [f64]) {
        if self.dst.is_empty() {
            for (value, &src) in values.iter_mut().zip(&self.src) {
                *value = products[src as usize];
            }
            return;
        }
        let range = self.ptr[batch]..self.ptr[batch + 1];
        for (&src, &dst) in self.src[range.clone()].iter().zip(&self.dst[range]) {
            values[dst as usize] = products[src as usize];
        }
    }
}
