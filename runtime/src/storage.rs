//! The storage that a caller asked for: by rows, columns, coordinates or blocks, with 32- or 64-bit indices.
//!
//! Evaluation writes values by rows. A storage is made once from the pattern; where its order of values is another one, it says for
//! each of its values where that lies by rows. Lists that the pattern has already are copied only when somebody asks for them.

use crate::convert::{BsrView, CooView, CscView};
use crate::csr::Pattern;
use crate::error::RuntimeError;
use std::fmt;
use std::sync::{Arc, OnceLock};

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
    /// All numbers fit the width.
    fn new(list: &[u32], width: IndexWidth) -> Indices {
        match width {
            IndexWidth::Bits64 => Indices::I64(list.iter().map(|&n| i64::from(n)).collect()),
            IndexWidth::Bits32 => Indices::I32(list.iter().map(|&n| n as i32).collect()),
        }
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
#[derive(Clone, Debug)]
pub struct Storage {
    /// The format.
    pub format: Format,
    /// Rows and columns of the matrix.
    pub shape: (usize, usize),
    /// Number of values, those that fill blocks included.
    pub len: usize,
    width: IndexWidth,
    /// What lists by rows are made from.
    pattern: Arc<Pattern>,
    lists: OnceLock<Lists>,
}

/// The two lists of every format.
#[derive(Clone, Debug)]
struct Lists {
    starts: Indices,
    indices: Indices,
}

impl Storage {
    /// No matrix.
    pub fn empty() -> Storage {
        let (format, width) = (Format::Csr, IndexWidth::Bits32);
        Storage { format, shape: (0, 0), len: 0, width, pattern: Arc::default(), lists: OnceLock::new() }
    }

    /// The storage of a pattern, and for each of its values the place of that by rows (`u32::MAX`: nothing, zero); `None` where
    /// values are in the order of rows.
    ///
    /// # Errors
    /// Blocks that do not divide the matrix, indices that 32 bits cannot hold.
    pub fn new(
        pattern: &Arc<Pattern>,
        format: Format,
        width: IndexWidth,
    ) -> Result<(Storage, Option<Vec<u32>>), RuntimeError> {
        let shape = (pattern.rows(), pattern.cols());
        let (mut len, mut source, lists) = (pattern.nnz(), None, OnceLock::new());
        let mut made = None;
        match format {
            Format::Csr | Format::Coo => {}
            Format::Csc => {
                let view = CscView::new(pattern);
                made = Some((view.col_ptr, view.row_idx));
                source = Some(view.source);
            }
            Format::Bsr(rows, cols) => {
                let divides = shape.0.checked_rem(rows) == Some(0) && shape.1.checked_rem(cols) == Some(0);
                if !divides {
                    return Err(RuntimeError::Blocks { block: (rows, cols), shape });
                }
                let view = BsrView::new(pattern, (rows, cols)).ok_or(RuntimeError::Options(
                    "the blocks of a matrix must hold fewer than 2^32 values",
                ))?;
                len = view.source.len();
                made = Some((view.row_ptr, view.col_idx));
                source = Some(view.source);
            }
        }
        let most = len.max(shape.0).max(shape.1);
        if width == IndexWidth::Bits32 && i32::try_from(most).is_err() {
            return Err(RuntimeError::TooLarge { what: "the entries of a matrix (ask for 64-bit indices)" });
        }
        if let Some((starts, indices)) = made {
            let (starts, indices) = (Indices::new(&starts, width), Indices::new(&indices, width));
            lists.get_or_init(|| Lists { starts, indices });
        }
        let pattern = Arc::clone(pattern);
        Ok((Storage { format, shape, len, width, pattern, lists }, source))
    }

    /// Start of each row (CSR), column (CSC), row of blocks (BSR), one element more than there are; for COO the row of each entry.
    /// By rows and by coordinates these lists are made on first use.
    pub fn starts(&self) -> &Indices {
        &self.lists().starts
    }

    /// Columns (CSR), rows (CSC), block columns (BSR); for COO the column of each entry.
    pub fn indices(&self) -> &Indices {
        &self.lists().indices
    }

    fn lists(&self) -> &Lists {
        self.lists.get_or_init(|| {
            let pattern = &self.pattern;
            let starts = match self.format {
                Format::Coo => Indices::new(&CooView::new(pattern).rows, self.width),
                // Columns and blocks have their lists from the start.
                Format::Csr | Format::Csc | Format::Bsr(..) => Indices::new(pattern.row_ptr(), self.width),
            };
            Lists { starts, indices: Indices::new(pattern.col_idx(), self.width) }
        })
    }
}
