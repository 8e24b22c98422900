//! Disjoint sets of small integers, by rank with path halving.

use crate::graph::NONE;

/// A partition of `0..n`.
#[derive(Debug, Clone)]
pub(crate) struct UnionFind {
    parent: Vec<u32>,
    rank: Vec<u8>,
}

impl UnionFind {
    pub(crate) fn new(n: usize) -> Self {
        Self { parent: (0..n as u32).collect(), rank: vec![0; n] }
    }

    pub(crate) fn find(&mut self, mut x: u32) -> u32 {
        loop {
            let up = self.parent[x as usize];
            if up == x {
                return x;
            }
            let next = self.parent[up as usize];
            self.parent[x as usize] = next;
            x = next;
        }
    }

    /// Joins two sets; false when they were one already.
    pub(crate) fn union(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return false;
        }
        let (low, high) = if self.rank[a as usize] < self.rank[b as usize] { (a, b) } else { (b, a) };
        self.parent[low as usize] = high;
        if self.rank[low as usize] == self.rank[high as usize] {
            self.rank[high as usize] += 1;
        }
        true
    }

    /// The set of each element, sets numbered by their smallest element, and the number of sets.
    pub(crate) fn numbered(&mut self) -> (Vec<u32>, usize) {
        let n = self.parent.len();
        let mut number = vec![NONE; n];
        let mut count = 0;
        let sets = (0..n as u32)
            .map(|x| {
                let root = self.find(x) as usize;
                if number[root] == NONE {
                    number[root] = count;
                    count += 1;
                }
                number[root]
            })
            .collect();
        (sets, count as usize)
    }
}
