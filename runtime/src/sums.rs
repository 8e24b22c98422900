//! Sums in an order that depends on nothing but their number.

/// The sum of all elements by pairs, then pairs of pairs, and so on; 0 for none. Destroys its input.
pub(crate) fn pairwise(values: &mut [f64]) -> f64 {
    let mut len = values.len();
    while len > 1 {
        for k in 0..len / 2 {
            values[k] = values[2 * k] + values[2 * k + 1];
        }
        if len % 2 == 1 {
            values[len / 2] = values[len - 1];
        }
        len = len.div_ceil(2);
    }
    values.first().copied().unwrap_or(0.0)
}

/// The sum in order, from 0: how iterations of one block combine.
pub(crate) fn in_order(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, x| sum + x)
}

#[cfg(test)]
mod tests {
    use super::{in_order, pairwise};

    #[test]
    fn all_lengths_add_up() {
        for n in 0_u32..40 {
            let mut values: Vec<f64> = (0..n).map(f64::from).collect();
            let expected = in_order(&values);
            assert_eq!(pairwise(&mut values), expected);
        }
    }
}
