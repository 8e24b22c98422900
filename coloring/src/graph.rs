//! Adjacency lists with numbered edges: the graph star and acyclic colorings work on.

use crate::error::ColoringError;
use crate::pattern::Pattern;

/// No vertex, edge, color or position.
pub(crate) const NONE: u32 = u32::MAX;

/// Undirected graph without loops; both directions of an edge share its number.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) ptr: Vec<u32>,
    pub(crate) neighbors: Vec<u32>,
    pub(crate) edges: Vec<u32>,
    pub(crate) n_edges: usize,
    /// For each vertex: is its diagonal entry stored? (Never in an augmented graph.)
    pub(crate) diagonal: Vec<bool>,
}

impl Graph {
    /// Adjacency graph of a symmetric pattern; edges are numbered by the row sweep of the upper triangle.
    pub(crate) fn symmetric(pattern: &Pattern) -> Result<Self, ColoringError> {
        pattern.require_symmetric()?;
        let n = pattern.nrows();
        let mut ptr = Vec::with_capacity(n + 1);
        let mut neighbors = Vec::with_capacity(pattern.nnz());
        let mut diagonal = vec![false; n];
        ptr.push(0);
        for (i, stored) in diagonal.iter_mut().enumerate() {
            let row = pattern.row(i);
            match row.binary_search(&(i as u32)) {
                Ok(at) => {
                    *stored = true;
                    neighbors.extend_from_slice(&row[..at]);
                    neighbors.extend_from_slice(&row[at + 1..]);
                }
                Err(_) => neighbors.extend_from_slice(row),
            }
            ptr.push(neighbors.len() as u32);
        }
        // (i, j) with i < j takes a fresh number; row j meets its smaller neighbors in the same order, so (j, i) is
        // the next free place of row j.
        let mut edges = vec![0u32; neighbors.len()];
        let mut next = ptr[..n].to_vec();
        let mut n_edges = 0;
        for i in 0..n {
            for k in next[i]..ptr[i + 1] {
                edges[k as usize] = n_edges;
                let slot = &mut next[neighbors[k as usize] as usize];
                edges[*slot as usize] = n_edges;
                *slot += 1;
                n_edges += 1;
            }
        }
        Ok(Self { ptr, neighbors, edges, n_edges: n_edges as usize, diagonal })
    }

    /// Bipartite graph of any pattern as one graph: columns are the vertices `0..ncols`, rows `ncols..ncols + nrows`,
    /// edge `k` is entry `k` (the augmented matrix of Montoison, Dalle and Gebremedhin 2025).
    pub(crate) fn augmented(pattern: &Pattern) -> Self {
        let (transposed, map) = pattern.transpose_with_map();
        let (m, n, nnz) = (pattern.nrows(), pattern.ncols(), pattern.nnz());
        let mut ptr = Vec::with_capacity(m + n + 1);
        ptr.extend(transposed.row_ptr().iter().map(|&p| p as u32));
        ptr.extend(pattern.row_ptr()[1..].iter().map(|&p| (p + nnz) as u32));
        let mut neighbors = Vec::with_capacity(2 * nnz);
        neighbors.extend(transposed.col_idx().iter().map(|&i| i + n as u32));
        neighbors.extend_from_slice(pattern.col_idx());
        let mut edges = map;
        edges.extend(0..nnz as u32);
        Self { ptr, neighbors, edges, n_edges: nnz, diagonal: vec![false; m + n] }
    }

    pub(crate) fn n_vertices(&self) -> usize {
        self.diagonal.len()
    }

    pub(crate) fn neighbors(&self, v: usize) -> &[u32] {
        &self.neighbors[self.range(v)]
    }

    /// Neighbors of `v` with the number of the edge to each.
    pub(crate) fn incident(&self, v: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        let range = self.range(v);
        self.neighbors[range.clone()].iter().map(|&w| w as usize).zip(self.edges[range].iter().copied())
    }

    pub(crate) fn range(&self, v: usize) -> std::ops::Range<usize> {
        self.ptr[v] as usize..self.ptr[v + 1] as usize
    }

    /// Both ends of each edge, the smaller one first.
    pub(crate) fn ends(&self) -> Vec<[u32; 2]> {
        let mut ends = vec![[0; 2]; self.n_edges];
        for v in 0..self.n_vertices() {
            for (w, e) in self.incident(v) {
                if v < w {
                    ends[e as usize] = [v as u32, w as u32];
                }
            }
        }
        ends
    }
}
