//! Second-order pairs: for every value the products of index sets that its Hessian consists of, as a shared graph.
//!
//! # Method
//! With partials of the operations, the Hessian of a function is a sum over its nonlinear operations `v = op(a, b)`:
//! `sum of v_bar * (d2 op / da db) * grad(a) grad(b)^T`. So its pattern is the union, over the operations whose adjoint is not
//! structurally zero, of products of the index sets of arguments. A value's handle names a node: at most one product of its own
//! and two earlier nodes that it inherits from. What cannot reach a result is never visited.
//!
//! # References
//! Walther, "Computing sparse Hessians with automatic differentiation", ACM TOMS 34 (2008); Gower and Mello, "Computing the
//! sparsity pattern of Hessians using automatic differentiation", ACM TOMS 40 (2014).

use super::csr::Pattern;
use super::error::DetectError;
use super::sets::{EMPTY, Sets};

/// No pairs.
pub(super) const NONE: u32 = 0;

const CACHE: usize = 1 << 12;
const LIMIT: usize = 1 << 31;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Node {
    left: u32,
    right: u32,
    rows: u32,
    cols: u32,
}

/// Pair sets by handle.
pub(super) struct Pairs {
    /// Node 0 is empty; operands come before their users.
    nodes: Vec<Node>,
    /// Recent nodes, by hash.
    cache: Vec<u32>,
}

impl Pairs {
    /// No pairs yet.
    pub(super) fn new() -> Pairs {
        Pairs { nodes: vec![Node::default()], cache: vec![NONE; CACHE] }
    }

    /// The pairs of two nodes together.
    pub(super) fn join(&mut self, a: u32, b: u32) -> u32 {
        if a == b || b == NONE {
            return a;
        }
        if a == NONE {
            return b;
        }
        self.node(a, b, EMPTY, EMPTY)
    }

    /// The pairs of two nodes and the product of two index sets.
    pub(super) fn product(&mut self, a: u32, b: u32, rows: u32, cols: u32) -> u32 {
        if rows == EMPTY || cols == EMPTY { self.join(a, b) } else { self.node(a, b, rows, cols) }
    }

    fn node(&mut self, a: u32, b: u32, rows: u32, cols: u32) -> u32 {
        let (left, right) = if a == b { (NONE, b) } else { (a.min(b), a.max(b)) };
        let node = Node { left, right, rows: rows.min(cols), cols: rows.max(cols) };
        let words =
            [u64::from(left) << 32 | u64::from(right), u64::from(node.rows) << 32 | u64::from(node.cols)];
        let hash = words
            .iter()
            .fold(0_u64, |hash, &w| (hash.rotate_left(31) ^ w).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let slot = (hash >> 40) as usize % CACHE;
        let known = self.cache[slot];
        if self.nodes[known as usize] == node {
            return known;
        }
        let id = self.nodes.len() as u32;
        self.nodes.push(node);
        self.cache[slot] = id;
        id
    }

    /// True when there are more nodes than handles.
    pub(super) fn overflowed(&self) -> bool {
        self.nodes.len() >= LIMIT
    }

    /// The symmetric pattern of everything the roots reach.
    ///
    /// # Errors
    /// [`DetectError::TooLarge`].
    pub(super) fn pattern(
        &self,
        roots: &[u32],
        sets: &mut Sets,
        columns: usize,
    ) -> Result<Pattern, DetectError> {
        let mut reached = vec![false; self.nodes.len()];
        for &root in roots {
            reached[root as usize] = true;
        }
        let mut products = Vec::new();
        for at in (1..self.nodes.len()).rev() {
            if reached[at] {
                let node = self.nodes[at];
                reached[node.left as usize] = true;
                reached[node.right as usize] = true;
                if node.rows != EMPTY {
                    products.push((node.rows, node.cols));
                }
            }
        }
        // For every column the sets it is multiplied with, by counting sort.
        let mut ptr = vec![0_usize; columns + 1];
        for &(a, b) in &products {
            for set in distinct(a, b) {
                for &row in sets.columns(set) {
                    ptr[row as usize + 1] += 1;
                }
            }
        }
        for at in 0..columns {
            ptr[at + 1] += ptr[at];
        }
        if ptr[columns] >= LIMIT || sets.overflowed() {
            return Err(DetectError::TooLarge);
        }
        let mut next = ptr.clone();
        let mut partners = vec![EMPTY; ptr[columns]];
        for &(a, b) in &products {
            for (set, other) in distinct(a, b).zip([b, a]) {
                for &row in sets.columns(set) {
                    let slot = &mut next[row as usize];
                    partners[*slot] = other;
                    *slot += 1;
                }
            }
        }
        let mut pattern = Pattern { nrows: columns, ncols: columns, row_ptr: vec![0], col_idx: Vec::new() };
        for row in 0..columns {
            sets.append_union(&partners[ptr[row]..ptr[row + 1]], &mut pattern.col_idx);
            if pattern.col_idx.len() >= LIMIT {
                return Err(DetectError::TooLarge);
            }
            pattern.row_ptr.push(pattern.col_idx.len());
        }
        Ok(pattern)
    }
}

/// Two handles, or one where they are equal.
fn distinct(a: u32, b: u32) -> impl Iterator<Item = u32> {
    [a].into_iter().chain((a != b).then_some(b))
}
