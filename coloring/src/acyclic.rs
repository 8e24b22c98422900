//! Acyclic coloring of a graph, keeping the two-colored trees in the order in which substitution solves them.
//!
//! Gebremedhin, Tarafdar, Manne, Pothen, "New acyclic and star coloring algorithms with application to computing
//! Hessians", SIAM J. Sci. Comput. 29 (2007), Algorithm 3.1. Two observations make it cheaper without changing a
//! color. Neighbors `w` and `q` of `v` close a two-colored cycle with color `c` only if they have the same color and
//! their edges to color `c` are in one tree; so neighbors whose color no other neighbor has are never looked at. And all
//! edges of `w` to color `c` are in one tree, so one of them stands for all (the sets of `neighbor_colors.rs`).

use crate::graph::{Graph, NONE};
use crate::neighbor_colors::{LargeForbidden, NeighborColors};
use crate::union_find::UnionFind;

/// Two-colored trees of an acyclic coloring, each as a list of (leaf, parent) edges in solving order: when an edge is
/// reached, it is the only one left at its leaf.
///
/// Vertices are the unknowns of a symmetric pattern; in a bidirectional coloring they are the columns, then the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeSet {
    pub(crate) ptr: Vec<u32>,
    pub(crate) edge: Vec<u32>,
    pub(crate) leaf: Vec<u32>,
    pub(crate) parent: Vec<u32>,
    pub(crate) is_star: Vec<bool>,
}

impl TreeSet {
    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.is_star.len()
    }

    /// Whether at most one vertex of the tree has more than one edge.
    pub fn is_star(&self, tree: usize) -> bool {
        self.is_star.get(tree).copied().unwrap_or(false)
    }

    /// The (leaf, parent) pairs of a tree in solving order; empty when the tree does not exist.
    pub fn pairs(&self, tree: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let range = if tree < self.n_trees() { self.range(tree) } else { 0..0 };
        self.leaf[range.clone()].iter().copied().zip(self.parent[range].iter().copied())
    }

    pub(crate) fn range(&self, tree: usize) -> std::ops::Range<usize> {
        self.ptr[tree] as usize..self.ptr[tree + 1] as usize
    }

    /// Trees from the tree each edge belongs to (`0..n_trees`), peeling leaves with a queue: the last pair is at the
    /// center, which keeps the chains of subtractions short.
    pub(crate) fn peel(graph: &Graph, tree_of_edge: &[u32], n_trees: usize) -> Self {
        let ends = graph.ends();
        let mut ptr = vec![0u32; n_trees + 1];
        for &t in tree_of_edge {
            ptr[t as usize + 1] += 1;
        }
        for t in 0..n_trees {
            ptr[t + 1] += ptr[t];
        }
        let mut next = ptr[..n_trees].to_vec();
        let mut edge = vec![0u32; tree_of_edge.len()];
        for (e, &t) in tree_of_edge.iter().enumerate() {
            edge[next[t as usize] as usize] = e as u32;
            next[t as usize] += 1;
        }
        let mut trees = Self {
            leaf: vec![0; edge.len()],
            parent: vec![0; edge.len()],
            edge,
            is_star: Vec::with_capacity(n_trees),
            ptr,
        };
        // Degree of each vertex in the tree at hand and the exclusive or of its edges: at a leaf, its only edge.
        let mut degree = vec![0u32; graph.n_vertices()];
        let mut mix = vec![0u32; graph.n_vertices()];
        let mut queue: Vec<u32> = Vec::new();
        for t in 0..n_trees {
            let range = trees.range(t);
            if let [e] = trees.edge[range.clone()] {
                // The peeling below would give the same; most trees are single edges.
                let [a, b] = ends[e as usize];
                trees.leaf[range.start] = a;
                trees.parent[range.start] = b;
                trees.is_star.push(true);
                continue;
            }
            for &e in &trees.edge[range.clone()] {
                for v in ends[e as usize] {
                    degree[v as usize] += 1;
                    mix[v as usize] ^= e;
                }
            }
            queue.clear();
            let mut inner = 0;
            for &e in &trees.edge[range.clone()] {
                let [a, b] = ends[e as usize].map(|v| degree[v as usize]);
                let [va, vb] = ends[e as usize];
                if a == 1 {
                    queue.push(va);
                }
                if b == 1 {
                    queue.push(vb);
                }
                inner += usize::from(a > 1 && b > 1);
            }
            trees.is_star.push(inner == 0);
            queue.sort_unstable();
            let mut head = 0;
            for k in range {
                // A tree with edges left has a leaf left, so the queue outlasts the edges.
                while head < queue.len() && degree[queue[head] as usize] == 0 {
                    head += 1;
                }
                let Some(&v) = queue.get(head) else { break };
                head += 1;
                let e = mix[v as usize];
                let [a, b] = ends[e as usize];
                let p = a ^ b ^ v;
                trees.edge[k] = e;
                trees.leaf[k] = v;
                trees.parent[k] = p;
                degree[v as usize] = 0;
                mix[v as usize] = 0;
                mix[p as usize] ^= e;
                degree[p as usize] -= 1;
                if degree[p as usize] == 1 {
                    queue.push(p);
                }
            }
        }
        trees
    }
}

