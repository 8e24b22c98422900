//! Index types a caller may hold a sparse pattern in, so that no copy is made to write or draw it.

/// An unsigned integer that is an offset or a column of a compressed sparse matrix.
pub trait Index: Copy {
    /// The index as `usize`.
    fn get(self) -> usize;
}

impl Index for u32 {
    fn get(self) -> usize {
        self as usize
    }
}

impl Index for u64 {
    fn get(self) -> usize {
        self as usize
    }
}

impl Index for usize {
    fn get(self) -> usize {
        self
    }
}
