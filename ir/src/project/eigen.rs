//! Eigenpairs of small symmetric matrices, and matrices that do not feel translations.
//!
//! # Method
//! Householder reflections to tridiagonal form, then the QL iteration with implicit Wilkinson shifts; one rotation for two unknowns.
//! Vectors are rows, so that every rotation runs along two of them.
//!
//! A matrix over `k` points of `w` components has the translations in its null space if each of its rows sums to zero over the points,
//! for every component. In the orthonormal basis whose vector `j` is `(1, .., 1, -j, 0, .., 0) / sqrt(j (j + 1))` over the points
//! (Helmert's), with `j` ones, it is `w` rows smaller; these vectors and the translations span everything.
//!
//! # References
//! Golub and Van Loan, Matrix Computations, 4th ed., algorithms 5.1.1, 8.3.1 and 8.3.3; Bowdler, Martin, Reinsch and Wilkinson, The QR
//! and QL algorithms for symmetric matrices, Numer. Math. 11 (1968); Lancaster, The Helmert matrices, Amer. Math. Monthly 72 (1965).
#![allow(clippy::inline_always, reason = "a call with a literal size is compiled for that size")]

/// Iterations for one eigenvalue: about two are usual.
const MAX_SWEEPS: usize = 60;

/// The largest power of two not above a positive finite number; for the smallest numbers, the smallest normal one.
pub(super) fn power_of_two(x: f64) -> f64 {
    f64::from_bits(x.max(f64::MIN_POSITIVE).to_bits() & 0x7ff0_0000_0000_0000)
}

/// Whether the rows of a matrix with entries below 2 sum to zero over the points of `width` components, up to rounding.
pub(super) fn feels_no_translation(matrix: &[f64], size: usize, width: usize) -> bool {
    if !size.is_multiple_of(width) || size < 2 * width {
        return false;
    }
    let bound = 8.0 * size as f64 * f64::EPSILON;
    matrix
        .chunks_exact(size)
        .all(|row| (0..width).all(|c| row[c..].iter().step_by(width).sum::<f64>().abs() <= bound))
}

/// Writes a matrix that does not feel translations in Helmert's basis: `size - width` rows, packed at the start. `lengths` is room for a
/// number a point.
#[inline(always)]
pub(super) fn reduce(matrix: &mut [f64], size: usize, width: usize, lengths: &mut [f64]) {
    let (inner, points) = (size - width, size / width);
    let lengths = &mut lengths[..points];
    reciprocal_lengths(lengths);
    for row in matrix.chunks_exact_mut(size) {
        for c in 0..width {
            let mut sum = row[c];
            for j in 1..points {
                let next = row[c + j * width];
                row[c + (j - 1) * width] = (sum - j as f64 * next) * lengths[j];
                sum += next;
            }
        }
    }
    // Down the columns, all of a row at once: the sums replace the points that are done with.
    for c in 0..width {
        for j in 1..points {
            let (before, after) = matrix.split_at_mut((c + j * width) * size);
            let sums = &mut before[(c + (j - 1) * width) * size..][..inner];
            let points = &mut after[..inner];
            for (sum, x) in sums.iter_mut().zip(points) {
                let next = *x;
                *x = *sum + next;
                *sum = (*sum - j as f64 * next) * lengths[j];
            }
        }
    }
    for i in 1..inner {
        matrix.copy_within(i * size..i * size + inner, i * inner);
    }
}

/// The vector with these coefficients, all but the last `width` of `x`, in Helmert's basis; `lengths` as [`reduce`] leaves them.
#[inline(always)]
pub(super) fn extend(x: &mut [f64], width: usize, lengths: &[f64]) {
    let points = x.len() / width;
    for c in 0..width {
        let mut sum = 0.0;
        for j in (1..points).rev() {
            let coefficient = x[(j - 1) * width + c] * lengths[j];
            x[j * width + c] = sum - j as f64 * coefficient;
            sum += coefficient;
        }
        x[c] = sum;
    }
}

/// One over the lengths of `(1, .., 1, -j, 0, .., 0)` with `j` ones.
#[inline(always)]
fn reciprocal_lengths(lengths: &mut [f64]) {
    for (j, length) in lengths.iter_mut().enumerate().skip(1) {
        *length = 1.0 / ((j * (j + 1)) as f64).sqrt();
    }
}

/// The eigenpairs of the symmetric `size x size` matrix, which is destroyed: `values[k]` belongs to row `k` of `vectors`. `off` is room
/// for `size` numbers. Called with a literal size it is compiled for that size.
#[inline(always)]
pub(super) fn decompose(
    matrix: &mut [f64],
    size: usize,
    vectors: &mut [f64],
    values: &mut [f64],
    off: &mut [f64],
) {
    let (matrix, vectors) = (&mut matrix[..size * size], &mut vectors[..size * size]);
    let (values, off) = (&mut values[..size], &mut off[..size]);
    vectors.fill(0.0);
    for i in 0..size {
        vectors[i * size + i] = 1.0;
    }
    match size {
        0 => {}
        1 => values[0] = matrix[0],
        2 => rotate_two(matrix, vectors, values),
        _ => {
            tridiagonalize(matrix, size, vectors, values, off);
            iterate(size, vectors, values, off);
        }
    }
}

