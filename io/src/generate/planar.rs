//! Square sheets of triangles: a cloth in space and a parametrization in the plane.
//!
//! Formulas are those of the hand-written benchmark kernels, so that energies can be compared to the last digits.

use crate::array::{Array, Data, NamedArray};
use crate::error::Error;
use crate::generate::rest::{inverse2, surface, vector};
use crate::mesh::types::Mesh;

/// The sheet at rest on the unit square and its deformed positions.
struct Sheet {
    rest: Vec<[f64; 2]>,
    x: Vec<[f64; 3]>,
    faces: Vec<[i64; 3]>,
    /// Right, up and diagonal neighbor of every vertex in turn.
    edges: Vec<[i64; 2]>,
}

fn sheet(n: usize) -> Sheet {
    let side = n + 1;
    let h = 1.0 / n as f64;
    let id = |i: usize, j: usize| (j * side + i) as i64;
    let mut s = Sheet { rest: Vec::new(), x: Vec::new(), faces: Vec::new(), edges: Vec::new() };
    for j in 0..side {
        for i in 0..side {
            let v = (j * side + i) as f64;
            let (rx, ry) = (i as f64 / n as f64, j as f64 / n as f64);
            s.rest.push([rx, ry]);
            s.x.push([
                1.2 * rx + 0.1 * ry + 0.2 * h * (1.7 * v + 0.3).sin(),
                0.9 * ry - 0.05 * rx + 0.2 * h * (2.3 * v + 0.1).cos(),
                0.1 * (3.0 * rx).sin() * (2.0 * ry).cos() + 0.2 * h * (3.1 * v).sin(),
            ]);
            let to = [(i < n, [i + 1, j]), (j < n, [i, j + 1]), (i < n && j < n, [i + 1, j + 1])];
            s.edges.extend(to.into_iter().filter(|t| t.0).map(|(_, [a, b])| [id(i, j), id(a, b)]));
        }
    }
    for j in 0..n {
        for i in 0..n {
            let (a, b, c, d) = (id(i, j), id(i + 1, j), id(i + 1, j + 1), id(i, j + 1));
            s.faces.extend([[a, b, c], [a, c, d]]);
        }
    }
    s
}

impl Sheet {
    fn rest_shape(&self) -> (Vec<[[f64; 2]; 2]>, Vec<f64>) {
        let corner = |v: i64| self.rest[v as usize];
        self.faces.iter().map(|&[a, b, c]| inverse2(corner(a), corner(b), corner(c))).unzip()
    }
}

/// See [`crate::generate::kind::Kind::Cloth`].
pub(crate) fn cloth(n: usize) -> Result<Vec<NamedArray>, Error> {
    let s = sheet(n);
    let (rest_inv, _) = s.rest_shape();
    let vertices: Vec<[f64; 3]> = s.rest.iter().map(|p| [p[0], p[1], 0.0]).collect();
    let side = n + 1;
    let fixed = (0..vertices.len()).map(|v| v == n * side || v == side * side - 1).collect();
    let mesh = Mesh { vertices, faces: s.faces, ..Mesh::default() };
    let mut arrays = surface(&mesh, &s.x, &s.edges)?;
    arrays.push(NamedArray::new("rest_inv", Array::matrices(&rest_inv)));
    arrays.push(NamedArray::new("fixed", Array::vector(Data::Bool(fixed))));
    Ok(arrays)
}

/// See [`crate::generate::kind::Kind::Grid`].
pub(crate) fn grid(n: usize) -> Vec<NamedArray> {
    let s = sheet(n);
    let (rest_inv, area) = s.rest_shape();
    let uv: Vec<[f64; 2]> = s.x.iter().map(|p| [p[0], p[1]]).collect();
    vec![
        NamedArray::new("uv", Array::rows(&uv)),
        NamedArray::new("faces", Array::index_rows(&s.faces)),
        NamedArray::new("rest_inv", Array::matrices(&rest_inv)),
        vector("area", area),
        NamedArray::new("edges", Array::index_rows(&s.edges)),
    ]
}
