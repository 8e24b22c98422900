//! Emission sites: the shape of one local block and of the records that are kept for each of its emissions.
//!
//! # Streams
//! The index program of a kernel writes one *stream* per site: for each emission, the base position of every row block, then
//! (unless the site is symmetric) of every column block, as `u32`. Prepare turns streams into a pattern and *slot records*.
//!
//! # Slot records
//! Evaluation finds the values of an emission through its slot record: offsets from the start of a row of values.
//! - [`SlotMode::Entry`]: one offset per expanded entry, in the order of [`SiteShape::expanded`]. Right for everything; the largest
//!   value of the width marks an entry that is dropped (fixed unknown, upper triangle).
//! - [`SlotMode::Block`]: one offset per pair (row block, column block), row-major over [`SiteShape::block_pairs`]: entry
//!   `(r, c)` of the pair lies at `row_start[row base + r] + offset + c`. Needs every entry of every pair present.

use alloc::vec::Vec;

/// A run of local indices whose positions are consecutive: `base, base + 1, .., base + width - 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Block {
    /// First local index.
    pub start: u32,
    /// Number of local indices.
    pub width: u32,
}

/// The compile-time shape of an emission.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct SiteShape {
    /// Row blocks, covering the local rows in order.
    pub row_blocks: Vec<Block>,
    /// Column blocks, covering the local columns in order; equal to `row_blocks` when symmetric.
    pub col_blocks: Vec<Block>,
    /// Local (row, column) of each value.
    pub entries: Vec<(u32, u32)>,
    /// Whether an entry off the local diagonal also stands for its mirror image.
    pub symmetric: bool,
}

impl SiteShape {
    /// Number of `u32` positions one emission writes to the stream.
    pub fn stream_width(&self) -> usize {
        self.row_blocks.len() + if self.symmetric { 0 } else { self.col_blocks.len() }
    }

    /// Entries with mirror images written out: `(local row, local column, index of the value)`, row by row with ascending
    /// columns. Values are added in this order: it matters where local unknowns coincide.
    pub fn expanded(&self) -> Vec<(u32, u32, usize)> {
        let mut all = Vec::with_capacity(2 * self.entries.len());
        for (k, &(a, b)) in self.entries.iter().enumerate() {
            all.push((a, b, k));
            if self.symmetric && a != b {
                all.push((b, a, k));
            }
        }
        all.sort_by_key(|&(a, b, _)| (a, b));
        all
    }

    /// Number of expanded entries.
    pub fn expanded_len(&self) -> usize {
        let mirrors = |&&(a, b): &&(u32, u32)| self.symmetric && a != b;
        self.entries.len() + self.entries.iter().filter(mirrors).count()
    }

    /// Number of offsets in a block record.
    pub fn block_pairs(&self) -> usize {
        self.row_blocks.len() * self.col_blocks.len()
    }

    /// True where the expanded entries fill every pair of blocks, so that block records are possible.
    pub fn is_full(&self) -> bool {
        let count = |blocks: &[Block]| blocks.iter().map(|b| b.width as usize).sum::<usize>();
        self.expanded_len() == count(&self.row_blocks) * count(&self.col_blocks)
    }

    /// Which offset of a record leads to an entry, the `n`-th of [`SiteShape::expanded`], and how far behind it the entry lies; `None` for
    /// an entry outside the blocks.
    pub fn place(&self, mode: SlotMode, n: usize, (row, col): (u32, u32)) -> Option<(usize, u32)> {
        match mode {
            SlotMode::Entry => Some((n, 0)),
            SlotMode::Block => {
                let (p, _) = SiteShape::locate(&self.row_blocks, row)?;
                let (q, inside) = SiteShape::locate(&self.col_blocks, col)?;
                Some((p * self.col_blocks.len() + q, inside))
            }
        }
    }

    /// The block that holds a local index, and the index inside it.
    pub fn locate(blocks: &[Block], local: u32) -> Option<(usize, u32)> {
        let found = blocks.iter().position(|b| b.start <= local && local < b.start + b.width)?;
        Some((found, local - blocks[found].start))
    }
}

/// Bytes of one offset in a slot record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SlotWidth {
    /// One byte: rows of at most 255 entries.
    U8,
    /// Two bytes.
    U16,
    /// Four bytes.
    U32,
}

impl SlotWidth {
    /// Bytes of one offset.
    pub fn bytes(self) -> usize {
        match self {
            SlotWidth::U8 => 1,
            SlotWidth::U16 => 2,
            SlotWidth::U32 => 4,
        }
    }

    /// The mark of a dropped entry.
    pub fn dropped(self) -> u32 {
        match self {
            SlotWidth::U8 => u32::from(u8::MAX),
            SlotWidth::U16 => u32::from(u16::MAX),
            SlotWidth::U32 => u32::MAX,
        }
    }

    /// The narrowest width whose offsets reach below `row_len` and leave the mark free.
    pub fn for_row_len(row_len: usize) -> SlotWidth {
        match row_len {
            0..=255 => SlotWidth::U8,
            256..=65_535 => SlotWidth::U16,
            _ => SlotWidth::U32,
        }
    }
}

/// How slot records are laid out; see the head of this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SlotMode {
    /// One offset per expanded entry.
    Entry,
    /// One offset per pair of blocks.
    Block,
}

/// The slot layout that a piece of compiled code is specialized for; one for all sites of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct SlotLayout {
    /// Record layout. `Block` applies only to sites that are full; others use `Entry` all the same.
    pub mode: SlotMode,
    /// Width of an offset.
    pub width: SlotWidth,
    /// Whether offsets may be marked as dropped (then `mode` is `Entry`).
    pub drops: bool,
    /// Whether every value of the matrix is emitted exactly once: it is stored, not added to what was zeroed before.
    pub stores: bool,
}

impl SlotLayout {
    /// The mode that a site of this shape uses under this layout.
    pub fn mode_of(self, shape: &SiteShape) -> SlotMode {
        if self.mode == SlotMode::Block && shape.is_full() { SlotMode::Block } else { SlotMode::Entry }
    }

    /// Offsets in one record of a site of this shape.
    pub fn record_len(self, shape: &SiteShape) -> usize {
        match self.mode_of(shape) {
            SlotMode::Entry => shape.expanded_len(),
            SlotMode::Block => shape.block_pairs(),
        }
    }
}
