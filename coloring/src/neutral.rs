//! Neutral colors: after a star or acyclic coloring, colors that no entry is read from become 0.
//!
//! Postprocessing of Gebremedhin, Tarafdar, Manne, Pothen 2007 (section 6) in the form of Montoison, Dalle,
//! Gebremedhin, "Revisiting sparse matrix coloring and bicoloring", arXiv 2505.07308 (2025).

use crate::acyclic::TreeSet;
use crate::graph::Graph;
use crate::star::StarSet;

/// Makes unused colors of a star coloring neutral; hubs of single edges move to the end that is used anyway.
pub(crate) fn neutralize_stars(graph: &Graph, colors: &mut [u32], stars: &mut StarSet) {
    let mut used = Used::by_diagonal(graph, colors);
    if used.all() {
        return;
    }
    for (&hub, _) in stars.hub.iter().zip(&stars.trivial).filter(|&(_, trivial)| !trivial) {
        used.mark(colors[hub as usize]);
    }
    let ends = graph.ends();
    let mut edge_of = vec![0u32; stars.n_stars()];
    for (e, &s) in stars.star.iter().enumerate() {
        edge_of[s as usize] = e as u32;
    }
    for (s, hub) in stars.hub.iter_mut().enumerate().filter(|&(s, _)| stars.trivial[s]) {
        let [a, b] = ends[edge_of[s] as usize];
        let spoke = a ^ b ^ *hub;
        if used.is_marked(colors[spoke as usize]) {
            *hub = spoke;
        } else {
            used.mark(colors[*hub as usize]);
        }
    }
    used.renumber(colors);
}

/// Makes unused colors of an acyclic coloring neutral; parents of single edges move to the end that is used anyway.
pub(crate) fn neutralize_trees(graph: &Graph, colors: &mut [u32], trees: &mut TreeSet) {
    let mut used = Used::by_diagonal(graph, colors);
    if used.all() {
        return;
    }
    for tree in 0..trees.n_trees() {
        let first = trees.range(tree).start;
        if trees.range(tree).len() > 1 {
            // The first parent of a star is its hub.
            used.mark(colors[trees.parent[first] as usize]);
            if !trees.is_star(tree) {
                used.mark(colors[trees.leaf[first] as usize]);
            }
        }
    }
    for tree in 0..trees.n_trees() {
        let range = trees.range(tree);
        if range.len() == 1 {
            let (leaf, parent) = (&mut trees.leaf[range.start], &mut trees.parent[range.start]);
            if used.is_marked(colors[*leaf as usize]) {
                std::mem::swap(leaf, parent);
            } else {
                used.mark(colors[*parent as usize]);
            }
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
