//! Projection of symmetric element blocks to positive semidefinite ones: what the interpreter and compiled code both call.
//!
//! # Problem
//! Newton's method descends only along positive definite matrices. The block `H` of each element is replaced by
//! `sum_k f(lambda_k) v_k v_k^T` over its eigenpairs, with `f(lambda) = max(lambda, eps)` (clamp) or `max(|lambda|, eps)` (abs); a sum
//! of positive semidefinite blocks is positive semidefinite.
//!
//! # Method
//! 1. Local unknowns at the same position are one unknown: their rows and columns are added up first, so that what is projected is
//!    what the element contributes. The result stands at the first of them, the others get zeros.
//! 2. `H + (delta - eps) I = L D L^T` is tried; if every pivot is positive the block stays as it is, bit for bit. `delta` is `16 m` units
//!    of rounding of the largest diagonal entry, so that singular blocks (every translation-invariant element has one) leave here too.
//! 3. Otherwise eigenpairs (`project/eigen`): closed forms for one and two unknowns. Where rows sum to zero over points of one, two or three
//!    components (the element does not feel translations), the block is first written in an orthonormal basis of what is left
//!    (Helmert's), with one point less.
//! 4. Only eigenpairs that change are added: `H += (f(lambda) - lambda) v v^T`.
//!
//! # Limits
//! Blocks of up to [`MAX_LOCAL`] unknowns. A block with an entry that is not finite stays as it is. Nothing is allocated.
//!
//! # References
//! Teran, Sifakis, Irving and Fedkiw, Robust quasistatic finite elements and flesh simulation, SCA 2005 (projection of elements);
//! Chen et al., Stabler neo-Hookean simulation: absolute eigenvalue filtering for projected Newton, SIGGRAPH 2024 (absolute values);
//! Golub and Van Loan, Matrix Computations, 4th ed., algorithm 4.1.2 (`L D L^T`).

mod eigen;

use std::fmt;

/// Most local unknowns of an element that is projected.
pub const MAX_LOCAL: usize = 64;

/// What becomes of an eigenvalue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Filter {
    /// `max(lambda, eps)`: the nearest positive semidefinite matrix in the Frobenius norm, for `eps = 0`.
    Clamp,
    /// `max(|lambda|, eps)`.
    Abs,
}

/// How element blocks become positive semidefinite.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Projection {
    filter: Filter,
    eps: f64,
}

// `eps` is a number: `new` is the only way to make one.
impl Eq for Projection {}

impl Projection {
    /// Negative eigenvalues become zero.
    pub const CLAMP: Projection = Projection { filter: Filter::Clamp, eps: 0.0 };
    /// Negative eigenvalues change sign.
    pub const ABS: Projection = Projection { filter: Filter::Abs, eps: 0.0 };

    /// With a smallest eigenvalue `eps`, in units of the matrix; `None` unless it is finite and at least 0.
    pub fn new(filter: Filter, eps: f64) -> Option<Projection> {
        (eps.is_finite() && eps >= 0.0).then_some(Projection { filter, eps: eps.abs() })
    }

    /// What becomes of an eigenvalue.
    pub fn filter(self) -> Filter {
        self.filter
    }

    /// The smallest eigenvalue that is left.
    pub fn eps(self) -> f64 {
        self.eps
    }

    fn of(self, eigenvalue: f64) -> f64 {
        match self.filter {
            Filter::Clamp => eigenvalue.max(self.eps),
            Filter::Abs => eigenvalue.abs().max(self.eps),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Filter::Clamp => "clamp",
            Filter::Abs => "abs",
        })
    }
}

/// Numbers for the slow way: as large as the block, on the caller's stack.
struct Work<'a> {
    matrix: &'a mut [f64],
    vectors: &'a mut [f64],
    rows: [&'a mut [f64]; 4],
}

