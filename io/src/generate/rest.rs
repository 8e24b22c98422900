//! Quantities of a rest shape: lengths, areas, masses, dihedral angles, inverse edge matrices.

use crate::array::{Array, Data, NamedArray};
use crate::error::Error;
use crate::mesh::types::Mesh;
use crate::vec3::{cross, dot, norm, sub};

fn at(points: &[[f64; 3]], index: i64) -> [f64; 3] {
    points[index as usize]
}

/// Lengths of edges.
pub fn lengths(points: &[[f64; 3]], edges: &[[i64; 2]]) -> Vec<f64> {
    edges.iter().map(|&[a, b]| norm(sub(at(points, a), at(points, b)))).collect()
}

/// Areas of triangles in space.
pub fn areas(points: &[[f64; 3]], faces: &[[i64; 3]]) -> Vec<f64> {
    let area = |&[a, b, c]: &[i64; 3]| {
        let o = at(points, a);
        0.5 * norm(cross(sub(at(points, b), o), sub(at(points, c), o)))
    };
    faces.iter().map(area).collect()
}

/// Signed dihedral angles of hinges `[p, q, r, s]`, 0 where flat: the angle from the normal `(q - p) x (r - p)` to
/// `(s - p) x (q - p)` about the edge, by `atan2`.
pub fn dihedral_angles(points: &[[f64; 3]], hinges: &[[i64; 4]]) -> Vec<f64> {
    let angle = |&[p, q, r, s]: &[i64; 4]| {
        let o = at(points, p);
        let (e, a, b) = (sub(at(points, q), o), sub(at(points, r), o), sub(at(points, s), o));
        let (n1, n2) = (cross(e, a), cross(b, e));
        (dot(cross(n1, n2), e) / norm(e)).atan2(dot(n1, n2))
    };
    hinges.iter().map(angle).collect()
}

/// A third of the area of every face to each of its corners.
pub fn masses(n_vertices: usize, faces: &[[i64; 3]], areas: &[f64]) -> Vec<f64> {
    let mut mass = vec![0.0; n_vertices];
    for (face, area) in faces.iter().zip(areas) {
        for &v in face {
            mass[v as usize] += area / 3.0;
        }
    }
    mass
}

/// Inverse of the matrix with columns `b - a`, `c - a`, and half its determinant.
pub(crate) fn inverse2(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> ([[f64; 2]; 2], f64) {
    let (m00, m01, m10, m11) = (b[0] - a[0], c[0] - a[0], b[1] - a[1], c[1] - a[1]);
    let det = m00 * m11 - m01 * m10;
    ([[m11 / det, -m01 / det], [-m10 / det, m00 / det]], 0.5 * det)
}

/// Inverse of the matrix with columns `b - a`, `c - a`, `d - a`, and a sixth of its determinant.
pub(crate) fn inverse3(corners: [[f64; 3]; 4]) -> ([[f64; 3]; 3], f64) {
    let [u, v, w] = [1, 2, 3].map(|k| sub(corners[k], corners[0]));
    let rows = [cross(v, w), cross(w, u), cross(u, v)];
    let det = dot(u, rows[0]);
    (rows.map(|r| r.map(|c| c / det)), det / 6.0)
}

/// A named array of doubles in one dimension.
pub(crate) fn vector(name: &str, values: Vec<f64>) -> NamedArray {
    NamedArray::new(name, Array::vector(Data::F64(values)))
}

/// The arrays common to all surfaces, see [`crate::generate::kind::Kind`].
pub(crate) fn surface(mesh: &Mesh, x: &[[f64; 3]], edges: &[[i64; 2]]) -> Result<Vec<NamedArray>, Error> {
    let rest = &mesh.vertices;
    let hinges = mesh.hinges()?;
    let area = areas(rest, &mesh.faces);
    Ok(vec![
        NamedArray::new("x", Array::rows(x)),
        NamedArray::new("edges", Array::index_rows(edges)),
        vector("rest", lengths(rest, edges)),
        NamedArray::new("faces", Array::index_rows(&mesh.faces)),
        NamedArray::new("hinges", Array::index_rows(&hinges)),
        vector("rest_angle", dihedral_angles(rest, &hinges)),
        vector("mass", masses(rest.len(), &mesh.faces, &area)),
        vector("area", area),
    ])
}
