//! Colorings the user brings along: verified, and completed with what decompression needs.

use crate::acyclic::TreeSet;
use crate::coloring::{Coloring, Recovery};
use crate::error::ColoringError;
use crate::graph::{Graph, NONE};
use crate::options::{Decompression, Partition};
use crate::pattern::Pattern;
use crate::star::StarSet;
use crate::union_find::UnionFind;

impl Coloring {
    /// A column coloring from given colors (from 1; 0 only for empty columns).
    ///
    /// # Errors
    /// Naming two columns of one color that meet in a row, or an entry whose column has no color.
    pub fn from_column_colors(pattern: &Pattern, colors: Vec<u32>) -> Result<Self, ColoringError> {
        check_colors("columns", pattern.ncols(), &colors)?;
        require_apart(pattern, &colors).map_err(Meet::of_columns)?;
        Ok(Self::from_parts(pattern, Partition::Column, colors, Vec::new(), None, Recovery::Own))
    }

    /// A row coloring from given colors (from 1; 0 only for empty rows).
    ///
    /// # Errors
    /// Naming two rows of one color that meet in a column, or an entry whose row has no color.
    pub fn from_row_colors(pattern: &Pattern, colors: Vec<u32>) -> Result<Self, ColoringError> {
        check_colors("rows", pattern.nrows(), &colors)?;
        require_apart(&pattern.transpose(), &colors).map_err(Meet::of_rows)?;
        Ok(Self::from_parts(pattern, Partition::Row, Vec::new(), colors, None, Recovery::Own))
    }

    /// A symmetric coloring from given colors of the unknowns (0 = neutral): a star coloring for direct decompression,
    /// an acyclic one for substitution, as far as the colors are not neutral.
    ///
    /// # Errors
    /// When the pattern is not symmetric, or naming an entry that cannot be recovered.
    pub fn from_symmetric_colors(
        pattern: &Pattern,
        colors: Vec<u32>,
        decompression: Decompression,
    ) -> Result<Self, ColoringError> {
        check_colors("unknowns", pattern.ncols(), &colors)?;
        let graph = Graph::symmetric(pattern)?;
        let recovery = recover(&graph, &colors, decompression, |a, b| (a as usize, b as usize))?;
        Ok(Self::from_parts(pattern, Partition::Symmetric, colors, Vec::new(), None, recovery))
    }

    /// A bidirectional coloring from given colors of the columns and of the rows (0 = neutral).
    ///
    /// # Errors
    /// Naming an entry that cannot be recovered.
    pub fn from_bidirectional_colors(
        pattern: &Pattern,
        column_colors: Vec<u32>,
        row_colors: Vec<u32>,
        decompression: Decompression,
    ) -> Result<Self, ColoringError> {
        check_colors("columns", pattern.ncols(), &column_colors)?;
        check_colors("rows", pattern.nrows(), &row_colors)?;
        let n = pattern.ncols();
        let shift = column_colors.iter().copied().max().unwrap_or(0);
        let both: Vec<u32> = (column_colors.iter().copied())
            .chain(row_colors.iter().map(|&c| if c == 0 { 0 } else { c + shift }))
            .collect();
        let graph = Graph::augmented(pattern);
        let recovery = recover(&graph, &both, decompression, |col, row| (row as usize - n, col as usize))?;
        Ok(Self::from_parts(pattern, Partition::Bidirectional, column_colors, row_colors, None, recovery))
    }
}

fn check_colors(what: &'static str, expected: usize, colors: &[u32]) -> Result<(), ColoringError> {
    if colors.len() != expected {
        return Err(ColoringError::ColorsLength { what, expected, found: colors.len() });
    }
    match colors.iter().find(|&&c| c as usize > expected) {
        Some(&color) => Err(ColoringError::ColorOutOfRange { color: color as usize, limit: expected }),
        None => Ok(()),
    }
}

/// Two columns that meet in a row; one alone when it has no color.
struct Meet {
    row: usize,
    first: usize,
    second: usize,
    color: usize,
}

impl Meet {
    fn of_columns(self) -> ColoringError {
        let Self { row, first, second, color } = self;
        match color {
            0 => ColoringError::Uncovered { row, col: first },
            _ => ColoringError::ColumnsMeet { row, first, second, color },
        }
    }

    fn of_rows(self) -> ColoringError {
        let Self { row: col, first, second, color } = self;
        match color {
            0 => ColoringError::Uncovered { row: first, col },
            _ => ColoringError::RowsMeet { col, first, second, color },
        }
    }
}

fn require_apart(rows: &Pattern, colors: &[u32]) -> Result<(), Meet> {
    let mut seen = vec![(NONE, 0); colors.len() + 1];
    for row in 0..rows.nrows() {
        for &col in rows.row(row) {
            let color = colors[col as usize] as usize;
            let (last_row, first) = std::mem::replace(&mut seen[color], (row as u32, col));
            if color == 0 {
                return Err(Meet { row, first: col as usize, second: col as usize, color });
            }
            if last_row == row as u32 {
                return Err(Meet { row, first: first as usize, second: col as usize, color });
            }
        }
    }
    Ok(())
}

