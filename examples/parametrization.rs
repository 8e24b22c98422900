//! Flip-free parametrization: a disk in space is laid out in the plane with as little distortion as possible.
//!
//! ```text
//! cargo run --release --example parametrization -- [DISK.obj] [-o parametrization.svg]
//! ```
//! The start is Tutte's embedding (How to draw a graph, 1963): the boundary on a circle, every other vertex at the mean of its neighbors,
//! so no triangle is flipped. The symmetric Dirichlet energy grows without bound as a triangle collapses, and is infinite where one is
//! flipped, so a line search that decreases it keeps every triangle upright (Smith and Schaefer, Bijective parameterization with free
//! boundaries, SIGGRAPH 2015). Newton's method does the rest, with projected element Hessians until it is near the minimum. Both energies
//! are kernels below.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    reason = "the table is the result; tests use this file as a module"
)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina_io::generate::kind::{Kind, generate};
use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;
use spadina_io::picture::mesh::{MeshPicture, flat, mesh_svg};
use support::{Arguments, Cholesky, Energy, Iteration, Outcome, Stop, minimize, points, save};

/// The mean of the neighbors; boundary vertices are held on a circle by stiff springs.
const TUTTE: &str = "
kernel tutte<V, E, B>(
    uv:       var vec2[V],
    edges:    index<V>[E, 2],
    boundary: index<V>[B],
    circle:   vec2[B],
    stiff:    f64 = 1e6,
) -> f64 {
    let inside = sum [i, j] in edges { sqnorm(uv[i] - uv[j]) };
    let around = sum b in 0..B { stiff * sqnorm(uv[boundary[b]] - circle[b]) };
    inside + around
}";

/// How far each triangle is from an isometry; 4 times the area at best.
const DIRICHLET: &str = "
kernel symmetric_dirichlet<V, F>(
    uv:       var vec2[V],
    faces:    index<V>[F, 3],
    rest_inv: mat2[F],           // inverse of the matrix of rest edges
    area:     f64[F],
) -> f64 {
    #[project]
    sum t: [a, b, c] in faces {
        let m = cols(uv[b] - uv[a], uv[c] - uv[a]);
        let j = m @ rest_inv[t];
        if det(m) > 0.0 { area[t] * (sqnorm(j) + sqnorm(inv(j))) } else { inf }
    }
}";

/// When the parametrization is good: the gradient of an energy of about 4.
const CONVERGED: Stop = Stop { gradient: 1e-8, iterations: 200 };

/// A finished parametrization.
pub struct Parametrization {
    /// Coordinates in the plane.
    pub uv: Vec<[f64; 2]>,
    /// What Newton's method did.
    pub iterations: Vec<Iteration>,
    /// Flipped triangles, at the end.
    pub flipped: usize,
    /// How often the pattern of the Hessian was analyzed.
    pub symbolic: usize,
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The triangle laid flat: `(u, 0)` and `(p, q)`, its edges from the first corner.
fn flattened(mesh: &Mesh, face: [i64; 3]) -> Outcome<[f64; 3]> {
    let [a, b, c] = face.map(|v| mesh.vertices[v as usize]);
    let (e, f) = (sub(b, a), sub(c, a));
    let u = dot(e, e).sqrt();
    let p = dot(e, f) / u;
    let q = (dot(f, f) - p * p).max(0.0).sqrt();
    if u > 0.0 && q > 0.0 { Ok([u, p, q]) } else { Err(format!("triangle {face:?} has no area").into()) }
}

/// The boundary as one loop of vertices.
fn boundary(mesh: &Mesh) -> Outcome<Vec<i64>> {
    let edges = mesh.boundary_edges();
    let mut next = vec![-1; mesh.vertices.len()];
    for &[p, q] in &edges {
        if next[p as usize] >= 0 {
            return Err(format!("vertex {p} is twice on the boundary").into());
        }
        next[p as usize] = q;
    }
    let Some(&[first, _]) = edges.first() else { return Err("a closed surface is no disk".into()) };
    let mut around = vec![first];
    let mut at = next[first as usize];
    while at != first && at >= 0 && around.len() <= edges.len() {
        around.push(at);
        at = next[at as usize];
    }
    if at == first && around.len() == edges.len() {
        Ok(around)
    } else {
        Err("the boundary is more than one loop: not a disk".into())
    }
}

fn distance(mesh: &Mesh, a: i64, b: i64) -> f64 {
    let d = sub(mesh.vertices[a as usize], mesh.vertices[b as usize]);
    dot(d, d).sqrt()
}

/// Tutte's embedding on a circle of the same area; boundary vertices are as far apart, in proportion, as they are in space.
fn tutte(mesh: &Mesh, area: f64) -> Outcome<Vec<f64>> {
    let around = boundary(mesh)?;
    let lengths: Vec<f64> =
        (0..around.len()).map(|k| distance(mesh, around[k], around[(k + 1) % around.len()])).collect();
    let total: f64 = lengths.iter().sum();
    let radius = (area / std::f64::consts::PI).sqrt();
    let mut angle = 0.0_f64;
    let mut circle = Vec::new();
    for length in &lengths {
        circle.push([radius * angle.cos(), radius * angle.sin()]);
        angle += std::f64::consts::TAU * length / total;
    }
    let mut uv = vec![0.0; 2 * mesh.vertices.len()];
    let mut inputs = Inputs::new();
    inputs.set("uv", &points::<2>(&uv)[..]).set("edges", &mesh.edges()[..]);
    inputs.set("boundary", &around[..]).set("circle", &circle[..]);
    let mut energy = Energy::new("tutte.ir", TUTTE, "uv", &inputs)?;
    // A quadratic energy: one step, and others for the rounding that stiff springs leave.
    let stop = Stop { gradient: 1e-7 * radius, iterations: 5 };
    minimize(&mut energy, &mut Cholesky::default(), &mut uv, stop, |_, _, _| {})?;
    Ok(uv)
}

fn flipped(uv: &[f64], faces: &[[i64; 3]]) -> usize {
    let at = |v: i64| [uv[2 * v as usize], uv[2 * v as usize + 1]];
    let upright = |f: &&[i64; 3]| {
        let [a, b, c] = f.map(at);
        (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]) > 0.0
    };
    faces.len() - faces.iter().filter(upright).count()
}

