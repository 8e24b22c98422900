//! Chains, rods and random graphs.

use std::collections::HashSet;

use crate::array::{Array, NamedArray};
use crate::generate::rest::{lengths, vector};

/// See [`crate::generate::kind::Kind::Chain`].
pub(crate) fn chain(n: usize) -> Vec<NamedArray> {
    let h = 1.0 / n.max(1) as f64;
    let x = (0..n).map(|v| h * (1.1 * v as f64 + 0.2 * (1.7 * v as f64 + 0.3).sin())).collect();
    vec![vector("x", x), vector("rest", vec![h; n.saturating_sub(1)])]
}

/// See [`crate::generate::kind::Kind::Rod`].
pub(crate) fn rod(n: usize) -> Vec<NamedArray> {
    /// Points on one turn of the helix.
    const TURN: f64 = 24.0;
    let h = std::f64::consts::TAU / TURN;
    let helix = |v: usize| {
        let (s, c) = (h * v as f64).sin_cos();
        [c, s, 0.05 * v as f64]
    };
    let rest: Vec<[f64; 3]> = (0..n).map(helix).collect();
    let deform = |(v, p): (usize, &[f64; 3])| {
        let v = v as f64;
        [
            1.1 * p[0] + 0.05 * h * (1.7 * v + 0.3).sin(),
            0.95 * p[1] + 0.05 * h * (2.3 * v + 0.1).cos(),
            1.05 * p[2] + 0.05 * h * (3.1 * v).sin(),
        ]
    };
    let x: Vec<[f64; 3]> = rest.iter().enumerate().map(deform).collect();
    let edges: Vec<[i64; 2]> = (1..n as i64).map(|v| [v - 1, v]).collect();
    vec![
        NamedArray::new("x", Array::rows(&x)),
        NamedArray::new("edges", Array::index_rows(&edges)),
        vector("rest", lengths(&rest, &edges)),
    ]
}

/// See [`crate::generate::kind::Kind::Graph`].
pub(crate) fn graph(n: usize) -> Vec<NamedArray> {
    let mut random = SplitMix { state: 0x5bad_1a5e_ed00_0001 };
    let x: Vec<[f64; 3]> = (0..n).map(|_| [random.unit(), random.unit(), random.unit()]).collect();
    let u = (0..n).map(|_| 2.0 * random.unit() - 1.0).collect();
    let mut seen = HashSet::new();
    let mut edges: Vec<[i64; 2]> = Vec::new();
    let mut add = |a: usize, b: usize| {
        let edge = [a.min(b) as i64, a.max(b) as i64];
        if a != b && seen.insert(edge) {
            edges.push(edge);
        }
    };
    // A tree keeps it connected; the rest is drawn at random.
    for v in 1..n {
        add(random.below(v), v);
    }
    for _ in 0..2 * n {
        add(random.below(n), random.below(n));
    }
    let rest = lengths(&x, &edges).iter().map(|l| l * (0.8 + 0.4 * random.unit())).collect();
    let weight = edges.iter().map(|_| 0.5 + random.unit()).collect();
    vec![
        NamedArray::new("x", Array::rows(&x)),
        vector("u", u),
        NamedArray::new("edges", Array::index_rows(&edges)),
        vector("rest", rest),
        vector("weight", weight),
    ]
}

/// A small generator of well-mixed numbers. Reference: Steele, Lea, Flood, Fast splittable pseudorandom number
/// generators, OOPSLA 2014.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..1`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..n`; `n` is at least 1.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
