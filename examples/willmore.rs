//! Willmore flow: a closed surface becomes as round as it can, by implicit steps down its bending energy.
//!
//! ```text
//! cargo run --release --example willmore -- [CLOSED.obj] [-o willmore.svg]
//! ```
//! Each step minimizes `W(x) + 1/(2 tau) sum_v m_v |x_v - y_v|^2`, `y` being the surface before: implicit Euler for the gradient flow of the
//! discrete Willmore energy `W`, the integral of the squared mean curvature (Bobenko and Schroeder, Discrete Willmore flow, SGP 2005, for
//! implicit steps of such a flow). The energy of a vertex runs around its ring, so its unknowns are as many as its neighbors: the kernel's
//! inner loop has the length that the data gives it, and its Hessian is exact and sparse all the same. Elements of such a kind are not
//! projected; where the Hessian is indefinite, the factorization raises its diagonal.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    reason = "the table is the result; tests use this file as a module"
)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina_io::generate::kind::{Kind, generate};
use spadina_io::generate::rest::{areas, lengths, masses};
use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;
use spadina_io::picture::mesh::{MeshPicture, mesh_svg};
use spadina_io::picture::view::View;
use std::time::Instant;
use support::{
    Arguments, Cholesky, Energy, Outcome, flatten, furthest, milliseconds, newton_step, points, save,
};

const STEP: &str = "
kernel willmore_step<V, R>(
    x:     var vec3[V],
    ptr:   offsets<R>[V + 1],      // the ring of v: ptr[v] .. ptr[v + 1]
    nbr:   index<V>[R],
    opp:   index<V>[R],
    old:   vec3[V],
    mass:  f64[V],
    pull:  f64,                    // 1 / tau
) -> f64 {
    let bending = sum v in 0..V {
        let mut lap  = vec3(0.0);
        let mut area = 0.0;
        for k in ptr[v]..ptr[v + 1] {
            let (p, q, r) = (x[v], x[nbr[k]], x[opp[k]]);
            let n2 = norm(cross(q - p, r - p));
            lap  += 0.5 * dot(p - r, q - r) / n2 * (p - q)
                  + 0.5 * dot(p - q, r - q) / n2 * (p - r);
            area += n2 / 6.0;
        }
        0.25 * sqnorm(lap) / area
    };
    let inertia = sum v in 0..V { 0.5 * pull * mass[v] * sqnorm(x[v] - old[v]) };
    bending + inertia
}";

/// Newton iterations of one step of the flow, at most: the next step begins where they end.
const ITERATIONS: usize = 4;

/// One step of the flow.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The Willmore energy after the step.
    pub energy: f64,
    /// The length of the step of the flow.
    pub tau: f64,
    /// Newton iterations.
    pub iterations: usize,
    /// The largest shift of the diagonal that a factorization needed.
    pub shift: f64,
    /// The largest distance a vertex went.
    pub moved: f64,
    /// Wall time.
    pub milliseconds: f64,
}

/// What the flow ended in.
pub struct Flow {
    /// Positions.
    pub x: Vec<[f64; 3]>,
    /// The Willmore energy at the start.
    pub start: f64,
    /// Every step.
    pub steps: Vec<Step>,
    /// How often the pattern of the Hessian was analyzed.
    pub symbolic: usize,
}

