//! Immutable sets of column numbers, shared by handle: sorted slices in one arena, and unions that are not computed yet.
//!
//! # Representation
//! Handle 0 is the empty set, handles `1..=n` are the sets of one column, further ones are *written* (a sorted slice) or *open*
//! (the union of two others, with an upper bound of its size). Small unions are written at once; a small cache of recent unions
//! gives repeated ones, as the components of one element make them, the same handle.
//!
//! The arena starts with all columns in order. So columns without a gap, which differences of differences depend on, are a slice of this
//! part, and the union of two such *runs* that meet is another one: nothing is merged or copied.
//!
//! A union of a large set with a much smaller one stays open: a running sum over all elements would otherwise copy its set at
//! every step. It is written when its bound has doubled since something below it was written, so a chain of n steps costs
//! O(n log n) in all, also when the small sets bring nothing new.
//!
//! # Why not bit sets
//! Elements touch few unknowns out of many: a bit set costs n / 64 words for every intermediate value. Measured by
//! `benches/index_sets.rs` (nanoseconds a union on elements of six unknowns, a busy machine): n = 64: slices 17, bit sets 8; n = 2,000: 14
//! and 35; n = 24,000: 13 and 34,000. Interning every small set, instead of recent unions only, made detection two to five times
//! slower.

/// Index sets by handle.
pub(super) struct Sets {
    columns: u32,
    nodes: Vec<Node>,
    arena: Vec<u32>,
    /// Recent unions: `(a, b, union)`.
    memo: Vec<(u32, u32, u32)>,
    /// `stamps[c] == epoch`: column `c` was met in the current traversal.
    stamps: Vec<u32>,
    epoch: u32,
    stack: Vec<u32>,
    overflow: bool,
}

#[derive(Clone, Copy)]
struct Node {
    /// Start in the arena, or an operand of an open union.
    a: u32,
    /// `WRITTEN`, or the other operand.
    b: u32,
    /// Number of elements; of an open union an upper bound.
    len: u32,
    /// Elements of the largest written set below.
    base: u32,
}

/// The empty set.
pub(super) const EMPTY: u32 = 0;

const WRITTEN: u32 = u32::MAX;
/// Unions of up to so many elements are written at once.
const SMALL: u32 = 48;
/// A union stays open when one side is so many times larger than the other.
const LOPSIDED: u32 = 4;
const MEMO: usize = 1 << 12;
/// More elements in all are refused.
const LIMIT: usize = 1 << 31;