/// One rotation diagonalizes two rows.
fn rotate_two(matrix: &[f64], vectors: &mut [f64], values: &mut [f64]) {
    let (a, b, c) = (matrix[0], matrix[1], matrix[3]);
    let (mut cosine, mut sine, mut tangent) = (1.0, 0.0, 0.0);
    if b != 0.0 {
        // The smaller root of t^2 + 2 t (c - a) / (2 b) - 1 = 0.
        let ratio = (c - a) / (2.0 * b);
        tangent = 1.0_f64.copysign(ratio) / (ratio.abs() + 1.0_f64.hypot(ratio));
        cosine = 1.0 / 1.0_f64.hypot(tangent);
        sine = tangent * cosine;
    }
    values[0] = a - tangent * b;
    values[1] = c + tangent * b;
    vectors[..4].copy_from_slice(&[cosine, -sine, sine, cosine]);
}

/// Reflections to a tridiagonal matrix: its diagonal, the entries beside it in `off[1..]`, and the product of the reflections as rows.
#[inline(always)]
fn tridiagonalize(matrix: &mut [f64], size: usize, vectors: &mut [f64], values: &mut [f64], off: &mut [f64]) {
    // Row k of the matrix keeps the reflection vector of step k in its columns k + 1 and up, its factor goes to `off[k]` for a while.
    for k in 0..size - 2 {
        let (done, rest) = matrix.split_at_mut((k + 1) * size);
        let reflection = &mut done[k * size + k + 1..];
        let tail: f64 = reflection[1..].iter().map(|x| x * x).sum();
        let first = reflection[0];
        if tail == 0.0 {
            off[k] = 0.0;
            values[k] = first;
            continue;
        }
        let alpha = -(first * first + tail).sqrt().copysign(first);
        reflection[0] = first - alpha;
        let factor = 2.0 / (reflection[0] * reflection[0] + tail);
        off[k] = factor;
        // `values[k]` holds the entry beside the diagonal for now, `values[k + 1..]` the product with the remaining block.
        values[k] = alpha;
        let product = &mut values[k + 1..size];
        let mut dot = 0.0;
        for (i, p) in product.iter_mut().enumerate() {
            let row = &rest[i * size + k + 1..(i + 1) * size];
            *p = factor * row.iter().zip(&*reflection).map(|(a, v)| a * v).sum::<f64>();
            dot += *p * reflection[i];
        }
        let half = 0.5 * factor * dot;
        for (p, v) in product.iter_mut().zip(&*reflection) {
            *p -= half * v;
        }
        for i in 0..size - k - 1 {
            let row = &mut rest[i * size + k + 1..(i + 1) * size];
            let (v, p) = (reflection[i], product[i]);
            for ((a, w), u) in row.iter_mut().zip(&*product).zip(&*reflection) {
                *a -= v * w + p * u;
            }
        }
    }
    for k in (0..size - 2).rev() {
        let factor = off[k];
        if factor == 0.0 {
            continue;
        }
        let reflection = &matrix[k * size + k + 1..(k + 1) * size];
        // Rows and columns up to k are still those of the identity.
        for row in vectors.chunks_exact_mut(size).skip(k + 1) {
            let row = &mut row[k + 1..];
            let dot: f64 = row.iter().zip(reflection).map(|(a, v)| a * v).sum();
            let share = factor * dot;
            for (a, v) in row.iter_mut().zip(reflection) {
                *a -= share * v;
            }
        }
    }
    for k in (1..size - 1).rev() {
        off[k] = values[k - 1];
    }
    off[size - 1] = matrix[(size - 2) * size + size - 1];
    for k in 0..size {
        values[k] = matrix[k * size + k];
    }
}