/// Colors (from 1) of the vertices visited in `order`, and their trees.
pub(crate) fn acyclic_coloring(graph: &Graph, order: &[u32]) -> (Vec<u32>, TreeSet) {
    let (colors, mut forest) = acyclic_forest(graph, order);
    let (tree_of_edge, n_trees) = forest.numbered();
    (colors, TreeSet::peel(graph, &tree_of_edge, n_trees))
}

/// The coloring with its trees still as a partition of the edges.
pub(crate) fn acyclic_forest(graph: &Graph, order: &[u32]) -> (Vec<u32>, UnionFind) {
    let mut state = State {
        near: NeighborColors::new(graph),
        large: LargeForbidden::default(),
        forest: UnionFind::new(graph.n_edges),
        visited: vec![NONE; graph.n_edges],
        paired: Vec::new(),
    };
    for &v in order {
        let v = v as usize;
        let color = state.smallest_allowed(graph, v);
        state.near.set_color(v, color);
        for (w, e) in graph.incident(v) {
            state.join(v, w, e);
        }
    }
    (state.near.into_colors(), state.forest)
}

struct State<'g> {
    near: NeighborColors<'g>,
    large: LargeForbidden,
    forest: UnionFind,
    /// Last vertex that met the tree with this root.
    visited: Vec<u32>,
    /// Colored neighbors of the vertex at hand that share their color with another one.
    paired: Vec<u32>,
}

impl State<'_> {
    fn smallest_allowed(&mut self, graph: &Graph, v: usize) -> u32 {
        self.paired.clear();
        let (mut seen, mut twice) = (0, 0);
        for &w in graph.neighbors(v) {
            let color = self.near.color(w as usize);
            if color != 0 && self.near.is_repeated(v, color) {
                self.paired.push(w);
                let word = self.near.word(w as usize);
                twice |= seen & word;
                seen |= word;
            }
        }
        let mut free = !self.near.word(v);
        while free != 0 {
            let color = free.trailing_zeros() + 1;
            // A color that only one of the paired neighbors has around it closes no cycle.
            if twice & (free & free.wrapping_neg()) == 0 || !self.closes_cycle(v, color) {
                return color;
            }
            free &= free - 1;
        }
        for color in self.near.large_colors(v) {
            self.large.forbid(color, v);
        }
        let mut color = 65;
        while self.large.is_forbidden(color, v) || self.closes_cycle(v, color) {
            color += 1;
        }
        color
    }

    /// Would `v` in this color, which no neighbor has, close a two-colored cycle?
    fn closes_cycle(&mut self, v: usize, color: u32) -> bool {
        for &w in &self.paired {
            if let Some(edge) = self.near.edge(w as usize, color) {
                // The tree is that of `color` and w's color, so a second visit comes from another neighbor of w's color.
                let tree = self.forest.find(edge) as usize;
                if self.visited[tree] == v as u32 {
                    return true;
                }
                self.visited[tree] = v as u32;
            }
        }
        false
    }

    /// Puts edge `e` between the newly colored `v` and its neighbor `w` into a tree, and tells `w` the color of `v`.
    fn join(&mut self, v: usize, w: usize, e: u32) {
        let (color_v, color_w) = (self.near.color(v), self.near.color(w));
        let earlier = self.near.add(w, color_v, e);
        if color_w == 0 {
            return;
        }
        if let Some(earlier) = earlier {
            self.forest.union(e, earlier);
        }
        if self.near.is_repeated(v, color_w)
            && let Some(first) = self.near.edge(v, color_w)
        {
            self.forest.union(e, first);
        }
    }
}
