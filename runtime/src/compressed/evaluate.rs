//! Values of a sparse matrix from products: prepared once, then evaluated without allocation.
//!
//! ```
//! use spadina_coloring::{coloring::Coloring, decompress::Target, options::{Options, Partition}, pattern::Pattern};
//! use spadina_runtime::compressed::{directions::Batch, evaluate::Compressed};
//! use spadina_runtime::error::RuntimeError;
//!
//! // y_i = x_i^2 - x_{i+1}, for 4 unknowns: the pattern is known, the function is anybody's.
//! let pattern = Pattern::new(3, 4, vec![0, 2, 4, 6], vec![0, 1, 1, 2, 2, 3])?;
//! let coloring = Coloring::new(&pattern, &Options::new(Partition::Column))?;
//! let mut compressed = Compressed::new(&coloring, Target::default(), Batch::single())?;
//!
//! let x = [1.0, 2.0, 3.0, 4.0];
//! let mut values = vec![0.0; pattern.nnz()];
//! let jvp = |directions: &[f64], products: &mut [f64]| {
//!     for i in 0..3 {
//!         products[i] = 2.0 * x[i] * directions[i] - directions[i + 1];
//!     }
//! };
//! compressed.one_by_one(jvp, &mut values)?;
//! assert_eq!(values, [2.0, -1.0, 4.0, -1.0, 6.0, -1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::directions::{Batch, Directions, Side};
use super::moves::{Moves, refused};
use crate::csr::{Csr, Pattern};
use crate::error::RuntimeError;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{Decompressor, Storage, Target, Triangle};
use spadina_coloring::groups::Groups;
use spadina_coloring::layout::Layout;
use std::sync::Arc;

/// Compressed evaluation of one matrix: column colorings take JVPs, row colorings VJPs, bidirectional ones both, symmetric ones
/// HVPs.
#[derive(Clone, Debug)]
pub struct Compressed {
    columns: Lines,
    rows: Lines,
    batch: Batch,
    recovery: Recovery,
    /// Products of one batch.
    products: Vec<f64>,
    /// Length of the values.
    len: usize,
    has_gaps: bool,
    pattern: Option<Arc<Pattern>>,
}

/// The directions of one side.
#[derive(Clone, Debug)]
struct Lines {
    side: Side,
    groups: Groups,
    /// Lanes of a batch and number of batches.
    width: usize,
    batches: usize,
    /// Length of a direction and of a product.
    seed_len: usize,
    product_len: usize,
    /// Directions of one batch: all zero between calls, or there for good where one batch is all.
    seeds: Vec<f64>,
}

#[derive(Clone, Debug)]
enum Recovery {
    Direct(Moves),
    /// All products, one color after the other, and the substitution.
    Substitution(Vec<f64>, Box<Decompressor>),
}