fn mix(a: u32, b: u32) -> u64 {
    let word = u64::from(a) << 32 | u64::from(b);
    (word ^ (word >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Sets {
    /// The empty set and the sets of one column.
    pub(super) fn new(columns: u32) -> Sets {
        Sets {
            columns,
            nodes: Vec::new(),
            arena: (0..columns).collect(),
            memo: vec![(0, 0, 0); MEMO],
            stamps: vec![0; columns as usize],
            epoch: 0,
            stack: Vec::new(),
            overflow: false,
        }
    }

    /// The set of one column.
    pub(super) fn single(column: u32) -> u32 {
        column + 1
    }

    /// True when a limit was passed: the sets are then incomplete.
    pub(super) fn overflowed(&self) -> bool {
        self.overflow
    }

    fn node(&self, set: u32) -> Node {
        if set > self.columns {
            self.nodes[(set - self.columns - 1) as usize]
        } else if set == EMPTY {
            Node { a: 0, b: WRITTEN, len: 0, base: 0 }
        } else {
            Node { a: set - 1, b: WRITTEN, len: 1, base: 1 }
        }
    }

    fn push(&mut self, node: Node) -> u32 {
        if self.arena.len() >= LIMIT || self.nodes.len() >= LIMIT {
            self.overflow = true;
            return EMPTY;
        }
        self.nodes.push(node);
        self.columns + self.nodes.len() as u32
    }

    /// The union of two sets.
    pub(super) fn union(&mut self, a: u32, b: u32) -> u32 {
        if a == b || b == EMPTY {
            return a;
        }
        if a == EMPTY {
            return b;
        }
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        let slot = (mix(a, b) >> 52) as usize % MEMO;
        let (x, y, known) = self.memo[slot];
        if (x, y) == (a, b) {
            return known;
        }
        let (mut left, mut right) = (self.node(a), self.node(b));
        let together = left.len.saturating_add(right.len);
        let union = if together > SMALL
            && (left.len.max(right.len) / LOPSIDED > left.len.min(right.len)
                || left.b != WRITTEN
                || right.b != WRITTEN)
            && !comparable(left, right)
        {
            let open =
                self.push(Node { a, b, len: together.min(self.columns), base: left.base.max(right.base) });
            if open != EMPTY && together / 2 > left.base.max(right.base) {
                self.write(open);
            }
            open
        } else {
            self.write(a);
            self.write(b);
            (left, right) = (self.node(a), self.node(b));
            self.merge((a, left), (b, right))
        };
        self.memo[slot] = (a, b, union);
        union
    }

    /// Whether a written set is a slice of all columns.
    fn is_run(&self, node: Node) -> bool {
        node.a + node.len <= self.columns
    }

    /// The union of two written sets, written.
    fn merge(&mut self, (a, left): (u32, Node), (b, right): (u32, Node)) -> u32 {
        let (left_end, right_end) = (left.a + left.len, right.a + right.len);
        if self.is_run(left) && self.is_run(right) && left.a <= right_end && right.a <= left_end {
            let (first, end) = (left.a.min(right.a), left_end.max(right_end));
            return match end - first {
                len if len == left.len => a,
                len if len == right.len => b,
                len => self.push(Node { a: first, b: WRITTEN, len, base: len }),
            };
        }
        let start = self.arena.len();
        // A set that ends the arena grows in place when what comes is beyond it: the smaller set shares its storage.
        for (grown, other) in [(left, right), (right, left)] {
            let (end, len) = ((grown.a + grown.len) as usize, grown.len + other.len);
            if end == start && self.arena[end - 1] < self.arena[other.a as usize] {
                self.arena.extend_from_within(other.a as usize..(other.a + other.len) as usize);
                return self.push(Node { a: grown.a, b: WRITTEN, len, base: len });
            }
        }
        if start >= LIMIT {
            self.overflow = true;
            return EMPTY;
        }
        self.arena.resize(start + (left.len + right.len) as usize, 0);
        let (old, new) = self.arena.split_at_mut(start);
        let mut x = &old[left.a as usize..][..left.len as usize];
        let mut y = &old[right.a as usize..][..right.len as usize];
        let mut len = 0;
        while let (Some(&p), Some(&q)) = (x.first(), y.first()) {
            new[len] = p.min(q);
            len += 1;
            x = &x[usize::from(p <= q)..];
            y = &y[usize::from(q <= p)..];
        }
        for rest in [x, y] {
            new[len..len + rest.len()].copy_from_slice(rest);
            len += rest.len();
        }
        self.arena.truncate(start + len);
        if len == left.len as usize || len == right.len as usize {
            self.arena.truncate(start);
            return if len == left.len as usize { a } else { b };
        }
        self.push(Node { a: start as u32, b: WRITTEN, len: len as u32, base: len as u32 })
    }

    /// The elements of a written set.
    fn elements(&self, set: u32) -> &[u32] {
        let node = self.node(set);
        &self.arena[node.a as usize..][..node.len as usize]
    }

    /// Makes an open union a written set.
    fn write(&mut self, set: u32) {
        if self.node(set).b == WRITTEN {
            return;
        }
        self.next_epoch();
        let start = self.arena.len();
        let (mut least, mut most) = (u32::MAX, 0);
        self.stack.push(set);
        while let Some(top) = self.stack.pop() {
            let node = self.node(top);
            if node.b == WRITTEN {
                for at in node.a as usize..(node.a + node.len) as usize {
                    let column = self.arena[at];
                    let stamp = &mut self.stamps[column as usize];
                    if *stamp != self.epoch {
                        *stamp = self.epoch;
                        (least, most) = (least.min(column), most.max(column));
                        self.arena.push(column);
                    }
                }
            } else {
                self.stack.extend([node.a, node.b]);
            }
        }
        sort_stamped(&mut self.arena[start..], &self.stamps, self.epoch, least, most);
        let len = (self.arena.len() - start) as u32;
        self.overflow |= self.arena.len() >= LIMIT;
        self.nodes[(set - self.columns - 1) as usize] = Node { a: start as u32, b: WRITTEN, len, base: len };
    }

    fn next_epoch(&mut self) {
        if self.epoch == u32::MAX {
            self.stamps.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }

    /// The columns of a set, ascending.
    pub(super) fn columns(&mut self, set: u32) -> &[u32] {
        self.write(set);
        self.elements(set)
    }

    /// Appends the union of sets to `out`, ascending. The sets must have been read by [`Sets::columns`] before.
    pub(super) fn append_union(&mut self, sets: &[u32], out: &mut Vec<u32>) {
        if let [set] = *sets {
            out.extend_from_slice(self.elements(set));
            return;
        }
        self.next_epoch();
        let start = out.len();
        let (mut least, mut most) = (u32::MAX, 0);
        for &set in sets {
            if out.len() - start == self.columns as usize {
                break;
            }
            let node = self.node(set);
            for &column in &self.arena[node.a as usize..][..node.len as usize] {
                let stamp = &mut self.stamps[column as usize];
                if *stamp != self.epoch {
                    *stamp = self.epoch;
                    (least, most) = (least.min(column), most.max(column));
                    out.push(column);
                }
            }
        }
        sort_stamped(&mut out[start..], &self.stamps, self.epoch, least, most);
    }
}

/// Whether two sets are so alike in size, and so closely known, that their union is worth writing.
fn comparable(left: Node, right: Node) -> bool {
    left.len.max(right.len) / LOPSIDED <= left.len.min(right.len)
        && left.len / 2 <= left.base
        && right.len / 2 <= right.base
}

/// Sorts columns that are those stamped between `least` and `most`: by looking at the stamps where that is less work.
fn sort_stamped(columns: &mut [u32], stamps: &[u32], epoch: u32, least: u32, most: u32) {
    let range = most.wrapping_sub(least) as usize;
    if columns.len() > 32 && range / 8 < columns.len() {
        let stamped = (least..=most).filter(|&c| stamps[c as usize] == epoch);
        columns.iter_mut().zip(stamped).for_each(|(place, column)| *place = column);
    } else {
        columns.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    /// Sets that start as runs and lose their order: every union holds what both sides held, whichever way it was made.
    #[test]
    fn unions_hold_what_both_sides_held() {
        use super::Sets;
        use std::collections::BTreeSet;
        const COLUMNS: u32 = 200;
        let mut state = 1_u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let mut sets = Sets::new(COLUMNS);
        let mut known: Vec<(u32, BTreeSet<u32>)> =
            (0..COLUMNS).map(|column| (Sets::single(column), BTreeSet::from([column]))).collect();
        // A window that grows by one column a step, as a difference that is taken again and again.
        for step in 0..12 {
            let start = known.len() - COLUMNS as usize;
            for at in start..start + COLUMNS as usize - 1 - step {
                let union = sets.union(known[at].0, known[at + 1].0);
                let expected = &known[at].1 | &known[at + 1].1;
                assert!(sets.columns(union).iter().eq(&expected));
                known.push((union, expected));
            }
            for _ in 0..=step {
                let again = known[known.len() - 1].clone();
                known.push(again);
            }
        }
        assert_eq!(sets.arena.len(), COLUMNS as usize, "runs are slices of all columns");
        for _ in 0..4000 {
            let (a, b) = (below(known.len()), below(known.len()));
            let union = sets.union(known[a].0, known[b].0);
            let expected = &known[a].1 | &known[b].1;
            if below(3) == 0 {
                assert!(sets.columns(union).iter().eq(&expected));
            }
            let at = below(known.len());
            known[at] = (union, expected);
        }
        for (set, expected) in &known {
            assert!(sets.columns(*set).iter().eq(expected));
        }
    }
}
