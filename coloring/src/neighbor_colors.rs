//! For each vertex the set of its neighbors' colors with one edge to each: what makes star and acyclic coloring cheap.
//!
//! The published algorithms walk over the neighbors of the neighbors. All they ask there is "does `w` have a neighbor
//! of color `c`, and over which edge", so the answer is kept: colors 1 to 64 in one machine word, larger ones in a
//! sorted list, and forbidding the colors around a neighbor is one bitwise or.

use crate::graph::{Graph, NONE};

const REPEATED: u32 = 1 << 31;
const HUB: u32 = 1 << 30;
const COLOR: u32 = HUB - 1;

/// What is known of one vertex; bit `c - 1` stands for color `c` up to 64.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Colors of the neighbors.
    colors: u64,
    /// Of these, colors that two or more neighbors have.
    repeated: u64,
    /// Of these, colors whose edge leads to the hub of a star (star coloring only).
    hubs: u64,
    /// Color of the vertex itself, 0 while it has none.
    color: u32,
    /// Number of different colors around it.
    len: u32,
}

/// Colors around each vertex of a graph, updated as vertices get their color.
#[derive(Debug)]
pub(crate) struct NeighborColors<'g> {
    graph: &'g Graph,
    cells: Vec<Cell>,
    /// Colors around a vertex, ascending, in the place of its adjacency list; flags in the two top bits (above 64 only).
    colors: Vec<u32>,
    /// The first edge found to each of these colors.
    edges: Vec<u32>,
}

fn bit(color: u32) -> u64 {
    1 << (color - 1)
}

fn is_small(color: u32) -> bool {
    color <= 64
}

impl<'g> NeighborColors<'g> {
    pub(crate) fn new(graph: &'g Graph) -> Self {
        let slots = graph.neighbors.len();
        Self {
            graph,
            cells: vec![Cell::default(); graph.n_vertices()],
            colors: vec![0; slots],
            edges: vec![0; slots],
        }
    }

    pub(crate) fn color(&self, v: usize) -> u32 {
        self.cells[v].color
    }

    pub(crate) fn into_colors(self) -> Vec<u32> {
        self.cells.iter().map(|cell| cell.color).collect()
    }

    /// Colors up to 64 around `v`.
    pub(crate) fn word(&self, v: usize) -> u64 {
        self.cells[v].colors
    }

    /// Colors up to 64 around `w` that `v` may not have because of its neighbor `w`: all when `v` has two neighbors of
    /// `w`'s color, otherwise only those of hubs (GTMP 2007, Alg. 4.1, lines 5 to 14).
    pub(crate) fn star_word(&self, v: usize, w: usize) -> u64 {
        if self.is_repeated(v, self.cells[w].color) { self.cells[w].colors } else { self.cells[w].hubs }
    }

    /// The same for the colors above 64.
    pub(crate) fn star_large(&self, v: usize, w: usize) -> impl Iterator<Item = u32> + '_ {
        let all = self.is_repeated(v, self.cells[w].color);
        self.large(w).iter().filter(move |&&c| all || c & HUB != 0).map(|c| c & COLOR)
    }

    /// Colors above 64 around `v`.
    pub(crate) fn large_colors(&self, v: usize) -> impl Iterator<Item = u32> + '_ {
        self.large(v).iter().map(|c| c & COLOR)
    }

    /// The first edge by which `v` got a neighbor of this color.
    pub(crate) fn edge(&self, v: usize, color: u32) -> Option<u32> {
        self.slot(v, color).ok().map(|slot| self.edges[slot])
    }

    /// Whether two neighbors of `v` have this color.
    pub(crate) fn is_repeated(&self, v: usize, color: u32) -> bool {
        if is_small(color) {
            self.cells[v].repeated & bit(color) != 0
        } else {
            self.slot(v, color).is_ok_and(|slot| self.colors[slot] & REPEATED != 0)
        }
    }

    /// Notes that the neighbor of `v` with this color is the hub of the star of the edge between them.
    pub(crate) fn set_hub(&mut self, v: usize, color: u32) {
        if is_small(color) {
            self.cells[v].hubs |= bit(color);
        } else if let Ok(slot) = self.slot(v, color) {
            self.colors[slot] |= HUB;
        }
    }

    /// Gives `v` its color; the neighbors learn it by [`NeighborColors::add`].
    pub(crate) fn set_color(&mut self, v: usize, color: u32) {
        self.cells[v].color = color;
    }

    /// Notes that the neighbor of `w` over `edge` now has `color`; returns the edge to an earlier neighbor of that color.
    pub(crate) fn add(&mut self, w: usize, color: u32, edge: u32) -> Option<u32> {
        match self.slot(w, color) {
            Ok(slot) => {
                if is_small(color) {
                    self.cells[w].repeated |= bit(color);
                } else {
                    self.colors[slot] |= REPEATED;
                }
                Some(self.edges[slot])
            }
            Err(slot) => {
                let cell = &mut self.cells[w];
                let end = self.graph.ptr[w] as usize + cell.len as usize;
                cell.len += 1;
                if is_small(color) {
                    cell.colors |= bit(color);
                }
                if slot < end {
                    self.colors.copy_within(slot..end, slot + 1);
                    self.edges.copy_within(slot..end, slot + 1);
                }
                self.colors[slot] = color;
                self.edges[slot] = edge;
                None
            }
        }
    }

    fn large(&self, v: usize) -> &[u32] {
        let cell = &self.cells[v];
        let start = self.graph.ptr[v] as usize;
        &self.colors[start + cell.colors.count_ones() as usize..start + cell.len as usize]
    }

    /// Where a color is, or would be, in the list of `v`.
    fn slot(&self, v: usize, color: u32) -> Result<usize, usize> {
        let cell = &self.cells[v];
        let start = self.graph.ptr[v] as usize;
        if is_small(color) {
            let slot = start + (cell.colors & (bit(color) - 1)).count_ones() as usize;
            if cell.colors & bit(color) != 0 { Ok(slot) } else { Err(slot) }
        } else {
            let first = start + cell.colors.count_ones() as usize;
            self.large(v)
                .binary_search_by_key(&color, |c| c & COLOR)
                .map(|k| first + k)
                .map_err(|k| first + k)
        }
    }
}

/// Colors above 64 forbidden to the vertex at hand: `stamps[c - 65]` is the vertex for which `c` was last forbidden.
#[derive(Debug, Default)]
pub(crate) struct LargeForbidden {
    stamps: Vec<u32>,
}

impl LargeForbidden {
    pub(crate) fn forbid(&mut self, color: u32, vertex: usize) {
        let at = color as usize - 65;
        if at >= self.stamps.len() {
            self.stamps.resize(at + 1, NONE);
        }
        self.stamps[at] = vertex as u32;
    }

    pub(crate) fn is_forbidden(&self, color: u32, vertex: usize) -> bool {
        self.stamps.get(color as usize - 65).is_some_and(|&s| s == vertex as u32)
    }

    pub(crate) fn smallest_allowed(&self, vertex: usize) -> u32 {
        let forbidden = self.stamps.iter().take_while(|&&s| s == vertex as u32).count();
        65 + forbidden as u32
    }
}
