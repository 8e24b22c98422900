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
    /// `place(color)` says of the product of a color which batch it is in, where it starts there, and how far apart its entries lie; colors
    /// count from 0, columns first.
    pub(super) fn new(
        coloring: &Coloring,
        target: Target,
        len: usize,
        batches: usize,
        place: impl Fn(usize) -> (usize, usize, usize),
    ) -> Result<Moves, RuntimeError> {
        const NOWHERE: u32 = u32::MAX;
        let scatter = ColorScatter::new(coloring, target).map_err(|error| refused(&error))?;
        // For each value the batch and the position that it is read from.
        let mut from = vec![(NOWHERE, 0); len];
        let mut ptr = vec![0; batches + 1];
        for (color, moves) in scatter.moves().enumerate() {
            let (batch, first, stride) = place(color);
            let last = moves.iter().map(|&[entry, _]| entry as usize).max().unwrap_or(0);
            if first + last * stride >= NOWHERE as usize || batch >= NOWHERE as usize {
                return Err(RuntimeError::TooLarge { what: "products" });
            }
            for &[entry, value] in moves {
                from[value as usize] = (batch as u32, (first + entry as usize * stride) as u32);
            }
            ptr[batch + 1] += moves.len();
        }
        for batch in 0..batches {
            ptr[batch + 1] += ptr[batch];
        }
        let mut next = ptr.clone();
        let (mut src, mut dst) = (vec![0; ptr[batches]], vec![0; ptr[batches]]);
        for (value, &(batch, at)) in from.iter().enumerate().filter(|&(_, from)| from.0 != NOWHERE) {
            let slot = &mut next[batch as usize];
            (src[*slot], dst[*slot]) = (at, value as u32);
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
