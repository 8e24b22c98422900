//! Neutral colors: after a star or acyclic coloring, colors that no entry is read from become 0.
//!
//! Postprocessing of Gebremedhin, Tarafdar, Manne, Pothen 2007 (section 6) in the form of Montoison, Dalle,
//! Gebremedhin, "Revisiting sparse matrix coloring and bicoloring", arXiv 2505.07308 (2025): hubs of stars with several
//! edges, both colors of deeper trees and colors on the diagonal are needed; an edge alone in its star or tree needs the
//! color of one of its ends. Two things are done better. In a bidirectional coloring a color may be needed by rows and
//! not by columns, so the two sides have colors of their own here. And the single edges choose their ends by a greedy
//! vertex cover of the graph of the colors they join, instead of one after the other.

use crate::acyclic::TreeSet;
use crate::graph::Graph;
use crate::star::StarSet;

/// Gives the vertices from `n_columns` on colors of their own.
pub(crate) fn separate_sides(colors: &mut [u32], n_columns: usize) {
    let shift = colors.iter().copied().max().unwrap_or(0);
    for color in &mut colors[n_columns..] {
        *color += shift;
    }
}

/// Makes unused colors of a star coloring neutral, and every hub a vertex of a used color.
pub(crate) fn neutralize_stars(graph: &Graph, colors: &mut [u32], stars: &mut StarSet) {
    let mut used = Used::by_diagonal(graph, colors);
    if used.all() {
        return;
    }
    let ends = graph.ends();
    let mut singles = Vec::new();
    for (&s, &[a, b]) in stars.star.iter().zip(&ends) {
        if stars.trivial[s as usize] {
            singles.push([colors[a as usize], colors[b as usize]]);
        } else {
            used.mark(colors[stars.hub[s as usize] as usize]);
        }
    }
    used.cover(&singles);
    for (&s, &[a, b]) in stars.star.iter().zip(&ends) {
        let hub = &mut stars.hub[s as usize];
        if !used.is_marked(colors[*hub as usize]) {
            *hub ^= a ^ b;
        }
    }
    used.renumber(colors);
}

/// Makes unused colors of an acyclic coloring neutral, and every parent a vertex of a used color.
pub(crate) fn neutralize_trees(graph: &Graph, colors: &mut [u32], trees: &mut TreeSet) {
    let mut used = Used::by_diagonal(graph, colors);
    if used.all() {
        return;
    }
    let mut singles = Vec::new();
    for tree in 0..trees.n_trees() {
        let range = trees.range(tree);
        let pair = [trees.leaf[range.start], trees.parent[range.start]].map(|v| colors[v as usize]);
        if range.len() == 1 {
            singles.push(pair);
        } else {
            // The first parent of a star is its hub.
            used.mark(pair[1]);
            if !trees.is_star(tree) {
                used.mark(pair[0]);
            }
        }
    }
    used.cover(&singles);
    for tree in 0..trees.n_trees() {
        let first = trees.range(tree).start;
        if !used.is_marked(colors[trees.parent[first] as usize]) {
            std::mem::swap(&mut trees.leaf[first], &mut trees.parent[first]);
        }
    }
    used.renumber(colors);
}

/// Which colors some entry is read from.
struct Used {
    marks: Vec<bool>,
}

impl Used {
    fn by_diagonal(graph: &Graph, colors: &[u32]) -> Self {
        let n_colors = colors.iter().copied().max().unwrap_or(0) as usize;
        let mut marks = vec![false; n_colors + 1];
        marks[0] = true;
        for (&color, _) in colors.iter().zip(&graph.diagonal).filter(|&(_, stored)| *stored) {
            marks[color as usize] = true;
        }
        Self { marks }
    }

    fn all(&self) -> bool {
        self.marks.iter().all(|&m| m)
    }

    fn mark(&mut self, color: u32) {
        self.marks[color as usize] = true;
    }

    fn is_marked(&self, color: u32) -> bool {
        self.marks[color as usize]
    }

    /// Marks one color of each pair, taking again and again the color in most different pairs without a mark.
    fn cover(&mut self, pairs: &[[u32; 2]]) {
        let open = pairs.iter().filter(|pair| !pair.iter().any(|&c| self.is_marked(c)));
        let mut open: Vec<[u32; 2]> = open.flat_map(|&[a, b]| [[a, b], [b, a]]).collect();
        open.sort_unstable();
        open.dedup();
        let mut partners = vec![Vec::new(); self.marks.len()];
        for [a, b] in open {
            partners[a as usize].push(b);
        }
        let mut left: Vec<usize> = partners.iter().map(Vec::len).collect();
        // Ties go to the larger color: later colors are on fewer vertices, and on rows rather than columns.
        while let Some((color, _)) = left.iter().enumerate().filter(|&(_, &n)| n > 0).max_by_key(|&(_, &n)| n)
        {
            self.marks[color] = true;
            left[color] = 0;
            for &partner in &partners[color] {
                left[partner as usize] = left[partner as usize].saturating_sub(1);
            }
        }
    }

    /// Unused colors become 0, the others keep their order without gaps.
    fn renumber(&self, colors: &mut [u32]) {
        let mut next = 0;
        let new: Vec<u32> = (self.marks.iter().enumerate())
            .map(|(color, &used)| {
                next += u32::from(used && color != 0);
                if used && color != 0 { next } else { 0 }
            })
            .collect();
        for color in colors {
            *color = new[*color as usize];
        }
    }
}
