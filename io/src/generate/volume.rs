//! A cube of tetrahedra by Kuhn's subdivision: six to a cell, one for each way from corner to corner.

use crate::array::{Array, Data, NamedArray};
use crate::generate::rest::{inverse3, vector};

/// The order in which the axes are walked; even permutations first, whose tetrahedra are positive as they are.
const PATHS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]];

/// See [`crate::generate::kind::Kind::Tets`].
pub(crate) fn tets(n: usize) -> Vec<NamedArray> {
    let side = n + 1;
    let h = 1.0 / n as f64;
    let id = |c: [usize; 3]| ((c[2] * side + c[1]) * side + c[0]) as i64;
    let (mut rest, mut x, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
    for [i, j, k] in cells(side) {
        let v = id([i, j, k]) as f64;
        let (rx, ry, rz) = (i as f64 * h, j as f64 * h, k as f64 * h);
        rest.push([rx, ry, rz]);
        x.push([
            1.1 * rx + 0.05 * ry + 0.1 * h * (1.7 * v + 0.3).sin(),
            0.95 * ry - 0.05 * rz + 0.1 * h * (2.3 * v + 0.1).cos(),
            1.05 * rz + 0.02 * rx + 0.1 * h * (3.1 * v).sin(),
        ]);
        fixed.push(k == 0);
    }
    let mut tets = Vec::with_capacity(6 * n * n * n);
    for cell in cells(n) {
        for (p, path) in PATHS.iter().enumerate() {
            let mut corner = cell;
            let mut tet = [id(cell); 4];
            for (q, &axis) in path.iter().enumerate() {
                corner[axis] += 1;
                tet[q + 1] = id(corner);
            }
            if p >= 3 {
                tet.swap(2, 3);
            }
            tets.push(tet);
        }
    }
    let (rest_inv, vol): (Vec<_>, Vec<_>) =
        tets.iter().map(|t| inverse3(t.map(|v| rest[v as usize]))).unzip();
    vec![
        NamedArray::new("x", Array::rows(&x)),
        NamedArray::new("tets", Array::index_rows(&tets)),
        NamedArray::new("rest_inv", Array::matrices(&rest_inv)),
        vector("vol", vol),
        NamedArray::new("fixed", Array::vector(Data::Bool(fixed))),
    ]
}

/// Subscripts of `n^3` cells, the first fastest.
fn cells(n: usize) -> impl Iterator<Item = [usize; 3]> {
    (0..n).flat_map(move |k| (0..n).flat_map(move |j| (0..n).map(move |i| [i, j, k])))
}
