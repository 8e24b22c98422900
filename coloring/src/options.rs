//! What to color and how: partition, decompression, orders, ties, postprocessing.

use crate::order::{Order, TieBreak};

/// Which lines of the matrix are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partition {
    /// Columns of any matrix; compressed by products with it (JVPs).
    Column,
    /// Rows of any matrix; compressed by products with its transpose (VJPs).
    Row,
    /// Columns of a symmetric matrix, using the symmetry (HVPs).
    Symmetric,
    /// Rows and columns of any matrix, each entry recovered from one of both sides.
    Bidirectional,
}

/// How entries are recovered from the compressed products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decompression {
    /// Each entry is one compressed value: distance-2 and star colorings.
    Direct,
    /// Entries are solved for one after the other along trees: acyclic colorings, with fewer colors. Symmetric and
    /// bidirectional partitions only.
    Substitution,
}

/// Everything that decides a coloring.
///
/// ```
/// use spadina_coloring::{options::{Decompression, Options, Partition}, order::Order};
/// let options = Options::new(Partition::Symmetric)
///     .decompression(Decompression::Substitution)
///     .orders([Order::Natural, Order::SmallestLast]);
/// assert_eq!(options.orders.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which lines are grouped.
    pub partition: Partition,
    /// How entries are recovered.
    pub decompression: Decompression,
    /// Orders to try; the first one with fewest colors is kept.
    pub orders: Vec<Order>,
    /// Rule for ties in the dynamic orders.
    pub ties: TieBreak,
    /// Whether colors no entry is read from are made neutral (0) afterwards.
    pub postprocess: bool,
}

impl Options {
    /// Direct decompression, natural order, ties as `ColPack` breaks them, no postprocessing.
    pub fn new(partition: Partition) -> Self {
        Self {
            partition,
            decompression: Decompression::Direct,
            orders: vec![Order::Natural],
            ties: TieBreak::default(),
            postprocess: false,
        }
    }

    /// Sets how entries are recovered.
    #[must_use]
    pub fn decompression(mut self, decompression: Decompression) -> Self {
        self.decompression = decompression;
        self
    }

    /// Sets the orders to try.
    #[must_use]
    pub fn orders(mut self, orders: impl IntoIterator<Item = Order>) -> Self {
        self.orders = orders.into_iter().collect();
        self
    }

    /// Sets the rule for ties.
    #[must_use]
    pub fn ties(mut self, ties: TieBreak) -> Self {
        self.ties = ties;
        self
    }

    /// Sets whether unused colors are made neutral.
    #[must_use]
    pub fn postprocess(mut self, postprocess: bool) -> Self {
        self.postprocess = postprocess;
        self
    }
}