/// Projects the block of `M` unknowns at these positions. Only entries `block[a][b]` with `a <= b` are read and written.
pub fn project<const M: usize>(block: &mut [[f64; M]; M], positions: &[i64; M], projection: Projection) {
    let mut twin = [0_usize; M];
    let mut distinct = 0;
    for b in 0..M {
        let first = positions[..b].iter().position(|p| *p == positions[b]);
        twin[b] = first.unwrap_or(b);
        distinct += usize::from(first.is_none());
    }
    if distinct == M && is_definite(block, projection.eps) {
        return;
    }
    let (mut matrix, mut vectors) = ([[0.0; M]; M], [[0.0; M]; M]);
    let mut rows = [[0.0; M]; 4];
    let [x, y, z, t] = &mut rows;
    let mut work = Work {
        matrix: matrix.as_flattened_mut(),
        vectors: vectors.as_flattened_mut(),
        rows: [&mut x[..], &mut y[..], &mut z[..], &mut t[..]],
    };
    if distinct == M {
        filter(block.as_flattened_mut(), M, M, projection, &mut work);
        return;
    }
    let mut place = [0_usize; M];
    let mut next = 0;
    for b in 0..M {
        place[b] = if twin[b] == b { next } else { place[twin[b]] };
        next += usize::from(twin[b] == b);
    }
    let mut merged = [[0.0; M]; M];
    for a in 0..M {
        for b in a..M {
            let (p, q) = (place[a].min(place[b]), place[a].max(place[b]));
            // An entry off the diagonal stands for its mirror image, which falls on the diagonal too.
            let value = if p == q && a != b { 2.0 * block[a][b] } else { block[a][b] };
            merged[p][q] += value;
        }
    }
    if !is_definite_within(merged.as_flattened(), M, distinct, projection.eps, work.matrix) {
        filter(merged.as_flattened_mut(), M, distinct, projection, &mut work);
    }
    for a in 0..M {
        for b in a..M {
            let kept = twin[a] == a && twin[b] == b;
            block[a][b] = if kept { merged[place[a]][place[b]] } else { 0.0 };
        }
    }
}

/// What a diagonal is raised by before its factorization is tried.
fn tolerance(size: usize, largest: f64) -> f64 {
    16.0 * size as f64 * f64::EPSILON * largest
}

/// Whether no eigenvalue lies below `eps`, up to rounding. Small blocks are factored in registers.
fn is_definite<const M: usize>(block: &[[f64; M]; M], eps: f64) -> bool {
    if M > 12 {
        let mut copy = [[0.0; M]; M];
        return is_definite_within(block.as_flattened(), M, M, eps, copy.as_flattened_mut());
    }
    let mut a = *block;
    let mut largest = 0.0_f64;
    for (i, row) in a.iter().enumerate() {
        largest = largest.max(row[i]);
    }
    let shift = tolerance(M, largest) - eps;
    let mut smallest = f64::INFINITY;
    for j in 0..M {
        let pivot = a[j][j] + shift;
        // A failed pivot shows in the minimum; going on costs less than branching.
        smallest = if pivot > 0.0 { smallest.min(pivot) } else { f64::NEG_INFINITY };
        let reciprocal = 1.0 / pivot;
        let row = a[j];
        for i in j + 1..M {
            let factor = row[i] * reciprocal;
            for (x, y) in a[i][i..].iter_mut().zip(&row[i..]) {
                *x -= factor * y;
            }
        }
    }
    smallest > 0.0 && smallest.is_finite()
}

/// The same for `size` rows of a block whose rows are `stride` apart.
fn is_definite_within(block: &[f64], stride: usize, size: usize, eps: f64, copy: &mut [f64]) -> bool {
    let mut largest = 0.0_f64;
    for i in 0..size {
        copy[i * size + i..(i + 1) * size].copy_from_slice(&block[i * stride + i..i * stride + size]);
        largest = largest.max(block[i * stride + i]);
    }
    let shift = tolerance(size, largest) - eps;
    for j in 0..size {
        let (done, rest) = copy.split_at_mut((j + 1) * size);
        let row = &done[j * size..];
        let pivot = row[j] + shift;
        if pivot.is_nan() || pivot <= 0.0 || pivot.is_infinite() {
            return false;
        }
        let reciprocal = 1.0 / pivot;
        for i in j + 1..size {
            let factor = row[i] * reciprocal;
            let target = &mut rest[(i - j - 1) * size + i..(i - j) * size];
            for (t, r) in target.iter_mut().zip(&row[i..]) {
                *t -= factor * r;
            }
        }
    }
    true
}

