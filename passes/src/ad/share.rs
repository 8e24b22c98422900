//! Common pairs of many small multisets: which two summands or factors to combine first.
//!
//! # Method
//! Count for each pair of items the lists that hold both; combine the most frequent pair everywhere, count what changes, repeat while a
//! pair is in two lists. A heap holds the pairs; counts that have fallen are corrected when they come up.
//!
//! # References
//! Greedy pairing of common subexpressions: Breuer, Generation of optimal code for expressions via factorization, CACM 12 (1969);
//! Hosangadi, Fallah and Kastner, Optimizing polynomial expressions by algebraic factorization and common subexpression elimination,
//! IEEE TCAD 25 (2006).

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An item and whether it counts negatively.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Item(pub u32, pub bool);

impl Item {
    fn flipped(self, flip: bool) -> Item {
        Item(self.0, self.1 != flip)
    }
}

/// Two items, the smaller one positive.
pub type Pair = (Item, Item);

/// Both orders and both signs of a pair are one; the flag says whether it was turned.
fn normal(a: Item, b: Item) -> (Pair, bool) {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    ((a.flipped(a.1), b.flipped(a.1)), a.1)
}

/// The pairs of a list, or those with an item, each once and in order.
fn pairs_of(list: &[Item], with: Option<u32>, pairs: &mut Vec<Pair>) {
    pairs.clear();
    for (n, &a) in list.iter().enumerate() {
        let rest = list[n + 1..].iter().filter(|b| with.is_none_or(|item| a.0 == item || b.0 == item));
        pairs.extend(rest.map(|&b| normal(a, b).0));
    }
    pairs.sort_unstable();
    pairs.dedup();
}

fn take(list: &mut Vec<Item>, (a, b): Pair, flip: bool) -> bool {
    let (a, b) = (a.flipped(flip), b.flipped(flip));
    let Some(first) = list.iter().position(|&item| item == a) else { return false };
    let Some(second) = (0..list.len()).find(|&n| n != first && list[n] == b) else { return false };
    list.remove(first.max(second));
    list.remove(first.min(second));
    true
}

fn holds(list: &[Item], (a, b): Pair) -> bool {
    [false, true].into_iter().any(|flip| {
        let (a, b) = (a.flipped(flip), b.flipped(flip));
        let first = list.iter().position(|&item| item == a);
        first.is_some_and(|first| (0..list.len()).any(|n| n != first && list[n] == b))
    })
}

/// Combines pairs that several lists hold. The n-th pair becomes item `next + n` in the lists.
pub fn share(lists: &mut [Vec<Item>], next: u32) -> Vec<Pair> {
    let mut held: FxHashMap<Pair, SmallVec<[usize; 4]>> = FxHashMap::default();
    let mut heap: BinaryHeap<(usize, Reverse<Pair>)> = BinaryHeap::new();
    let (mut found, mut pairs): (Vec<Pair>, Vec<Pair>) = Default::default();
    for (n, list) in lists.iter().enumerate() {
        pairs_of(list, None, &mut pairs);
        for &pair in &pairs {
            let holders = held.entry(pair).or_default();
            if holders.len() == 1 {
                found.push(pair);
            }
            holders.push(n);
        }
    }
    heap.extend(found.iter().map(|pair| (held[pair].len(), Reverse(*pair))));
    let mut combined = Vec::new();
    while let Some((count, Reverse(pair))) = heap.pop() {
        let Some(mut holders) = held.remove(&pair) else { continue };
        holders.retain(|n| holds(&lists[*n], pair));
        if holders.len() < 2 {
            continue;
        }
        if holders.len() < count {
            heap.push((holders.len(), Reverse(pair)));
            held.insert(pair, holders);
            continue;
        }
        let item = next + combined.len() as u32;
        combined.push(pair);
        for n in holders {
            for flip in [false, true] {
                while take(&mut lists[n], pair, flip) {
                    lists[n].push(Item(item, flip));
                }
            }
            pairs_of(&lists[n], Some(item), &mut pairs);
            for &new in &pairs {
                let holders = held.entry(new).or_default();
                holders.push(n);
                if holders.len() > 1 {
                    heap.push((holders.len(), Reverse(new)));
                }
            }
        }
    }
    combined
}