impl Compressed {
    /// Prepares seeds, buffers and the way back. The layout of `target` has no say: that of `batch` counts.
    ///
    /// # Errors
    /// A width of 0; products or values beyond 32-bit indices.
    pub fn new(coloring: &Coloring, target: Target, batch: Batch) -> Result<Compressed, RuntimeError> {
        if batch.width == Some(0) {
            return Err(RuntimeError::Options("a batch needs at least one direction"));
        }
        let (nrows, ncols) = (coloring.pattern().nrows(), coloring.pattern().ncols());
        let columns = Lines::new(Side::Columns, coloring.column_groups(), (ncols, nrows), batch)?;
        let rows = Lines::new(Side::Rows, coloring.row_groups(), (nrows, ncols), batch)?;
        let target = Target { layout: Layout::ByColor, ..target };
        let len = values_len(coloring, target);
        let recovery = if coloring.trees().is_some() {
            let decompressor = Decompressor::new(coloring, target).map_err(|error| refused(&error))?;
            Recovery::Substitution(vec![0.0; decompressor.compressed_len()], Box::new(decompressor))
        } else {
            let n_columns = coloring.n_column_colors();
            let place = |color: usize| match color.checked_sub(n_columns) {
                None => columns.product(batch, color, 0),
                Some(color) => rows.product(batch, color, columns.batches),
            };
            Recovery::Direct(Moves::new(coloring, target, len, columns.batches + rows.batches, place)?)
        };
        let products = vec![0.0; columns.products_len().max(rows.products_len())];
        let has_gaps = matches!(target.storage, Storage::DenseRows | Storage::DenseColumns);
        let pattern = csr_pattern(coloring, target);
        Ok(Compressed { columns, rows, batch, recovery, products, len, has_gaps, pattern })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where the matrix has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often a closure is called: batches with the matrix and with its transpose.
    pub fn calls(&self) -> (usize, usize) {
        (self.columns.batches, self.rows.batches)
    }

    /// The pattern of the values; `None` unless they are stored by rows.
    pub fn pattern(&self) -> Option<&Arc<Pattern>> {
        self.pattern.as_ref()
    }

    /// A matrix of zeros to evaluate into; `None` unless values are stored by rows.
    pub fn matrix(&self) -> Option<Csr> {
        self.pattern.clone().map(Csr::zeros)
    }

    /// Overwrites `values`, asking `form` for the products of each batch of directions: first all of the columns, then all of
    /// the rows. The products it is given to fill hold numbers of earlier batches. Does not allocate.
    ///
    /// # Errors
    /// A wrong number of values, or the first error of `form`; the values are then unspecified.
    pub fn evaluate<E: From<RuntimeError>>(
        &mut self,
        mut form: impl FnMut(Directions<'_>, &mut [f64]) -> Result<(), E>,
        values: &mut [f64],
    ) -> Result<(), E> {
        if values.len() != self.len {
            let (buffer, expected, found) = ("values".to_owned(), self.len, values.len());
            return Err(RuntimeError::Length { buffer, expected, found }.into());
        }
        if self.has_gaps {
            values.fill(0.0);
        }
        let mut done = 0;
        // Where the products of a side start among those of all colors.
        let mut start = 0;
        for lines in [&mut self.columns, &mut self.rows] {
            let products = &mut self.products[..lines.products_len()];
            for batch in 0..lines.batches {
                lines.seed(self.batch, batch, 1.0);
                let formed = form(lines.directions(self.batch, batch), products);
                lines.seed(self.batch, batch, 0.0);
                formed?;
                match &mut self.recovery {
                    Recovery::Direct(moves) => moves.run(done + batch, products, values),
                    Recovery::Substitution(all, _) => {
                        let first = start + batch * lines.width * lines.product_len;
                        lines.keep(self.batch, batch, products, &mut all[first..]);
                    }
                }
            }
            done += lines.batches;
            start += lines.groups.len() * lines.product_len;
        }
        if let Recovery::Substitution(all, decompressor) = &self.recovery {
            decompressor.decompress(all, values).map_err(|error| refused(&error))?;
        }
        Ok(())
    }

    /// [`Compressed::evaluate`] of a matrix made by [`Compressed::matrix`].
    ///
    /// # Errors
    /// A matrix with another number of values, or the first error of `form`.
    pub fn evaluate_csr<E: From<RuntimeError>>(
        &mut self,
        form: impl FnMut(Directions<'_>, &mut [f64]) -> Result<(), E>,
        matrix: &mut Csr,
    ) -> Result<(), E> {
        self.evaluate(form, &mut matrix.values)
    }

    /// Products with the matrix (`jvp` or `hvp`) of one direction at a time: the plainest of closures, `(direction, product)`.
    /// For column and symmetric colorings, and for row colorings with `vjp`; the batch must be [`Batch::single`].
    ///
    /// # Errors
    /// A wrong number of values, other batches, a bidirectional coloring (see [`Compressed::both`]).
    pub fn one_by_one(
        &mut self,
        mut product: impl FnMut(&[f64], &mut [f64]),
        values: &mut [f64],
    ) -> Result<(), RuntimeError> {
        if self.columns.batches > 0 && self.rows.batches > 0 {
            return Err(RuntimeError::Options("a bidirectional coloring needs products of both sides"));
        }
        self.require_single()?;
        let form = |directions: Directions<'_>, products: &mut [f64]| {
            product(directions.seeds, products);
            Ok(())
        };
        self.evaluate(form, values)
    }

    /// [`Compressed::one_by_one`] for bidirectional colorings: `jvp` and `vjp`.
    ///
    /// # Errors
    /// A wrong number of values, other batches.
    pub fn both(
        &mut self,
        mut jvp: impl FnMut(&[f64], &mut [f64]),
        mut vjp: impl FnMut(&[f64], &mut [f64]),
        values: &mut [f64],
    ) -> Result<(), RuntimeError> {
        self.require_single()?;
        let form = |directions: Directions<'_>, products: &mut [f64]| {
            match directions.side {
                Side::Columns => jvp(directions.seeds, products),
                Side::Rows => vjp(directions.seeds, products),
            }
            Ok(())
        };
        self.evaluate(form, values)
    }

    fn require_single(&self) -> Result<(), RuntimeError> {
        if self.columns.width.max(self.rows.width) > 1 {
            return Err(RuntimeError::Options("one direction at a time needs batches of one"));
        }
        Ok(())
    }
}

impl Lines {
    fn new(
        side: Side,
        groups: Groups,
        (seed_len, product_len): (usize, usize),
        batch: Batch,
    ) -> Result<Lines, RuntimeError> {
        let width = batch.width.unwrap_or(groups.len()).max(1);
        let batches = groups.len().div_ceil(width);
        let mut lines = Lines { side, groups, width, batches, seed_len, product_len, seeds: Vec::new() };
        if batches > 0 {
            let size = width.checked_mul(seed_len.max(product_len)).filter(|&size| size < u32::MAX as usize);
            size.ok_or(RuntimeError::TooLarge { what: "products of a batch" })?;
            lines.seeds = vec![0.0; width * seed_len];
        }
        if batches == 1 {
            lines.put(batch, 0, 1.0);
        }
        Ok(lines)
    }

