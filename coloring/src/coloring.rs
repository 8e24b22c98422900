//! A coloring of a pattern: the colors, and what is needed to get the entries back.

use crate::acyclic::{TreeSet, acyclic_coloring, acyclic_forest};
use crate::distance2::distance2_coloring;
use crate::error::ColoringError;
use crate::graph::Graph;
use crate::groups::Groups;
use crate::neutral::{neutralize_stars, neutralize_trees, separate_sides};
use crate::options::{Decompression, Options, Partition};
use crate::order::{Order, column_order, graph_order};
use crate::pattern::Pattern;
use crate::star::{StarSet, star_coloring};
use crate::union_find::UnionFind;

/// Colors of the columns, the rows or both, with the stars or trees by which entries are recovered.
///
/// Colors start at 1; a row or column of color 0 is neutral and takes part in no compressed product.
///
/// ```
/// use spadina_coloring::{coloring::Coloring, options::{Options, Partition}, pattern::Pattern};
/// let pattern = Pattern::from_entries(3, 3, &[(0, 0), (0, 2), (1, 1), (1, 2), (2, 0)])?;
/// let coloring = Coloring::new(&pattern, &Options::new(Partition::Column))?;
/// assert_eq!(coloring.column_colors(), [1, 1, 2]);
/// # Ok::<(), spadina_coloring::error::ColoringError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coloring {
    pattern: Pattern,
    partition: Partition,
    column_colors: Vec<u32>,
    row_colors: Vec<u32>,
    n_column_colors: usize,
    n_row_colors: usize,
    order: Option<Order>,
    recovery: Recovery,
}

/// How entries are found in the compressed products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// The entry's own color: one-sided colorings.
    Own,
    Stars(StarSet),
    Trees(TreeSet),
}

impl Coloring {
    /// Colors a pattern, trying all orders of the options and keeping the first with fewest colors.
    ///
    /// # Errors
    /// When there is no order, the partition is symmetric and the pattern is not, or substitution is asked of a column
    /// or row coloring.
    pub fn new(pattern: &Pattern, options: &Options) -> Result<Self, ColoringError> {
        match options.partition {
            Partition::Column | Partition::Row if options.decompression == Decompression::Substitution => {
                Err(ColoringError::SubstitutionOneSided)
            }
            Partition::Column => {
                let colors = one_sided(pattern, &pattern.transpose(), options)?;
                Ok(Self::from_parts(
                    pattern,
                    Partition::Column,
                    colors.0,
                    Vec::new(),
                    Some(colors.1),
                    Recovery::Own,
                ))
            }
            Partition::Row => {
                let colors = one_sided(&pattern.transpose(), pattern, options)?;
                Ok(Self::from_parts(
                    pattern,
                    Partition::Row,
                    Vec::new(),
                    colors.0,
                    Some(colors.1),
                    Recovery::Own,
                ))
            }
            Partition::Symmetric => {
                let graph = Graph::symmetric(pattern)?;
                let (colors, order, recovery) = two_sided(&graph, pattern.ncols(), options, highest)?;
                Ok(Self::from_parts(pattern, Partition::Symmetric, colors, Vec::new(), Some(order), recovery))
            }
            Partition::Bidirectional => {
                let graph = Graph::augmented(pattern);
                let n = pattern.ncols();
                let count = |colors: &[u32]| {
                    let (columns, rows) = colors.split_at(n);
                    highest(&by_first_use(columns)) + highest(&by_first_use(rows))
                };
                let (colors, order, recovery) = two_sided(&graph, n, options, count)?;
                let (columns, rows) = colors.split_at(n);
                let (columns, rows) = (by_first_use(columns), by_first_use(rows));
                Ok(Self::from_parts(pattern, Partition::Bidirectional, columns, rows, Some(order), recovery))
            }
        }
    }

    pub(crate) fn from_parts(
        pattern: &Pattern,
        partition: Partition,
        column_colors: Vec<u32>,
        row_colors: Vec<u32>,
        order: Option<Order>,
        recovery: Recovery,
    ) -> Self {
        Self {
            pattern: pattern.clone(),
            partition,
            n_column_colors: highest(&column_colors),
            n_row_colors: highest(&row_colors),
            column_colors,
            row_colors,
            order,
            recovery,
        }
    }

    /// The pattern that was colored.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Which lines are grouped.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How entries are recovered.
    pub fn decompression(&self) -> Decompression {
        match self.recovery {
            Recovery::Own | Recovery::Stars(_) => Decompression::Direct,
            Recovery::Trees(_) => Decompression::Substitution,
        }
    }

    /// The order these colors come from; `None` when they were given.
    pub fn order(&self) -> Option<Order> {
        self.order
    }

    /// Number of compressed products: column colors and row colors together.
    pub fn n_colors(&self) -> usize {
        self.n_column_colors + self.n_row_colors
    }