/// The QL iteration on a tridiagonal matrix; `off[k]` stands between `k - 1` and `k`. Rows of `vectors` are rotated along.
#[inline(always)]
fn iterate(size: usize, vectors: &mut [f64], values: &mut [f64], off: &mut [f64]) {
    off.copy_within(1..size, 0);
    off[size - 1] = 0.0;
    for l in 0..size {
        for sweep in 0.. {
            let split = (l..size - 1).find(|&m| {
                let scale = values[m].abs() + values[m + 1].abs();
                off[m].abs() <= f64::EPSILON * scale
            });
            let m = split.unwrap_or(size - 1);
            if m == l {
                break;
            }
            if sweep == MAX_SWEEPS {
                // Never seen; numbers that are none stop whoever uses them.
                values[l] = f64::NAN;
                break;
            }
            let ratio = (values[l + 1] - values[l]) / (2.0 * off[l]);
            let root = (1.0 + ratio * ratio).sqrt();
            let mut g = values[m] - values[l] + off[l] / (ratio + root.copysign(ratio));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let f = sine * off[i];
                let b = cosine * off[i];
                let squares = f * f + g * g;
                if squares < f64::MIN_POSITIVE {
                    // Nothing, beside the largest entry.
                    off[i + 1] = 0.0;
                    values[i + 1] -= shift;
                    off[m] = 0.0;
                    whole = false;
                    break;
                }
                let r = squares.sqrt();
                off[i + 1] = r;
                // 1 / r, by a division that does not wait for the root.
                let reciprocal = r * (1.0 / squares);
                sine = f * reciprocal;
                cosine = g * reciprocal;
                g = values[i + 1] - shift;
                let t = (values[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * t;
                values[i + 1] = g + shift;
                g = cosine * t - b;
                let (before, after) = vectors.split_at_mut((i + 1) * size);
                for (x, y) in before[i * size..].iter_mut().zip(&mut after[..size]) {
                    let (u, v) = (*x, *y);
                    *y = sine * u + cosine * v;
                    *x = cosine * u - sine * v;
                }
            }
            if whole {
                values[l] -= shift;
                off[l] = g;
                off[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random: the same in every run.
    fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        }
    }

    #[test]
    fn pairs_are_orthonormal_and_give_the_matrix_back() {
        for size in 1..=64 {
            for seed in 0..8 {
                let mut next = numbers(size as u64 * 100 + seed);
                let mut a = vec![0.0; size * size];
                for i in 0..size {
                    for j in i..size {
                        // Every other matrix has many zeros, some are graded.
                        let sparse = seed % 2 == 1 && (i + 2 * j) % 3 != 0;
                        let x =
                            if sparse { 0.0 } else { next() * 0.5_f64.powi((seed * i as u64) as i32 / 2) };
                        a[i * size + j] = x;
                        a[j * size + i] = x;
                    }
                }
                let (mut destroyed, mut vectors) = (a.clone(), vec![0.0; size * size]);
                let (mut values, mut off) = (vec![0.0; size], vec![0.0; size]);
                decompose(&mut destroyed, size, &mut vectors, &mut values, &mut off);
                for i in 0..size {
                    for j in 0..size {
                        let at = |k: usize, n: usize| vectors[k * size + n];
                        let back: f64 = (0..size).map(|k| values[k] * at(k, i) * at(k, j)).sum();
                        assert!(
                            (back - a[i * size + j]).abs() < 1e-13 * size as f64,
                            "{size} {seed}: {i}, {j}"
                        );
                        let dot: f64 = (0..size).map(|k| at(i, k) * at(j, k)).sum();
                        assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13 * size as f64);
                    }
                }
            }
        }
    }

    #[test]
    fn helmert_vectors_are_orthonormal_and_feel_no_translation() {
        for (size, width) in [(2, 1), (6, 2), (12, 3), (9, 3), (7, 1)] {
            let inner = size - width;
            let vector = |k: usize| {
                let (mut x, mut lengths) = (vec![0.0; size], vec![0.0; size / width]);
                x[k] = 1.0;
                reciprocal_lengths(&mut lengths);
                extend(&mut x, width, &lengths);
                x
            };
            for p in 0..inner {
                for q in 0..inner {
                    let dot: f64 = vector(p).iter().zip(&vector(q)).map(|(a, b)| a * b).sum();
                    assert!((dot - f64::from(u8::from(p == q))).abs() < 1e-15 * size as f64);
                }
                for c in 0..width {
                    assert!(vector(p)[c..].iter().step_by(width).sum::<f64>().abs() < 1e-15 * size as f64);
                }
            }
        }
    }

    #[test]
    fn a_reduced_matrix_is_the_matrix_in_the_basis() {
        let (size, width) = (6, 2);
        let mut next = numbers(7);
        // Sums of squares of differences.
        let mut a = vec![0.0; size * size];
        for _ in 0..5 {
            let mut v: Vec<f64> = (0..size).map(|_| next()).collect();
            for c in 0..width {
                v[4 + c] = -v[c] - v[2 + c];
            }
            for i in 0..size {
                for j in 0..size {
                    a[i * size + j] += 0.1 * v[i] * v[j];
                }
            }
        }
        assert!(feels_no_translation(&a, size, width));
        assert!(!feels_no_translation(&a, size, 1) || !feels_no_translation(&a, size, 3));
        let (mut reduced, mut lengths) = (a.clone(), vec![0.0; size / width]);
        reduce(&mut reduced, size, width, &mut lengths);
        let inner = size - width;
        let vector = |k: usize| {
            let mut x = vec![0.0; size];
            x[k] = 1.0;
            extend(&mut x, width, &lengths);
            x
        };
        for p in 0..inner {
            for q in 0..inner {
                let (u, v) = (vector(p), vector(q));
                let entry: f64 = (0..size)
                    .flat_map(|i| (0..size).map(move |j| (i, j)))
                    .map(|(i, j)| u[i] * a[i * size + j] * v[j])
                    .sum();
                assert!((entry - reduced[p * inner + q]).abs() < 1e-14);
            }
        }
    }
}
