//! A site seen row by row: which parts of an emission's stream name the rows, and which columns each row meets.

use crate::site::{Block, SiteShape, SlotLayout, SlotMode};
use alloc::vec;
use alloc::vec::Vec;

/// How finely emissions are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grain {
    /// One item per pair of blocks: every pair that has an entry has all of them.
    Block,
    /// One item per entry.
    Entry,
}

/// How an emission fits sorting by blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Every pair of blocks that has an entry has all of them.
    Blocks,
    /// All but pairs of a block with itself, of which others may have the missing entries: a term for each vertex whose Hessian is diagonal.
    Covered,
    /// Not at all.
    Entries,
}

/// A row, or a block of rows, of the local matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowGroup {
    /// Index in the emission's stream of the base position.
    pub base: u32,
    /// Added to the base.
    pub delta: u32,
    /// First of its columns in [`SiteRows::cols`].
    pub first: u32,
    /// Number of its columns.
    pub len: u32,
}

/// A column, or a block of columns, that a row group meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColRef {
    /// Index in the emission's stream of the base position.
    pub base: u32,
    /// Added to the base.
    pub delta: u32,
    /// First of its places in [`SiteRows::targets`].
    pub first: u32,
    /// Number of its places.
    pub len: u32,
}

/// A place in a slot record: it receives the offset of the column plus `shift`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Index inside the column block.
    pub shift: u32,
    /// Index in the record.
    pub place: u32,
}

/// A site seen row by row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteRows {
    /// Positions per emission in the stream.
    pub stream_width: usize,
    /// Row groups.
    pub groups: Vec<RowGroup>,
    /// Columns of all groups.
    pub cols: Vec<ColRef>,
    /// Places of all columns.
    pub targets: Vec<Target>,
    /// Offsets in one record.
    pub record_len: usize,
    /// Bits that number the groups of one emission in a reference.
    pub group_bits: u32,
    /// Whether column k has target k alone, without shift.
    pub direct: bool,
    /// Whether every group meets the positions of the stream in order, each once, and the record holds one offset for each pair of them.
    pub uniform: bool,
}

impl SiteRows {
    /// The row view of a shape; with [`Grain::Block`] only for shapes that [`SiteRows::fit`] finds fit.
    pub fn new(shape: &SiteShape, grain: Grain, layout: SlotLayout) -> SiteRows {
        let mut rows = SiteRows {
            stream_width: shape.stream_width(),
            groups: Vec::new(),
            cols: Vec::new(),
            targets: Vec::new(),
            record_len: layout.record_len(shape),
            group_bits: 0,
            direct: true,
            uniform: false,
        };
        let col_base = if shape.symmetric { 0 } else { shape.row_blocks.len() };
        let expanded = shape.expanded();
        match grain {
            Grain::Block => {
                for a in 0..shape.row_blocks.len() {
                    rows.push_blocks(shape, layout, a, col_base, &expanded);
                }
            }
            Grain::Entry => {
                // Locals in order, so that a group's columns keep the order of the expanded entries.
                let heights: u32 = shape.row_blocks.iter().map(|b| b.width).sum();
                let mut by_row: Vec<Vec<(u32, u32)>> = vec![Vec::new(); heights as usize];
                for (place, &(a, b, _)) in expanded.iter().enumerate() {
                    if let Some(list) = by_row.get_mut(a as usize) {
                        list.push((b, place as u32));
                    }
                }
                for (a, entries) in by_row.iter().enumerate() {
                    rows.push_entries(shape, a as u32, entries, col_base);
                }
            }
        }
        rows.group_bits = rows.groups.len().next_power_of_two().trailing_zeros();
        rows.direct = rows.cols.iter().all(|c| c.len == 1) && rows.targets.iter().all(|t| t.shift == 0);
        rows.uniform = rows.is_uniform();
        rows
    }

    fn is_uniform(&self) -> bool {
        let width = self.stream_width;
        let in_order = |(g, group): (usize, &RowGroup)| {
            let (cols, first) = (self.cols_of(group), group.first as usize);
            (group.base as usize, group.delta, cols.len()) == (g, 0, width)
                && cols.iter().enumerate().all(|(k, col)| (col.base as usize, col.delta) == (k, 0))
                && self
                    .targets
                    .iter()
                    .skip(first)
                    .zip(g * width..)
                    .take(width)
                    .all(|(t, k)| t.place as usize == k)
        };
        self.direct
            && self.groups.len() == width
            && self.record_len == width * width
            && self.groups.iter().enumerate().all(in_order)
    }