    /// Number of column colors (of all colors, for a symmetric partition).
    pub fn n_column_colors(&self) -> usize {
        self.n_column_colors
    }

    /// Number of row colors.
    pub fn n_row_colors(&self) -> usize {
        self.n_row_colors
    }

    /// Color of each column, 0 = neutral; empty for a row partition. For a symmetric partition, of each unknown.
    pub fn column_colors(&self) -> &[u32] {
        &self.column_colors
    }

    /// Color of each row, 0 = neutral; empty for column and symmetric partitions.
    pub fn row_colors(&self) -> &[u32] {
        &self.row_colors
    }

    /// The columns of each color.
    pub fn column_groups(&self) -> Groups {
        Groups::new(&self.column_colors, self.n_column_colors)
    }

    /// The rows of each color.
    pub fn row_groups(&self) -> Groups {
        Groups::new(&self.row_colors, self.n_row_colors)
    }

    /// The two-colored stars of a direct symmetric or bidirectional coloring.
    pub fn stars(&self) -> Option<&StarSet> {
        match &self.recovery {
            Recovery::Stars(stars) => Some(stars),
            Recovery::Own | Recovery::Trees(_) => None,
        }
    }

    /// The two-colored trees of a coloring for substitution.
    pub fn trees(&self) -> Option<&TreeSet> {
        match &self.recovery {
            Recovery::Trees(trees) => Some(trees),
            Recovery::Own | Recovery::Stars(_) => None,
        }
    }

    pub(crate) fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

/// Colors of the columns of `rows` by the best order.
fn one_sided(
    rows: &Pattern,
    columns: &Pattern,
    options: &Options,
) -> Result<(Vec<u32>, Order), ColoringError> {
    best(
        options,
        |colors: &Vec<u32>| highest(colors),
        |order| distance2_coloring(rows, columns, &column_order(rows, columns, order, options.ties)),
    )
}

/// Star or acyclic coloring of a graph by the best order, postprocessed if asked. The vertices from `n_columns` on are
/// rows.
fn two_sided(
    graph: &Graph,
    n_columns: usize,
    options: &Options,
    count: impl Fn(&[u32]) -> usize,
) -> Result<(Vec<u32>, Order, Recovery), ColoringError> {
    let list = |order| graph_order(graph, order, options.ties);
    match options.decompression {
        Decompression::Direct => {
            let ((colors, stars), order) = best(
                options,
                |(colors, _): &(Vec<u32>, StarSet)| count(colors),
                |order| {
                    let (mut colors, mut stars) = star_coloring(graph, &list(order));
                    if options.postprocess {
                        separate_sides(&mut colors, n_columns);
                        neutralize_stars(graph, &mut colors, &mut stars);
                    }
                    (colors, stars)
                },
            )?;
            Ok((colors, order, Recovery::Stars(stars)))
        }
        Decompression::Substitution if options.postprocess => {
            let ((colors, trees), order) = best(
                options,
                |(colors, _): &(Vec<u32>, TreeSet)| count(colors),
                |order| {
                    let (mut colors, mut trees) = acyclic_coloring(graph, &list(order));
                    separate_sides(&mut colors, n_columns);
                    neutralize_trees(graph, &mut colors, &mut trees);
                    (colors, trees)
                },
            )?;
            Ok((colors, order, Recovery::Trees(trees)))
        }
        Decompression::Substitution => {
            // Only the trees of the best coloring are needed.
            let ((colors, mut forest), order) = best(
                options,
                |c: &(Vec<u32>, UnionFind)| count(&c.0),
                |order| acyclic_forest(graph, &list(order)),
            )?;
            let (tree_of_edge, n_trees) = forest.numbered();
            Ok((colors, order, Recovery::Trees(TreeSet::peel(graph, &tree_of_edge, n_trees))))
        }
    }
}

/// The first result of fewest colors among the orders of the options.
fn best<T>(
    options: &Options,
    count: impl Fn(&T) -> usize,
    color: impl Fn(Order) -> T,
) -> Result<(T, Order), ColoringError> {
    let mut found: Option<(usize, T, Order)> = None;
    for &order in &options.orders {
        let colors = color(order);
        let n = count(&colors);
        if found.as_ref().is_none_or(|(least, _, _)| n < *least) {
            found = Some((n, colors, order));
        }
    }
    found.map(|(_, colors, order)| (colors, order)).ok_or(ColoringError::NoOrder)
}

fn highest(colors: &[u32]) -> usize {
    colors.iter().copied().max().unwrap_or(0) as usize
}

/// Colors renumbered in order of first use; 0 stays.
fn by_first_use(colors: &[u32]) -> Vec<u32> {
    let mut new = vec![0u32; highest(colors) + 1];
    let mut next = 0;
    colors
        .iter()
        .map(|&c| {
            let slot = &mut new[c as usize];
            if c != 0 && *slot == 0 {
                next += 1;
                *slot = next;
            }
            *slot
        })
        .collect()
}
