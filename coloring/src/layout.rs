//! How the compressed products of a coloring lie in memory.

use crate::coloring::Coloring;
use crate::error::ColoringError;

/// Order of the values of several compressed products, or of several seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// One product after the other: each color is a contiguous vector.
    #[default]
    ByColor,
    /// All colors of one entry side by side, as batched tangents in SIMD lanes leave them.
    ByEntry,
}

/// Sizes and strides of a compressed buffer: the column products (`nrows` long, one a column color), then the row
/// products (`ncols` long, one a row color).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    nrows: usize,
    ncols: usize,
    n_column_colors: usize,
    n_row_colors: usize,
    layout: Layout,
}

impl Shape {
    /// Shape of the compressed buffer of a coloring.
    pub fn new(coloring: &Coloring, layout: Layout) -> Self {
        Self {
            nrows: coloring.pattern().nrows(),
            ncols: coloring.pattern().ncols(),
            n_column_colors: coloring.n_column_colors(),
            n_row_colors: coloring.n_row_colors(),
            layout,
        }
    }

    /// Length of the part with the column products; the row products start here.
    pub fn column_len(&self) -> usize {
        self.nrows * self.n_column_colors
    }

    /// Length of the whole buffer.
    pub fn len(&self) -> usize {
        self.column_len() + self.ncols * self.n_row_colors
    }

    /// Whether the buffer has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where entry `row` of the product of a column color (from 1) lies.
    pub fn column_index(&self, color: u32, row: usize) -> usize {
        at(self.layout, color as usize - 1, self.n_column_colors, row, self.nrows)
    }

    /// Where entry `col` of the product of a row color (from 1) lies.
    pub fn row_index(&self, color: u32, col: usize) -> usize {
        self.column_len() + at(self.layout, color as usize - 1, self.n_row_colors, col, self.ncols)
    }
}

fn at(layout: Layout, color: usize, n_colors: usize, entry: usize, n_entries: usize) -> usize {
    match layout {
        Layout::ByColor => color * n_entries + entry,
        Layout::ByEntry => entry * n_colors + color,
    }
}

impl Coloring {
    /// Seeds of the column products: `ncols` values a column color, 1 where the column has the color, otherwise 0.
    pub fn column_seeds(&self, layout: Layout) -> Vec<f64> {
        seeds(self.column_colors(), self.n_column_colors(), layout)
    }

    /// Seeds of the row products: `nrows` values a row color, 1 where the row has the color, otherwise 0.
    pub fn row_seeds(&self, layout: Layout) -> Vec<f64> {
        seeds(self.row_colors(), self.n_row_colors(), layout)
    }
}

fn seeds(colors: &[u32], n_colors: usize, layout: Layout) -> Vec<f64> {
    let mut seeds = vec![0.0; colors.len() * n_colors];
    for (v, &c) in colors.iter().enumerate().filter(|&(_, &c)| c != 0) {
        seeds[at(layout, c as usize - 1, n_colors, v, colors.len())] = 1.0;
    }
    seeds
}

pub(crate) fn require_len(what: &'static str, found: usize, expected: usize) -> Result<(), ColoringError> {
    if found == expected { Ok(()) } else { Err(ColoringError::BufferLength { what, expected, found }) }
}