/// Lays a disk out in the plane. `report` gets the number of flipped triangles beside every iteration.
pub fn parametrize(
    mesh: &Mesh,
    mut report: impl FnMut(usize, &Iteration, usize),
) -> Outcome<Parametrization> {
    let (mut rest_inv, mut area) = (Vec::new(), Vec::new());
    for &face in &mesh.faces {
        let [u, p, q] = flattened(mesh, face)?;
        rest_inv.push([[1.0 / u, -p / (u * q)], [0.0, 1.0 / q]]);
        area.push(0.5 * u * q);
    }
    let total: f64 = area.iter().sum();
    let mut uv = tutte(mesh, total)?;
    // Relative to the whole, so that the energy is about 4 for every mesh.
    for a in &mut area {
        *a /= total;
    }
    let mut inputs = Inputs::new();
    inputs.set("uv", &points::<2>(&uv)[..]).set("faces", &mesh.faces[..]);
    inputs.set("area", &area[..]);
    inputs.set("rest_inv", &rest_inv[..]);
    let mut energy = Energy::new("parametrization.ir", DIRICHLET, "uv", &inputs)?;
    energy.finish_plainly(&inputs)?;
    if energy.value(&uv)?.is_infinite() {
        return Err("the start has flipped triangles".into());
    }
    let mut solver = Cholesky::default();
    let iterations = minimize(&mut energy, &mut solver, &mut uv, CONVERGED, |n, done, uv| {
        report(n, done, flipped(uv, &mesh.faces));
    })?;
    let flipped = flipped(&uv, &mesh.faces);
    Ok(Parametrization { uv: points(&uv), iterations, flipped, symbolic: solver.symbolic })
}

/// A bump over a square sheet: what is laid out where no mesh is given.
pub fn bump(cells: usize) -> Outcome<Mesh> {
    let arrays = generate(Kind::Grid, cells)?;
    let faces = arrays.iter().find(|a| a.name == "faces").ok_or("a grid without faces")?;
    let faces = faces.array.to_i64("faces")?.as_chunks::<3>().0.to_vec();
    let side = cells + 1;
    let vertex = |v: usize| {
        let (x, y) = ((v % side) as f64 / cells as f64, (v / side) as f64 / cells as f64);
        let r = (x - 0.5).powi(2) + (y - 0.45).powi(2);
        [x, y, 0.6 * (-14.0 * r).exp() + 0.05 * (9.0 * x).sin() * (7.0 * y).cos()]
    };
    Ok(Mesh { vertices: (0..side * side).map(vertex).collect(), faces, ..Mesh::default() })
}

/// How much each triangle is stretched: its energy relative to its area, 4 for an isometry.
fn distortion(mesh: &Mesh, uv: &[[f64; 2]]) -> Outcome<Vec<f64>> {
    mesh.faces
        .iter()
        .map(|&face| {
            let [u, p, q] = flattened(mesh, face)?;
            let [a, b, c] = face.map(|v| uv[v as usize]);
            let (e, f) = ([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]]);
            let column = [e[0] / u, e[1] / u];
            let other = [(f[0] - p * column[0]) / q, (f[1] - p * column[1]) / q];
            let squares = column[0].powi(2) + column[1].powi(2) + other[0].powi(2) + other[1].powi(2);
            let det = column[0] * other[1] - column[1] * other[0];
            Ok(squares * (1.0 + 1.0 / (det * det)))
        })
        .collect()
}

/// The command.
#[allow(dead_code, reason = "tests use this file as a module")]
fn main() -> Outcome<()> {
    let arguments = Arguments::parse("parametrization.svg")?;
    let mesh = match &arguments.mesh {
        Some(path) => read_mesh(path)?,
        None => bump(60)?,
    };
    println!("{} vertices, {} triangles", mesh.vertices.len(), mesh.faces.len());
    println!("  n        energy      gradient    step    shift  flipped  evaluate ms  solve ms");
    let found = parametrize(&mesh, |n, done, flipped| {
        let Iteration { energy, gradient, step, shift, evaluate_ms, solve_ms } = done;
        println!(
            "{n:>3} {energy:>13.8} {gradient:>13.3e} {step:>7.4} {shift:>8.0e} {flipped:>8} {evaluate_ms:>12.2} {solve_ms:>9.2}"
        );
    })?;
    let last = found.iterations.last().ok_or("no iteration")?;
    let title = format!("gradient {:.1e}, {} flipped triangles", last.gradient, found.flipped);
    println!("{title}; {} symbolic factorization", found.symbolic);
    let scalar = distortion(&mesh, &found.uv)?;
    let picture = MeshPicture {
        vertices: &flat(&found.uv),
        faces: &mesh.faces,
        scalar: Some(&scalar),
        title: Some(&title),
        label: Some("distortion (4: isometric)"),
        ..MeshPicture::default()
    };
    save(&arguments.output, &mesh_svg(&picture)?)?;
    if last.gradient < CONVERGED.gradient && found.flipped == 0 {
        Ok(())
    } else {
        Err("not converged".into())
    }
}
