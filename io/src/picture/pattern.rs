//! What is drawn: a sparsity pattern, how its entries are painted, and how large the picture is to be.

use crate::error::Error;
use crate::index::Index;
use crate::sparse_file::csr::check_pattern;

/// Where a sparse matrix has entries, borrowed in the index types the caller has.
#[derive(Debug, Clone, Copy)]
pub struct Pattern<'a, P = usize, I = usize> {
    /// Number of rows.
    pub nrows: usize,
    /// Number of columns.
    pub ncols: usize,
    /// Row offsets, `nrows + 1`.
    pub row_ptr: &'a [P],
    /// Column of each entry.
    pub col_idx: &'a [I],
}

/// What the color of an entry says.
#[derive(Debug, Clone, Copy, Default)]
pub enum Paint<'a> {
    /// Nothing: one ink, darker where several entries share a point.
    #[default]
    Plain,
    /// The color number of its column (one a column).
    Columns(&'a [u32]),
    /// The color number of its row (one a row).
    Rows(&'a [u32]),
    /// The color number of the entry itself (one an entry).
    Entries(&'a [u32]),
    /// The value of the entry (one an entry): blue below zero, red above, by magnitude.
    Values(&'a [f64]),
}

/// How counts and magnitudes become shades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// In proportion.
    Linear,
    /// By their logarithm, so that few entries beside many, and small values beside large ones, stay visible.
    #[default]
    Log,
}

/// Size and looks of a picture.
#[derive(Debug, Clone)]
pub struct Style {
    /// Longer side of the matrix in the picture, in pixels; larger matrices are binned. Kept within 32 and 4096.
    pub size: usize,
    /// How counts and magnitudes become shades.
    pub scale: Scale,
    /// A line above the picture.
    pub title: Option<String>,
}

impl Default for Style {
    fn default() -> Self {
        Self { size: 960, scale: Scale::default(), title: None }
    }
}

impl<P: Index, I: Index> Pattern<'_, P, I> {
    /// Number of entries.
    pub fn nnz(&self) -> usize {
        self.col_idx.len()
    }

    /// Whether offsets, columns and paint fit each other.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, paint: &Paint<'_>) -> Result<(), Error> {
        check_pattern(self.nrows, self.ncols, self.row_ptr, self.col_idx)?;
        let (what, got, want) = match paint {
            Paint::Plain => return Ok(()),
            Paint::Columns(c) => ("column colors", c.len(), self.ncols),
            Paint::Rows(c) => ("row colors", c.len(), self.nrows),
            Paint::Entries(c) => ("entry colors", c.len(), self.nnz()),
            Paint::Values(v) => ("values", v.len(), self.nnz()),
        };
        if got == want {
            Ok(())
        } else {
            Err(Error::Invalid(format!("{got} {what} where {want} are needed")))
        }
    }

    /// `1,200 × 1,200 · 8,340 entries · 0.58 %`.
    pub(crate) fn caption(&self) -> String {
        let cells = self.nrows as f64 * self.ncols as f64;
        let entries = if self.nnz() == 1 { "entry" } else { "entries" };
        let size =
            format!("{} × {} · {} {entries}", grouped(self.nrows), grouped(self.ncols), grouped(self.nnz()));
        if cells > 0.0 { format!("{size} · {}", percent(100.0 * self.nnz() as f64 / cells)) } else { size }
    }
}

impl Paint<'_> {
    /// The color number of an entry, when color numbers are painted.
    pub(crate) fn class(&self, row: usize, col: usize, entry: usize) -> Option<u32> {
        match self {
            Self::Plain | Self::Values(_) => None,
            Self::Columns(c) => Some(c[col]),
            Self::Rows(c) => Some(c[row]),
            Self::Entries(c) => Some(c[entry]),
        }
    }

    /// Whether color numbers are painted.
    pub(crate) fn is_classes(&self) -> bool {
        matches!(self, Self::Columns(_) | Self::Rows(_) | Self::Entries(_))
    }

    /// The distinct color numbers, ascending, when color numbers are painted.
    pub(crate) fn classes(&self) -> Option<Vec<u32>> {
        let classes: &[u32] = match self {
            Self::Plain | Self::Values(_) => return None,
            Self::Columns(c) | Self::Rows(c) | Self::Entries(c) => c,
        };
        let mut distinct = classes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        Some(distinct)
    }

    /// How many distinct color numbers there are, when they are painted.
    pub(crate) fn class_count(&self) -> Option<usize> {
        self.classes().map(|classes| classes.len())
    }
}

/// Digits in groups of three.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (k, c) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn percent(p: f64) -> String {
    if p >= 10.0 {
        format!("{p:.0} %")
    } else if p >= 0.01 || p == 0.0 {
        format!("{p:.2} %")
    } else {
        format!("{p:.0e} %")
    }
}
