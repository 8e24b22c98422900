//! Index sets of pattern detection against bit sets: nanoseconds a union, by the shape of a program and the number of unknowns.
//!
//! `cargo bench -p spadina-passes --bench index_sets`: both take turns; the figures are the least of the rounds. Either way a union
//! gives a new set and leaves its operands as they are, as values of a program do. Both must find the same sets.
#![allow(clippy::print_stdout, missing_docs)]

use sets::Sets;
use std::time::Instant;

#[path = "../src/analysis/pattern/sets.rs"]
#[allow(dead_code, reason = "what reads patterns off is not measured")]
mod sets;

const ROUNDS: usize = 7;

/// Sets of columns by handle.
trait Unions {
    fn new(columns: u32) -> Self;
    fn single(&mut self, column: u32) -> u32;
    fn union(&mut self, a: u32, b: u32) -> u32;
    fn count(&mut self, set: u32) -> usize;
}

impl Unions for Sets {
    fn new(columns: u32) -> Self {
        Sets::new(columns)
    }

    fn single(&mut self, column: u32) -> u32 {
        Sets::single(column)
    }

    fn union(&mut self, a: u32, b: u32) -> u32 {
        Sets::union(self, a, b)
    }

    fn count(&mut self, set: u32) -> usize {
        self.columns(set).len()
    }
}

/// A bit for every column.
struct Bits {
    words: usize,
    all: Vec<u64>,
}

impl Bits {
    fn set(&self, set: u32) -> &[u64] {
        &self.all[set as usize * self.words..][..self.words]
    }
}

impl Unions for Bits {
    fn new(columns: u32) -> Self {
        Bits { words: (columns as usize).div_ceil(64), all: Vec::new() }
    }

    fn single(&mut self, column: u32) -> u32 {
        let start = self.all.len();
        self.all.resize(start + self.words, 0);
        self.all[start + column as usize / 64] |= 1 << (column % 64);
        (start / self.words) as u32
    }

    fn union(&mut self, a: u32, b: u32) -> u32 {
        let start = self.all.len();
        self.all.extend_from_within(a as usize * self.words..(a as usize + 1) * self.words);
        let (old, new) = self.all.split_at_mut(start);
        for (word, other) in new.iter_mut().zip(&old[b as usize * self.words..]) {
            *word |= other;
        }
        (start / self.words) as u32
    }

    fn count(&mut self, set: u32) -> usize {
        self.set(set).iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// A program: how many unions it makes, and the elements of what results in all.
type Program<S> = fn(&mut S, u32) -> (usize, usize);

/// Elements of six unknowns, two values of each that depend on all of them.
fn elements<S: Unions>(sets: &mut S, n: u32) -> (usize, usize) {
    let steps = n.min(4000);
    let mut elements = 0;
    for at in 0..steps {
        for _ in 0..2 {
            let mut all = sets.single(at % n);
            for k in 1..6 {
                let next = sets.single((at * 7 + k * 13) % n);
                all = sets.union(all, next);
            }
            elements += sets.count(all);
        }
    }
    (10 * steps as usize, elements)
}

/// Ten rounds of a stencil over an array.
fn stencils<S: Unions>(sets: &mut S, n: u32) -> (usize, usize) {
    let len = n.min(4000);
    let mut array: Vec<u32> = (0..len).map(|k| sets.single(k)).collect();
    for _ in 0..10 {
        array = (0..len as usize).map(|k| sets.union(array[k], array[(k + 1) % len as usize])).collect();
    }
    let elements = array.iter().map(|&set| sets.count(set)).sum();
    (10 * len as usize, elements)
}

/// A running sum over all unknowns.
fn recurrence<S: Unions>(sets: &mut S, n: u32) -> (usize, usize) {
    let steps = n.min(4000);
    let mut sum = sets.single(0);
    for k in 1..steps {
        let next = sets.single(k);
        sum = sets.union(sum, next);
    }
    (steps as usize - 1, sets.count(sum))
}

/// Values that depend on half of the unknowns each.
fn dense<S: Unions>(sets: &mut S, n: u32) -> (usize, usize) {
    let n = n.min(2000);
    let mut halves: Vec<u32> = Vec::new();
    for parity in 0..2 {
        let mut half = sets.single(parity);
        for k in (parity..n).step_by(2) {
            let next = sets.single(k);
            half = sets.union(half, next);
        }
        sets.count(half);
        halves.push(half);
    }
    let (mut elements, mut last) = (0, halves[0]);
    for k in 0..50 {
        let some = sets.union(last, halves[k % 2]);
        elements += sets.count(some);
        last = halves[(k + 1) % 2];
    }
    (n as usize + 50, elements)
}

/// Nanoseconds a union, and the elements found.
fn time<S: Unions>(program: Program<S>, n: u32) -> (f64, usize) {
    let start = Instant::now();
    let (unions, elements) = program(&mut S::new(n), n);
    (start.elapsed().as_secs_f64() * 1e9 / unions as f64, elements)
}

fn main() {
    println!("{:<12}{:>10}{:>14}{:>14}{:>8}", "program", "unknowns", "lists ns", "bit sets ns", "ratio");
    let programs: [(&str, Program<Sets>, Program<Bits>); 4] = [
        ("elements", elements::<Sets>, elements::<Bits>),
        ("stencils", stencils::<Sets>, stencils::<Bits>),
        ("recurrence", recurrence::<Sets>, recurrence::<Bits>),
        ("dense", dense::<Sets>, dense::<Bits>),
    ];
    for (name, lists, bits) in programs {
        for n in [64, 512, 2000, 24_000] {
            let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..ROUNDS {
                let ((a, found), (b, other)) = (time(lists, n), time(bits, n));
                assert_eq!(found, other, "{name} with {n} unknowns");
                (ours, theirs) = (ours.min(a), theirs.min(b));
            }
            println!("{name:<12}{n:>10}{ours:>14.1}{theirs:>14.1}{:>8.2}", theirs / ours);
        }
    }
}
