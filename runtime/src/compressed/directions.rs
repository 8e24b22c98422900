//! What a closure that forms products is asked for: a batch of directions.

use spadina_coloring::layout::Layout;

/// Which products.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// With the matrix: JVPs of a function, HVPs of an energy. Directions have one element per column, products one per row.
    Columns,
    /// With its transpose: VJPs. Directions have one element per row, products one per column.
    Rows,
}

/// A batch of directions, all of one side.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Directions<'a> {
    /// Which products are asked for.
    pub side: Side,
    /// Number of directions, the lanes of a batch: the same in every call for a side.
    pub width: usize,
    /// How many of them count. The rest are zero, and whatever their products are, nothing is read from them.
    pub count: usize,
    /// How elements lie, of directions and products alike: with [`Layout::ByColor`] element `i` of direction `k` is at
    /// `k * len + i`, with [`Layout::ByEntry`] (lanes of SIMD) at `i * width + k`.
    pub layout: Layout,
    /// `width` directions.
    pub seeds: &'a [f64],
}

impl Directions<'_> {
    /// Number of elements of one direction.
    pub fn len(&self) -> usize {
        self.seeds.len() / self.width.max(1)
    }

    /// True where directions have no elements.
    pub fn is_empty(&self) -> bool {
        self.seeds.is_empty()
    }
}

/// How many directions a closure takes at once, and how they lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Batch {
    /// Directions in a call; `None` for all of a side at once.
    pub width: Option<usize>,
    /// How their elements lie.
    pub layout: Layout,
}

impl Batch {
    /// One direction after the other.
    pub fn single() -> Batch {
        Batch { width: Some(1), layout: Layout::ByColor }
    }

    /// `width` directions side by side, as SIMD lanes.
    pub fn lanes(width: usize) -> Batch {
        Batch { width: Some(width), layout: Layout::ByEntry }
    }

    /// The position of element `entry` of direction `lane` among `width` directions of `len` elements.
    pub(super) fn at(self, lane: usize, entry: usize, width: usize, len: usize) -> usize {
        match self.layout {
            Layout::ByColor => lane * len + entry,
            Layout::ByEntry => entry * width + lane,
        }
    }
}
