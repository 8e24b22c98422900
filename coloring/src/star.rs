//! Star coloring of a graph, keeping the two-colored stars that tell where each entry can be read.
//!
//! Gebremedhin, Tarafdar, Manne, Pothen, "New acyclic and star coloring algorithms with application to computing
//! Hessians", SIAM J. Sci. Comput. 29 (2007), Algorithm 4.1. The colors are those of the published algorithm; the
//! inner loop over the neighbors of neighbors is replaced by the sets of `neighbor_colors.rs`.

use crate::graph::{Graph, NONE};
use crate::neighbor_colors::{LargeForbidden, NeighborColors};

/// Two-colored stars of a star coloring: each edge belongs to one star, and an entry is read from the compressed
/// product of its star's hub, in the row of the other end.
///
/// Vertices are the unknowns of a symmetric pattern; in a bidirectional coloring they are the columns, then the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarSet {
    pub(crate) star: Vec<u32>,
    pub(crate) hub: Vec<u32>,
    pub(crate) trivial: Vec<bool>,
}

impl StarSet {
    /// Number of stars.
    pub fn n_stars(&self) -> usize {
        self.hub.len()
    }

    /// Star of each edge. Edges of a symmetric pattern are numbered by a row sweep of its upper triangle without the
    /// diagonal; those of a bidirectional coloring are the entries in row order.
    pub fn star_of_edge(&self) -> &[u32] {
        &self.star
    }

    /// Hub of each star: the vertex all its edges share.
    pub fn hubs(&self) -> &[u32] {
        &self.hub
    }

    /// Whether a star is a single edge, whose hub was free to choose.
    pub fn is_trivial(&self, star: usize) -> bool {
        self.trivial.get(star).copied().unwrap_or(false)
    }

    pub(crate) fn hub_of_edge(&self, edge: u32) -> u32 {
        self.hub[self.star[edge as usize] as usize]
    }
}

/// Colors (from 1) of the vertices visited in `order`, and their stars.
pub(crate) fn star_coloring(graph: &Graph, order: &[u32]) -> (Vec<u32>, StarSet) {
    let mut state = State {
        near: NeighborColors::new(graph),
        large: LargeForbidden::default(),
        star: vec![NONE; graph.n_edges],
        ends: Vec::new(),
        trivial: Vec::new(),
    };
    for &v in order {
        let v = v as usize;
        let color = state.smallest_allowed(graph, v);
        state.near.set_color(v, color);
        for (w, e) in graph.incident(v) {
            state.join(v, w, e);
        }
    }
    let State { near, star, ends, trivial, .. } = state;
    let hub = ends.into_iter().map(|[hub, _]| hub).collect();
    (near.into_colors(), StarSet { star, hub, trivial })
}

struct State<'g> {
    near: NeighborColors<'g>,
    large: LargeForbidden,
    star: Vec<u32>,
    /// Hub of each star, and the spoke of its first edge.
    ends: Vec<[u32; 2]>,
    trivial: Vec<bool>,
}

impl State<'_> {
    fn smallest_allowed(&mut self, graph: &Graph, v: usize) -> u32 {
        let colored = || graph.neighbors(v).iter().map(|&w| w as usize);
        let mut word = self.near.word(v);
        for w in colored() {
            if self.near.color(w) != 0 {
                word |= self.near.star_word(v, w);
            }
        }
        if word != u64::MAX {
            return word.trailing_ones() + 1;
        }
        for color in self.near.large_colors(v) {
            self.large.forbid(color, v);
        }
        for w in colored() {
            if self.near.color(w) != 0 {
                for color in self.near.star_large(v, w) {
                    self.large.forbid(color, v);
                }
            }
        }
        self.large.smallest_allowed(v)
    }

    /// Puts edge `e` between the newly colored `v` and its neighbor `w` into a star, and tells `w` the color of `v`.
    fn join(&mut self, v: usize, w: usize, e: u32) {
        let (color_v, color_w) = (self.near.color(v), self.near.color(w));
        let earlier = self.near.add(w, color_v, e);
        if color_w == 0 {
            return;
        }
        if let Some(earlier) = earlier {
            // `w` already has a neighbor x of this color: `w` is the hub, x and `v` are spokes.
            let s = self.star[earlier as usize] as usize;
            if self.trivial[s] {
                let [a, b] = self.ends[s];
                let x = a ^ b ^ w as u32;
                self.near.set_hub(x as usize, color_w);
                self.ends[s] = [w as u32, x];
                self.trivial[s] = false;
            }
            self.star[e as usize] = s as u32;
            self.near.set_hub(v, color_w);
        } else if self.near.is_repeated(v, color_w) {
            // `v` has several neighbors of w's color: `v` is the hub of their common star, kept at the first edge.
            let first = self.near.edge(v, color_w).unwrap_or(e) as usize;
            if self.star[first] == NONE {
                self.star[first] = self.open([v as u32, w as u32], false);
            }
            self.star[e as usize] = self.star[first];
            self.near.set_hub(w, color_v);
        } else {
            self.star[e as usize] = self.open([v.max(w) as u32, v.min(w) as u32], true);
        }
    }

    fn open(&mut self, ends: [u32; 2], trivial: bool) -> u32 {
        self.ends.push(ends);
        self.trivial.push(trivial);
        (self.ends.len() - 1) as u32
    }
}