/// The edges between each pair of colors, checked and split into stars or trees. `entry` names the entry of an edge.
fn recover(
    graph: &Graph,
    colors: &[u32],
    decompression: Decompression,
    entry: impl Fn(u32, u32) -> (usize, usize),
) -> Result<Recovery, ColoringError> {
    let uncovered = |v| ColoringError::Uncovered { row: v, col: v };
    if let Some(v) = (0..graph.n_vertices()).find(|&v| graph.diagonal[v] && colors[v] == 0) {
        return Err(uncovered(v));
    }
    let ends = graph.ends();
    let mut by_pair = Vec::with_capacity(ends.len());
    for (e, &[a, b]) in ends.iter().enumerate() {
        let (ca, cb) = (colors[a as usize], colors[b as usize]);
        if ca == cb {
            let (row, col) = entry(a, b);
            return Err(match ca {
                0 => ColoringError::Uncovered { row, col },
                _ => ColoringError::Adjacent { row, col, color: ca as usize },
            });
        }
        by_pair.push((ca.min(cb), ca.max(cb), e as u32));
    }
    by_pair.sort_unstable();
    let pairs = Pairs { colors, ends: &ends, by_pair: &by_pair };
    match decompression {
        Decompression::Direct => pairs.stars(graph.n_vertices(), entry).map(Recovery::Stars),
        Decompression::Substitution => {
            let (tree_of_edge, n_trees) = pairs.trees(graph.n_vertices(), entry)?;
            let mut trees = TreeSet::peel(graph, &tree_of_edge, n_trees);
            for tree in 0..n_trees {
                let at = trees.range(tree).start;
                if colors[trees.parent[at] as usize] == 0 {
                    // A single edge, read in the row of its neutral end.
                    std::mem::swap(&mut trees.leaf[at], &mut trees.parent[at]);
                }
            }
            Ok(Recovery::Trees(trees))
        }
    }
}

/// Edges sorted by the two colors they join.
struct Pairs<'a> {
    colors: &'a [u32],
    ends: &'a [[u32; 2]],
    by_pair: &'a [(u32, u32, u32)],
}

impl Pairs<'_> {
    /// Stars of a star coloring: between two colors, every edge has an end with no other edge.
    fn stars(
        &self,
        n_vertices: usize,
        entry: impl Fn(u32, u32) -> (usize, usize),
    ) -> Result<StarSet, ColoringError> {
        let mut stars = StarSet { star: vec![NONE; self.ends.len()], hub: Vec::new(), trivial: Vec::new() };
        let mut degree = vec![0u32; n_vertices];
        let mut star_of_hub = vec![NONE; n_vertices];
        for pair in self.by_pair.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
            self.count(pair, &mut degree);
            for &(_, _, e) in pair {
                let [a, b] = self.ends[e as usize];
                let (da, db) = (degree[a as usize], degree[b as usize]);
                let (row, col) = entry(a, b);
                if da > 1 && db > 1 {
                    return Err(ColoringError::NotDirect { row, col });
                }
                let trivial = da == 1 && db == 1;
                let hub = if da > 1 || (trivial && self.colors[b as usize] == 0) { a } else { b };
                if self.colors[hub as usize] == 0 {
                    return Err(ColoringError::Uncovered { row, col });
                }
                let star = &mut star_of_hub[hub as usize];
                if *star == NONE {
                    *star = stars.hub.len() as u32;
                    stars.hub.push(hub);
                    stars.trivial.push(trivial);
                }
                stars.star[e as usize] = *star;
            }
            for &(_, _, e) in pair {
                for v in self.ends[e as usize] {
                    degree[v as usize] = 0;
                    star_of_hub[v as usize] = NONE;
                }
            }
        }
        Ok(stars)
    }

    /// Tree of each edge of an acyclic coloring: between two colors there is no cycle.
    fn trees(
        &self,
        n_vertices: usize,
        entry: impl Fn(u32, u32) -> (usize, usize),
    ) -> Result<(Vec<u32>, usize), ColoringError> {
        let mut tree_of_edge = vec![NONE; self.ends.len()];
        let mut n_trees = 0;
        let mut degree = vec![0u32; n_vertices];
        let mut local = vec![0u32; n_vertices];
        for pair in self.by_pair.chunk_by(|x, y| (x.0, x.1) == (y.0, y.1)) {
            self.count(pair, &mut degree);
            // Vertices of this pair, numbered from 0.
            let mut n_local = 0;
            for v in pair.iter().flat_map(|&(_, _, e)| self.ends[e as usize]) {
                if degree[v as usize] != 0 {
                    if pair[0].0 == 0 && self.colors[v as usize] == 0 && degree[v as usize] > 1 {
                        let e = pair.iter().map(|p| self.ends[p.2 as usize]).find(|ends| ends.contains(&v));
                        let (row, col) = e.map_or((0, 0), |[a, b]| entry(a, b));
                        return Err(ColoringError::Uncovered { row, col });
                    }
                    degree[v as usize] = 0;
                    local[v as usize] = n_local;
                    n_local += 1;
                }
            }
            let mut components = UnionFind::new(n_local as usize);
            for &(_, _, e) in pair {
                let [a, b] = self.ends[e as usize];
                if !components.union(local[a as usize], local[b as usize]) {
                    let (row, col) = entry(a, b);
                    return Err(ColoringError::TwoColoredCycle { row, col });
                }
            }
            let (component, count) = components.numbered();
            for &(_, _, e) in pair {
                let [a, _] = self.ends[e as usize];
                tree_of_edge[e as usize] = n_trees + component[local[a as usize] as usize];
            }
            n_trees += count as u32;
        }
        Ok((tree_of_edge, n_trees as usize))
    }

    fn count(&self, pair: &[(u32, u32, u32)], degree: &mut [u32]) {
        for v in pair.iter().flat_map(|&(_, _, e)| self.ends[e as usize]) {
            degree[v as usize] += 1;
        }
    }
}
