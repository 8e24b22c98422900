//! What follows from the elements of a mesh: unique edges, hinges, boundary, one-rings.
//!
//! Maps are only looked up, never walked: the order of every result is that of the elements.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::Error;
use crate::mesh::types::Mesh;

/// The outgoing half-edges of every vertex, in the order of the faces.
///
/// For `k` in `ptr[v]..ptr[v + 1]` the triangle `(v, nbr[k], opp[k])` is a face, oriented as the face is. On a closed
/// surface every neighbor stands exactly once; at a boundary vertex the last neighbor stands only in `opp`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneRing {
    /// Offsets, one more than vertices.
    pub ptr: Vec<i64>,
    /// The next corner of the face after the vertex.
    pub nbr: Vec<i64>,
    /// The corner after that.
    pub opp: Vec<i64>,
}

impl Mesh {
    /// Unique edges of segments, faces and tetrahedra: smaller vertex first, in the order they are first met.
    pub fn edges(&self) -> Vec<[i64; 2]> {
        let mut edges = Edges::default();
        for s in &self.segments {
            edges.add(s[0], s[1]);
        }
        for f in &self.faces {
            for k in 0..3 {
                edges.add(f[k], f[(k + 1) % 3]);
            }
        }
        for t in &self.tets {
            for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
                edges.add(t[a], t[b]);
            }
        }
        edges.list
    }

    /// Interior edges with the corners opposite them, `[p, q, r, s]`: `(p, q, r)` is the first face of the edge as it
    /// is oriented, `s` the remaining corner of the second. In the order in which second faces are met.
    ///
    /// # Errors
    /// An edge of more than two faces.
    pub fn hinges(&self) -> Result<Vec<[i64; 4]>, Error> {
        let mut sides: HashMap<[i64; 2], Side> = HashMap::new();
        let mut hinges = Vec::new();
        for (k, f) in self.faces.iter().enumerate() {
            for c in 0..3 {
                let (p, q, r) = (f[c], f[(c + 1) % 3], f[(c + 2) % 3]);
                match sides.entry([p.min(q), p.max(q)]) {
                    Entry::Vacant(v) => {
                        v.insert(Side::One([p, q, r]));
                    }
                    Entry::Occupied(mut o) => match *o.get() {
                        Side::One([p, q, first]) => {
                            hinges.push([p, q, first, r]);
                            o.insert(Side::Two);
                        }
                        Side::Two => {
                            let message = format!(
                                "edge ({p}, {q}) lies in more than two faces (the third: face {k}), counted from 0"
                            );
                            return Err(Error::Invalid(message));
                        }
                    },
                }
            }
        }
        Ok(hinges)
    }

    /// Edges of exactly one face, as that face is oriented, in the order of the faces.
    pub fn boundary_edges(&self) -> Vec<[i64; 2]> {
        let mut uses: HashMap<[i64; 2], usize> = HashMap::new();
        let sides = || self.faces.iter().flat_map(|f| (0..3).map(|c| [f[c], f[(c + 1) % 3]]));
        for [p, q] in sides() {
            *uses.entry([p.min(q), p.max(q)]).or_default() += 1;
        }
        sides().filter(|[p, q]| uses.get(&[*p.min(q), *p.max(q)]) == Some(&1)).collect()
    }

    /// The one-ring of every vertex.
    pub fn one_ring(&self) -> OneRing {
        let n = self.vertices.len();
        let mut ptr = vec![0_i64; n + 1];
        for &v in self.faces.iter().flatten() {
            ptr[v as usize + 1] += 1;
        }
        for v in 0..n {
            ptr[v + 1] += ptr[v];
        }
        let mut next = ptr.clone();
        let mut nbr = vec![0; 3 * self.faces.len()];
        let mut opp = nbr.clone();
        for f in &self.faces {
            for c in 0..3 {
                let slot = &mut next[f[c] as usize];
                nbr[*slot as usize] = f[(c + 1) % 3];
                opp[*slot as usize] = f[(c + 2) % 3];
                *slot += 1;
            }
        }
        OneRing { ptr, nbr, opp }
    }
}

/// Faces met so far at an edge.
enum Side {
    One([i64; 3]),
    Two,
}

#[derive(Default)]
struct Edges {
    seen: std::collections::HashSet<[i64; 2]>,
    list: Vec<[i64; 2]>,
}

impl Edges {
    fn add(&mut self, a: i64, b: i64) {
        let edge = [a.min(b), a.max(b)];
        if self.seen.insert(edge) {
            self.list.push(edge);
        }
    }
}
