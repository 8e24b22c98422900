//! Choices that are made at prepare.

use spadina_layout::filter::Triangle;
use spadina_layout::site::SlotWidth;

/// What happens to rows and columns of fixed unknowns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FixedRule {
    /// They are removed; the rest is numbered consecutively.
    #[default]
    Drop,
    /// They stay, with a one on the diagonal and nothing else. Only where rows and columns are the same unknowns.
    Identity,
}

/// Options of prepare.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrepareOptions {
    /// The stored triangle, in final numbers.
    pub triangle: Triangle,
    /// Column positions of fixed unknowns, in any order. Their rows go too where rows and columns are the same unknowns.
    pub fixed: Vec<u32>,
    /// What happens to them.
    pub fixed_rule: FixedRule,
    /// A permutation: the row number of each row position, before fixed rows are removed.
    pub row_order: Option<Vec<u32>>,
    /// The same for columns. Where rows and columns are the same unknowns it must equal `row_order`.
    pub col_order: Option<Vec<u32>>,
    /// Use entry records even where block records would do.
    pub entry_slots: bool,
    /// Offsets at least this wide (for code that exists already).
    pub min_width: Option<SlotWidth>,
}
