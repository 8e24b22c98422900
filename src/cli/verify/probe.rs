//! Random directions, and the search for the single unknown along which a product is wrong.

use spadina::error::Error;

/// Random directions that are tried.
pub(super) const PROBES: u64 = 4;

/// Numbers in -1..1, the same everywhere (splitmix64).
pub(super) fn random(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// The element of a direction that makes a product wrong, found by halving: `excess` tells by how much the product with a direction
/// misses what it may miss, and both sides are linear, so that of two halves one misses at least half as much. `None` where no half
/// does, as may be near the tolerance.
pub(super) fn culprit(
    direction: &[f64],
    mut excess: impl FnMut(&[f64]) -> Result<f64, Error>,
) -> Result<Option<usize>, Error> {
    let mut range = 0..direction.len();
    let mut part = vec![0.0; direction.len()];
    let mut only = |range: std::ops::Range<usize>| {
        part.fill(0.0);
        part[range.clone()].copy_from_slice(&direction[range]);
        excess(&part)
    };
    while range.len() > 1 {
        let middle = range.start + range.len() / 2;
        let (low, high) = (only(range.start..middle)?, only(middle..range.end)?);
        if low.max(high) <= 0.0 {
            return Ok(None);
        }
        range = if low >= high { range.start..middle } else { middle..range.end };
    }
    Ok((!range.is_empty()).then_some(range.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_element_is_found() {
        for n in [1, 2, 3, 17, 100] {
            for wrong in [0, n / 2, n - 1] {
                let direction = random(n, 7);
                let found = culprit(&direction, |part| Ok(part[wrong].abs() - 1e-9)).unwrap();
                assert_eq!(found, Some(wrong), "{n}");
            }
        }
        assert_eq!(culprit(&random(9, 1), |_| Ok(-1.0)).unwrap(), None);
        assert_eq!(culprit(&[], |_| Ok(1.0)).unwrap(), None);
    }
}