/// Filters the eigenvalues of the first `size` rows and columns of a block whose rows are `stride` apart.
fn filter(block: &mut [f64], stride: usize, size: usize, projection: Projection, work: &mut Work<'_>) {
    let mut largest = 0.0_f64;
    for i in 0..size {
        for &entry in &block[i * stride + i..i * stride + size] {
            if !entry.is_finite() {
                return;
            }
            largest = largest.max(entry.abs());
        }
    }
    if size == 1 {
        block[0] = projection.of(block[0]);
        return;
    }
    // Scaled by a power of two: no rounding, no overflow.
    let scale = if largest > 0.0 { eigen::power_of_two(largest) } else { 1.0 };
    let reciprocal = 1.0 / scale;
    for i in 0..size {
        for j in i..size {
            let entry = block[i * stride + j] * reciprocal;
            work.matrix[i * size + j] = entry;
            work.matrix[j * size + i] = entry;
        }
    }
    let matrix = &mut work.matrix[..size * size];
    let [values, off, vector, lengths] = &mut work.rows;
    let width = [3, 2, 1].into_iter().find(|&w| eigen::feels_no_translation(matrix, size, w));
    let inner = match width {
        Some(width) => {
            match (size, width) {
                (6, 2) => eigen::reduce(matrix, 6, 2, lengths),
                (6, 3) => eigen::reduce(matrix, 6, 3, lengths),
                (12, 3) => eigen::reduce(matrix, 12, 3, lengths),
                _ => eigen::reduce(matrix, size, width, lengths),
            }
            size - width
        }
        None => size,
    };
    let vectors = &mut work.vectors;
    match inner {
        3 => eigen::decompose(matrix, 3, vectors, values, off),
        4 => eigen::decompose(matrix, 4, vectors, values, off),
        6 => eigen::decompose(matrix, 6, vectors, values, off),
        9 => eigen::decompose(matrix, 9, vectors, values, off),
        12 => eigen::decompose(matrix, 12, vectors, values, off),
        _ => eigen::decompose(matrix, inner, vectors, values, off),
    }
    for k in 0..inner {
        let value = scale * values[k];
        let change = projection.of(value) - value;
        if change == 0.0 {
            continue;
        }
        vector[..inner].copy_from_slice(&vectors[k * inner..(k + 1) * inner]);
        if let Some(width) = width {
            eigen::extend(&mut vector[..size], width, lengths);
        }
        for i in 0..size {
            let factor = change * vector[i];
            let row = &mut block[i * stride + i..i * stride + size];
            for (entry, v) in row.iter_mut().zip(&vector[i..size]) {
                *entry += factor * v;
            }
        }
    }
    if let (Some(width), true) = (width, projection.eps > 0.0) {
        // Translations have the eigenvalue 0, and unit vectors with equal entries at every point.
        let share = projection.eps * width as f64 / size as f64;
        for i in 0..size {
            for j in (i..size).step_by(width) {
                block[i * stride + j] += share;
            }
        }
    }
}

macro_rules! sizes {
    ($($n:literal)*) => {
        /// [`project`] for a size known at run time: `block` holds `size` rows. False where the size is 0 or above [`MAX_LOCAL`], or
        /// a slice has another length.
        pub fn project_slice(size: usize, block: &mut [f64], positions: &[i64], projection: Projection) -> bool {
            match size {
                $($n => {
                    let (rows, rest) = block.as_chunks_mut::<$n>();
                    let (Ok(rows), Ok(positions), []) = (rows.try_into(), positions.try_into(), rest) else {
                        return false;
                    };
                    project::<$n>(rows, positions, projection);
                    true
                })*
                _ => false,
            }
        }
    };
}

sizes! {
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
}