    fn products_len(&self) -> usize {
        if self.batches == 0 { 0 } else { self.width * self.product_len }
    }

    /// Colors of a batch, from 0.
    fn colors(&self, batch: usize) -> std::ops::Range<usize> {
        batch * self.width..self.groups.len().min((batch + 1) * self.width)
    }

    /// Puts a number where the directions of a batch are not zero, unless they stay.
    fn seed(&mut self, layout: Batch, batch: usize, value: f64) {
        if self.batches > 1 {
            self.put(layout, batch, value);
        }
    }

    fn put(&mut self, layout: Batch, batch: usize, value: f64) {
        for (lane, color) in self.colors(batch).enumerate() {
            for &member in self.groups.group(color + 1) {
                self.seeds[layout.at(lane, member as usize, self.width, self.seed_len)] = value;
            }
        }
    }

    fn directions(&self, layout: Batch, batch: usize) -> Directions<'_> {
        let (side, width, count) = (self.side, self.width, self.colors(batch).len());
        Directions { side, width, count, layout: layout.layout, seeds: &self.seeds }
    }

    /// The batch of a color's product, counted from `before`, where the product starts there, and how far apart its entries lie.
    fn product(&self, layout: Batch, color: usize, before: usize) -> (usize, usize, usize) {
        let at = |entry| layout.at(color % self.width, entry, self.width, self.product_len);
        (before + color / self.width, at(0), at(1) - at(0))
    }

    /// Copies the products of a batch to the front of `all`, one color after the other.
    fn keep(&self, layout: Batch, batch: usize, products: &[f64], all: &mut [f64]) {
        let count = self.colors(batch).len();
        let kept = &mut all[..count * self.product_len];
        match layout.layout {
            Layout::ByColor => kept.copy_from_slice(&products[..count * self.product_len]),
            Layout::ByEntry => {
                for (entry, lanes) in products.chunks_exact(self.width).enumerate() {
                    for (lane, &product) in lanes[..count].iter().enumerate() {
                        kept[lane * self.product_len + entry] = product;
                    }
                }
            }
        }
    }
}

fn values_len(coloring: &Coloring, target: Target) -> usize {
    let pattern = coloring.pattern();
    match target.storage {
        Storage::DenseRows | Storage::DenseColumns => pattern.nrows() * pattern.ncols(),
        Storage::Csr | Storage::Csc if target.triangle == Triangle::Full => pattern.nnz(),
        Storage::Csr | Storage::Csc => {
            pattern.entries().filter(|&(row, col)| target.triangle.contains(row, col)).count()
        }
    }
}

/// The pattern of the values, where they are stored by rows.
fn csr_pattern(coloring: &Coloring, target: Target) -> Option<Arc<Pattern>> {
    if target.storage != Storage::Csr {
        return None;
    }
    let pattern = coloring.pattern();
    let mut row_ptr = vec![0; pattern.nrows() + 1];
    let mut col_idx = Vec::new();
    for row in 0..pattern.nrows() {
        let cols = pattern.row(row).iter().copied();
        col_idx.extend(cols.filter(|&col| target.triangle.contains(row, col as usize)));
        row_ptr[row + 1] = col_idx.len() as u32;
    }
    Pattern::new(pattern.nrows(), pattern.ncols(), row_ptr, col_idx).map(Arc::new)
}
