//! Patterns the tests share.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod gallery;

use spadina_coloring::pattern::Pattern;

/// Pattern from rows of `0` and `1`.
pub(crate) fn dense(rows: &[&str]) -> Pattern {
    let ones = |(i, row): (usize, &&str)| {
        let row: Vec<_> = row.bytes().enumerate().filter(|&(_, b)| b == b'1').collect();
        row.into_iter().map(move |(j, _)| (i as u32, j as u32))
    };
    let entries: Vec<_> = rows.iter().enumerate().flat_map(ones).collect();
    Pattern::from_entries(rows.len(), rows.first().map_or(0, |r| r.len()), &entries).unwrap()
}

/// Symmetric pattern from edges that count from 1.
pub(crate) fn symmetric(n: u32, diagonal: bool, edges: &[(u32, u32)]) -> Pattern {
    let both = edges.iter().flat_map(|&(i, j)| [(i - 1, j - 1), (j - 1, i - 1)]);
    let entries: Vec<_> = both.chain((0..n).filter(|_| diagonal).map(|i| (i, i))).collect();
    Pattern::from_entries(n as usize, n as usize, &entries).unwrap()
}

/// Symmetric band with `half` diagonals on each side.
pub(crate) fn band(n: usize, half: usize) -> Pattern {
    let entries: Vec<(u32, u32)> = (0..n)
        .flat_map(|i| (i.saturating_sub(half)..(i + half + 1).min(n)).map(move |j| (i as u32, j as u32)))
        .collect();
    Pattern::from_entries(n, n, &entries).unwrap()
}

/// First and last rows and columns full.
pub(crate) fn frame(m: u32, n: u32) -> Pattern {
    let rows = (0..n).flat_map(|j| [(0, j), (m - 1, j)]);
    let entries: Vec<_> = rows.chain((0..m).flat_map(|i| [(i, 0), (i, n - 1)])).collect();
    Pattern::from_entries(m as usize, n as usize, &entries).unwrap()
}

/// First row and column and the diagonal.
pub(crate) fn arrow(n: u32) -> Pattern {
    let entries: Vec<_> = (0..n).flat_map(|i| [(i, 0), (0, i), (i, i)]).collect();
    Pattern::from_entries(n as usize, n as usize, &entries).unwrap()
}

/// Small deterministic generator (splitmix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Each entry with probability `p`.
pub(crate) fn random(m: u32, n: u32, p: f64, seed: u64) -> Pattern {
    let mut rng = Rng(seed);
    let all = (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
    let entries: Vec<_> = all.filter(|_| rng.unit() < p).collect();
    Pattern::from_entries(m as usize, n as usize, &entries).unwrap()
}

/// Each pair with probability `p`, diagonal entries too.
pub(crate) fn random_symmetric(n: u32, p: f64, seed: u64) -> Pattern {
    let mut rng = Rng(seed);
    let all = (0..n).flat_map(|i| (0..=i).map(move |j| (i, j)));
    let entries: Vec<_> = all.filter(|_| rng.unit() < p).flat_map(|(i, j)| [(i, j), (j, i)]).collect();
    Pattern::from_entries(n as usize, n as usize, &entries).unwrap()
}