/// Flows a closed surface; `tau` is the first step, in units of its length to the fourth.
pub fn flow(mesh: &Mesh, tau: f64, steps: usize, mut report: impl FnMut(usize, &Step)) -> Outcome<Flow> {
    if !mesh.boundary_edges().is_empty() {
        return Err("the surface has a boundary".into());
    }
    let ring = mesh.one_ring();
    let area = areas(&mesh.vertices, &mesh.faces);
    let scale = area.iter().sum::<f64>().sqrt();
    let mass = masses(mesh.vertices.len(), &mesh.faces, &area);
    let mut x = flatten(&mesh.vertices);
    let mut inputs = Inputs::new();
    inputs.set("x", &mesh.vertices[..]).set("old", &mesh.vertices[..]).set("mass", &mass[..]);
    inputs.set("ptr", &ring.ptr[..]).set("nbr", &ring.nbr[..]).set("opp", &ring.opp[..]).set("pull", &0.0);
    let mut energy = Energy::new("willmore.ir", STEP, "x", &inputs)?;
    let start = energy.value(&x)?;
    let mut solver = Cholesky::default();
    let mut found = Flow { x: Vec::new(), start, steps: Vec::new(), symbolic: 0 };
    let mut tau = tau * scale.powi(4);
    // No vertex goes further than a part of an edge in one iteration.
    let edge = lengths(&mesh.vertices, &mesh.edges()).iter().sum::<f64>() / mesh.edges().len() as f64;
    let limit = |_: &[f64], direction: &[f64]| 0.3 * edge / furthest(direction).max(f64::MIN_POSITIVE);
    for n in 0..steps {
        let started = Instant::now();
        energy.set("old", &x)?;
        energy.set("pull", &[1.0 / tau])?;
        let old = x.clone();
        let (mut iterations, mut shift) = (0, 0.0_f64);
        while iterations < ITERATIONS {
            let done = newton_step(&mut energy, &mut solver, &mut x, 1e-9 / scale, &limit)?;
            iterations += 1;
            shift = shift.max(done.shift);
            if done.step == 0.0 {
                break;
            }
        }
        energy.set("pull", &[0.0])?;
        let moved: Vec<f64> = x.iter().zip(&old).map(|(a, b)| a - b).collect();
        let step = Step {
            energy: energy.value(&x)?,
            tau,
            iterations,
            shift,
            moved: furthest(&moved),
            milliseconds: milliseconds(started),
        };
        report(n, &step);
        found.steps.push(step);
        // Definite without help: the flow may go faster.
        tau *= if shift < 1e-6 { 2.0 } else { 0.5 };
    }
    (found.x, found.symbolic) = (points(&x), solver.symbolic);
    Ok(found)
}

/// A dented sphere: what flows where no mesh is given.
pub fn dented(parts: usize) -> Outcome<Mesh> {
    let arrays = generate(Kind::Icosphere, parts)?;
    let named = |name: &str| arrays.iter().find(|a| a.name == name).ok_or("a sphere lacks an array");
    let faces = named("faces")?.array.to_i64("faces")?.as_chunks::<3>().0.to_vec();
    let x = named("x")?.array.to_f64("x")?.as_chunks::<3>().0.to_vec();
    let dent = |[x, y, z]: [f64; 3]| {
        let r = 1.0 + 0.25 * (3.0 * x).sin() * (2.0 * y).cos() + 0.15 * (4.0 * z + x).sin();
        [1.3 * r * x, r * y, r * z]
    };
    Ok(Mesh { vertices: x.into_iter().map(dent).collect(), faces, ..Mesh::default() })
}

/// The command.
#[allow(dead_code, reason = "tests use this file as a module")]
fn main() -> Outcome<()> {
    let arguments = Arguments::parse("willmore.svg")?;
    let mesh = match &arguments.mesh {
        Some(path) => read_mesh(path)?,
        None => dented(10)?,
    };
    println!("{} vertices, {} triangles", mesh.vertices.len(), mesh.faces.len());
    println!("  n        energy      / 4 pi       tau  iterations   shift      moved        ms");
    let found = flow(&mesh, 1e-8, 30, |n, step| {
        let Step { energy, tau, iterations, shift, moved, milliseconds } = step;
        let round = energy / (4.0 * std::f64::consts::PI);
        println!(
            "{n:>3} {energy:>13.6} {round:>11.5} {tau:>9.1e} {iterations:>11} {shift:>7.0e} {moved:>10.2e} {milliseconds:>9.1}"
        );
    })?;
    let end = found.steps.last().map_or(found.start, |step| step.energy);
    let title = format!("Willmore energy {:.4} after {:.4}", end, found.start);
    println!("{title}; {} symbolic factorization", found.symbolic);
    let picture = MeshPicture {
        vertices: &found.x,
        faces: &mesh.faces,
        view: View::Orbit { azimuth: 30.0, elevation: 20.0 },
        title: Some(&title),
        ..MeshPicture::default()
    };
    save(&arguments.output, &mesh_svg(&picture)?)
}
