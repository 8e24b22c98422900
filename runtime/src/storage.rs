//! The storage that a caller asked for: by rows, columns, coordinates or blocks, with 32- or 64-bit indices.
//!
//! Evaluation writes values by rows. A storage is made once from the pattern; where its order of values is another one, it says for
//! each of its values where that lies by rows.

use crate::convert::{BsrView, CooView, CscView};
use crate::csr::Pattern;
use crate::error::RuntimeError;
use std::fmt;

/// How the entries of a matrix are listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Format {
    /// Compressed rows: columns ascend in each row.
    #[default]
    Csr,
    /// Compressed columns: rows ascend in each column.
    Csc,
    /// Coordinates, row by row.
    Coo,
    /// Compressed rows of dense blocks with so many rows and columns, each row-major; blocks hold zeros where nothing is stored.
    Bsr(usize, usize),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Csr => f.write_str("csr"),
            Format::Csc => f.write_str("csc"),
            Format::Coo => f.write_str("coo"),
            Format::Bsr(rows, cols) => write!(f, "bsr:{rows}x{cols}"),
        }
    }
}

/// Width of the indices of a storage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum IndexWidth {
    /// 32 bits, as most solvers take them.
    #[default]
    Bits32,
    /// 64 bits.
    Bits64,
}

/// Indices, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Indices {
    /// 32 bits.
    I32(Vec<i32>),
    /// 64 bits.
    I64(Vec<i64>),
}

impl Indices {
    fn new(list: &[u32], width: IndexWidth) -> Result<Indices, RuntimeError> {
        Ok(match width {
            IndexWidth::Bits64 => Indices::I64(list.iter().map(|&n| i64::from(n)).collect()),
            IndexWidth::Bits32 => {
                let narrow: Result<Vec<i32>, _> = list.iter().map(|&n| i32::try_from(n)).collect();
                let what = "the entries of a matrix (ask for 64-bit indices)";
                Indices::I32(narrow.map_err(|_| RuntimeError::TooLarge { what })?)
            }
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Indices::I32(list) => list.len(),
            Indices::I64(list) => list.len(),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The indices, if they have 32 bits.
    pub fn as_i32(&self) -> Option<&[i32]> {
        match self {
            Indices::I32(list) => Some(list),
            Indices::I64(_) => None,
        }
    }

    /// The indices, if they have 64 bits.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match self {
            Indices::I64(list) => Some(list),
            Indices::I32(_) => None,
        }
    }

    /// All indices as `usize`.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let (narrow, wide) = match self {
            Indices::I32(list) => (&list[..], &[][..]),
            Indices::I64(list) => (&[][..], &list[..]),
        };
        narrow.iter().map(|&n| n as usize).chain(wide.iter().map(|&n| n as usize))
    }
}

/// Where the entries of a matrix are, in the format asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// The format.
    pub format: Format,
    /// Rows and columns of the matrix.
    pub shape: (usize, usize),
    /// Start of each row (CSR), column (CSC), row of blocks (BSR), one element more than there are; for COO the row of each entry.
    pub starts: Indices,
    /// Columns (CSR), rows (CSC), block columns (BSR); for COO the column of each entry.
    pub indices: Indices,
    /// Number of values, those that fill blocks included.
    pub len: usize,
}

impl Storage {
    /// The storage of a pattern, and for each of its values the place of that by rows (`u32::MAX`: nothing, zero); `None` where
    /// values are in the order of rows.
    ///
    /// # Errors
    /// Blocks that do not divide the matrix, indices that 32 bits cannot hold.
    pub fn new(
        pattern: &Pattern,
        format: Format,
        width: IndexWidth,
    ) -> Result<(Storage, Option<Vec<u32>>), RuntimeError> {
        let shape = (pattern.rows(), pattern.cols());
        let make = |starts: &[u32], indices: &[u32], len| {
            let (starts, indices) = (Indices::new(starts, width)?, Indices::new(indices, width)?);
            Ok::<_, RuntimeError>(Storage { format, shape, starts, indices, len })
        };
        match format {
            Format::Csr => Ok((make(pattern.row_ptr(), pattern.col_idx(), pattern.nnz())?, None)),
            Format::Coo => {
                let view = CooView::new(pattern);
                Ok((make(&view.rows, &view.cols, pattern.nnz())?, None))
            }
            Format::Csc => {
                let view = CscView::new(pattern);
                Ok((make(&view.col_ptr, &view.row_idx, pattern.nnz())?, Some(view.source)))
            }
            Format::Bsr(rows, cols) => {
                let view = BsrView::new(pattern, (rows, cols)).ok_or(RuntimeError::Options(
                    "the blocks of a matrix must divide its rows and columns, and hold fewer than 2^32 values",
                ))?;
                Ok((make(&view.row_ptr, &view.col_idx, view.source.len())?, Some(view.source)))
            }
        }
    }
}
