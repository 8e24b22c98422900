//! Closed surfaces: a torus and a sphere from an icosahedron.

use std::collections::HashMap;
use std::f64::consts::TAU;

use crate::array::{Array, Data, NamedArray};
use crate::error::Error;
use crate::generate::rest::surface;
use crate::mesh::types::Mesh;
use crate::vec3::{cross, dot, norm, sub};

/// Cells across the tube of a torus with `n` cells around.
pub(crate) fn torus_tube(n: usize) -> usize {
    n.div_ceil(2).max(3)
}

/// See [`crate::generate::kind::Kind::Torus`].
pub(crate) fn torus(n: usize) -> Result<Vec<NamedArray>, Error> {
    const TUBE: f64 = 0.4;
    let m = torus_tube(n);
    let mut mesh = Mesh::default();
    for i in 0..n {
        for j in 0..m {
            let (s, c) = (TAU * i as f64 / n as f64).sin_cos();
            let (t, d) = (TAU * j as f64 / m as f64).sin_cos();
            let r = 1.0 + TUBE * d;
            mesh.vertices.push([r * c, r * s, TUBE * t]);
        }
    }
    let id = |i: usize, j: usize| ((i % n) * m + j % m) as i64;
    for i in 0..n {
        for j in 0..m {
            let (a, b, c, d) = (id(i, j), id(i + 1, j), id(i + 1, j + 1), id(i, j + 1));
            mesh.faces.extend([[a, b, c], [a, c, d]]);
        }
    }
    closed_surface(&mesh, 1.0 / n as f64)
}

/// See [`crate::generate::kind::Kind::Icosphere`].
pub(crate) fn icosphere(n: usize) -> Result<Vec<NamedArray>, Error> {
    let (corners, sides) = icosahedron();
    let mut mesh = Mesh::default();
    // A vertex is known by its weights at the corners of the icosahedron; zero weights fall away, so that sides share
    // the vertices on their edges.
    let mut known: HashMap<Vec<(usize, usize)>, i64> = HashMap::new();
    for side in sides {
        let mut vertex = |i: usize, j: usize| {
            let mut key: Vec<(usize, usize)> =
                side.into_iter().zip([n - i - j, i, j]).filter(|w| w.1 > 0).collect();
            key.sort_unstable();
            *known.entry(key).or_insert_with_key(|key| {
                let mut p = [0.0; 3];
                for &(corner, weight) in key {
                    for (c, coordinate) in p.iter_mut().enumerate() {
                        *coordinate += weight as f64 * corners[corner][c];
                    }
                }
                let length = norm(p);
                mesh.vertices.push(p.map(|c| c / length));
                mesh.vertices.len() as i64 - 1
            })
        };
        let mut faces = Vec::with_capacity(n * n);
        for i in 0..n {
            for j in 0..n - i {
                faces.push([vertex(i, j), vertex(i + 1, j), vertex(i, j + 1)]);
                if i + j + 1 < n {
                    faces.push([vertex(i + 1, j), vertex(i + 1, j + 1), vertex(i, j + 1)]);
                }
            }
        }
        mesh.faces.extend(faces);
    }
    closed_surface(&mesh, 0.5 / n as f64)
}

/// The twelve corners `(0, +-1, +-phi)` and cyclic shifts, and the twenty triples of neighbors, seen from outside.
fn icosahedron() -> (Vec<[f64; 3]>, Vec<[usize; 3]>) {
    let phi = f64::midpoint(1.0, 5.0_f64.sqrt());
    let mut corners = Vec::new();
    for shift in 0..3 {
        for (a, b) in [(1.0, phi), (1.0, -phi), (-1.0, phi), (-1.0, -phi)] {
            let mut p = [0.0, a, b];
            p.rotate_right(shift);
            corners.push(p);
        }
    }
    // Neighbors are 2 apart, all others more than 3.
    let near = |a: usize, b: usize| norm(sub(corners[a], corners[b])) < 2.5;
    let mut sides = Vec::new();
    for a in 0..12 {
        for b in a + 1..12 {
            for c in b + 1..12 {
                if near(a, b) && near(b, c) && near(a, c) {
                    let outward =
                        dot(cross(sub(corners[b], corners[a]), sub(corners[c], corners[a])), corners[a])
                            > 0.0;
                    sides.push(if outward { [a, b, c] } else { [a, c, b] });
                }
            }
        }
    }
    (corners, sides)
}

/// Stretches and perturbs a rest shape whose cells are about `h` wide, and lists its arrays with the one-ring.
fn closed_surface(mesh: &Mesh, h: f64) -> Result<Vec<NamedArray>, Error> {
    let deform = |(v, p): (usize, &[f64; 3])| {
        let v = v as f64;
        [
            1.1 * p[0] + 0.05 * p[1] + 0.2 * h * (1.7 * v + 0.3).sin(),
            0.95 * p[1] - 0.05 * p[2] + 0.2 * h * (2.3 * v + 0.1).cos(),
            1.05 * p[2] + 0.1 * (2.0 * p[0]).sin() + 0.2 * h * (3.1 * v).sin(),
        ]
    };
    let x: Vec<[f64; 3]> = mesh.vertices.iter().enumerate().map(deform).collect();
    let mut arrays = surface(mesh, &x, &mesh.edges())?;
    let ring = mesh.one_ring();
    for (name, values) in [("ptr", ring.ptr), ("nbr", ring.nbr), ("opp", ring.opp)] {
        arrays.push(NamedArray::new(name, Array::vector(Data::I64(values))));
    }
    Ok(arrays)
}
