//! Which entries of the matrix are kept, and under which numbers.

/// The number of a row or column that is dropped.
pub const DROPPED: u32 = u32::MAX;

/// Which triangle is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Triangle {
    /// All entries.
    #[default]
    Full,
    /// Entries with column <= row, in final numbers.
    Lower,
    /// Entries with column >= row, in final numbers.
    Upper,
}

/// From positions to row and column numbers, and which entries are kept.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The row number of each row position, or [`DROPPED`]; the position itself where there is no map.
    pub row_map: Option<&'a [u32]>,
    /// The same for columns.
    pub col_map: Option<&'a [u32]>,
    /// Number of row positions (length of the row map).
    pub row_positions: usize,
    /// Number of column positions.
    pub col_positions: usize,
    /// Number of rows of the matrix.
    pub rows: usize,
    /// Number of columns of the matrix.
    pub cols: usize,
    /// The stored triangle.
    pub triangle: Triangle,
}

impl<'a> Filter<'a> {
    /// Everything is kept, numbers are positions.
    pub fn all(rows: usize, cols: usize) -> Filter<'a> {
        Filter {
            row_map: None,
            col_map: None,
            row_positions: rows,
            col_positions: cols,
            rows,
            cols,
            triangle: Triangle::Full,
        }
    }

    /// True where an entry may be dropped.
    pub fn drops(&self) -> bool {
        let any = |map: Option<&[u32]>| map.is_some_and(|m| m.contains(&DROPPED));
        self.triangle != Triangle::Full || any(self.row_map) || any(self.col_map)
    }

    /// True where columns are positions and all are kept: the common case, which the inner loops are specialized for.
    pub(crate) fn is_plain(&self) -> bool {
        self.col_map.is_none() && self.triangle == Triangle::Full
    }

    /// The row number of a position.
    #[inline]
    pub fn row(&self, position: u32) -> u32 {
        match self.row_map {
            None => position,
            Some(map) => map[position as usize],
        }
    }

    /// The column number of a position.
    #[inline]
    pub fn col(&self, position: u32) -> u32 {
        match self.col_map {
            None => position,
            Some(map) => map[position as usize],
        }
    }

    /// Whether an entry of a kept row is stored.
    #[inline]
    pub fn keeps(&self, row: u32, col: u32) -> bool {
        let inside = match self.triangle {
            Triangle::Full => true,
            Triangle::Lower => col <= row,
            Triangle::Upper => col >= row,
        };
        inside && col != DROPPED
    }

    /// Checks that maps fit the positions and point inside the matrix.
    pub fn is_valid(&self) -> bool {
        let fits = |map: Option<&[u32]>, positions: usize, bound: usize| match map {
            None => positions == bound,
            Some(map) => map.len() == positions && map.iter().all(|&k| k == DROPPED || (k as usize) < bound),
        };
        let small = |n: usize| n < u32::MAX as usize;
        small(self.row_positions)
            && small(self.col_positions)
            && small(self.rows)
            && small(self.cols)
            && fits(self.row_map, self.row_positions, self.rows)
            && fits(self.col_map, self.col_positions, self.cols)
    }
}