    fn push_blocks(
        &mut self,
        shape: &SiteShape,
        layout: SlotLayout,
        a: usize,
        col_base: usize,
        expanded: &[(u32, u32, usize)],
    ) {
        let first = self.cols.len() as u32;
        let block = layout.mode_of(shape) == SlotMode::Block;
        for b in 0..shape.col_blocks.len() {
            let start = self.targets.len() as u32;
            if block {
                let place = (a * shape.col_blocks.len() + b) as u32;
                self.targets.push(Target { shift: 0, place });
            } else {
                for (place, &(row, col, _)) in expanded.iter().enumerate() {
                    let (row, col) = (
                        SiteShape::locate(&shape.row_blocks, row),
                        SiteShape::locate(&shape.col_blocks, col),
                    );
                    if let (Some((ra, _)), Some((cb, shift))) = (row, col)
                        && ra == a
                        && cb == b
                    {
                        self.targets.push(Target { shift, place: place as u32 });
                    }
                }
            }
            let len = self.targets.len() as u32 - start;
            if len > 0 {
                self.cols.push(ColRef { base: (col_base + b) as u32, delta: 0, first: start, len });
            }
        }
        self.groups.push(RowGroup { base: a as u32, delta: 0, first, len: self.cols.len() as u32 - first });
    }

    fn push_entries(&mut self, shape: &SiteShape, a: u32, entries: &[(u32, u32)], col_base: usize) {
        let Some((row_block, delta)) = SiteShape::locate(&shape.row_blocks, a) else { return };
        let first = self.cols.len() as u32;
        for &(b, place) in entries {
            let Some((col_block, col_delta)) = SiteShape::locate(&shape.col_blocks, b) else { continue };
            let start = self.targets.len() as u32;
            self.targets.push(Target { shift: 0, place });
            let base = (col_base + col_block) as u32;
            self.cols.push(ColRef { base, delta: col_delta, first: start, len: 1 });
        }
        let len = self.cols.len() as u32 - first;
        if len > 0 {
            self.groups.push(RowGroup { base: row_block as u32, delta, first, len });
        }
    }

    /// Whether every pair of blocks that has an entry has all of them.
    pub fn fit(shape: &SiteShape) -> Fit {
        let mut counts = vec![0_usize; shape.block_pairs()];
        for (row, col, _) in shape.expanded() {
            let (row, col) =
                (SiteShape::locate(&shape.row_blocks, row), SiteShape::locate(&shape.col_blocks, col));
            let (Some((a, _)), Some((b, _))) = (row, col) else { return Fit::Entries };
            counts[a * shape.col_blocks.len() + b] += 1;
        }
        let mut fit = Fit::Blocks;
        for (pair, &count) in counts.iter().enumerate() {
            let (a, b) = (pair / shape.col_blocks.len(), pair % shape.col_blocks.len());
            let (height, width) = (shape.row_blocks[a].width as usize, shape.col_blocks[b].width as usize);
            match fit {
                _ if count == 0 || count == height * width => {}
                _ if shape.symmetric && a == b => fit = Fit::Covered,
                _ => return Fit::Entries,
            }
        }
        fit
    }

    /// The row blocks of a symmetric shape that meet themselves.
    pub fn diagonal(shape: &SiteShape) -> Vec<bool> {
        let meets = |block: &Block| shape.entries.contains(&(block.start, block.start));
        shape.row_blocks.iter().map(|block| shape.symmetric && meets(block)).collect()
    }

    /// The columns of a group.
    #[inline]
    pub fn cols_of(&self, group: &RowGroup) -> &[ColRef] {
        &self.cols[group.first as usize..][..group.len as usize]
    }

    /// The targets of a group's columns, one each; only where [`SiteRows::direct`] holds.
    #[inline]
    pub(crate) fn direct_targets(&self, group: &RowGroup) -> &[Target] {
        &self.targets[group.first as usize..][..group.len as usize]
    }
}
