//! A cloth falls on balls: implicit Euler with stretching, bending and contact barriers whose index arrays change.
//!
//! ```text
//! cargo run --release --example cloth -- [SURFACE.obj] [-o cloth.svg]
//! ```
//! A time step minimizes `1/2 sum_v m_v |x_v - y_v|^2 + h^2 E(x)`, `y` being where the vertices would fly freely (Baraff and Witkin, Large
//! steps in cloth simulation, SIGGRAPH 1998, for implicit steps; in this form Gast et al., Optimization integrator for large time steps,
//! 2015). Contacts are logarithmic barriers on the gap between vertices and balls (Li et al., Incremental potential contact, SIGGRAPH 2020):
//! zero above a gap of `reach`, infinite at none. Only pairs that are near are elements of the kernel; when they change, the problem is bound
//! anew with `rebind`. A step of Newton's method moves no vertex further than `reach`, so no pair outside twice that gap can matter.
#![allow(
    unreachable_pub,
    clippy::print_stdout,
    reason = "the table is the result; tests use this file as a module"
)]

#[path = "support/mod.rs"]
mod support;

use spadina::inputs::Inputs;
use spadina_io::generate::kind::{Kind, generate};
use spadina_io::generate::rest::{areas, dihedral_angles, lengths, masses};
use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;
use spadina_io::picture::mesh::{MeshPicture, mesh_svg};
use spadina_io::picture::view::View;
use std::time::Instant;
use support::{
    Arguments, Cholesky, Energy, Outcome, flatten, furthest, milliseconds, newton_step, norm, points, save,
};

const STEP: &str = "
fn dihedral(p: vec3, q: vec3, r: vec3, s: vec3) -> f64 {
    let e = q - p;
    let n1 = cross(e, r - p);
    let n2 = cross(s - p, e);
    atan2(dot(cross(n1, n2), e) / norm(e), dot(n1, n2))
}

kernel cloth_step<V, E, H, C, B>(
    x:          var vec3[V],
    free:       vec3[V],           // where the vertices would fly
    mass:       f64[V],
    edges:      index<V>[E, 2],
    rest:       f64[E],
    hinges:     index<V>[H, 4],
    rest_angle: f64[H],
    touching:   index<V>[C],       // pairs of a vertex and a ball that are near
    ball:       index<B>[C],
    center:     vec3[B],
    radius:     f64[B],
    h2:         f64,               // time step, squared
    stretch:    f64,
    bend:       f64,
    push:       f64,
    reach:      f64,
) -> f64 {
    let inertia = sum v in 0..V { 0.5 * mass[v] * sqnorm(x[v] - free[v]) };
    let stretching = #[project] sum e: [i, j] in edges {
        0.5 * h2 * stretch * rest[e] * (norm(x[i] - x[j]) / rest[e] - 1.0)^2
    };
    let bending = #[project] sum h: [p, q, r, s] in hinges {
        0.5 * h2 * bend * (dihedral(x[p], x[q], x[r], x[s]) - rest_angle[h])^2
    };
    let contact = #[project] sum c in 0..C {
        let gap = norm(x[touching[c]] - center[ball[c]]) - radius[ball[c]];
        if gap <= 0.0 {
            inf
        } else if gap < reach {
            -h2 * push * (gap / reach - 1.0)^2 * log(gap / reach)
        } else {
            0.0
        }
    };
    inertia + stretching + bending + contact
}";

/// What the simulation is run with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Length of a time step.
    pub time: f64,
    /// Time steps.
    pub steps: usize,
    /// Newton's method stops where no vertex is to move further than this part of `reach`.
    pub tolerance: f64,
    /// The gap below which a ball pushes.
    pub reach: f64,
}

/// A ball that does not move.
#[derive(Clone, Copy, Debug)]
pub struct Ball {
    /// Its center.
    pub center: [f64; 3],
    /// Its radius.
    pub radius: f64,
}

/// One time step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Newton iterations.
    pub iterations: usize,
    /// Pairs that were near, at the end.
    pub contacts: usize,
    /// How often they changed.
    pub rebinds: usize,
    /// The energy that was minimized, at the start of the step and at its end, with the contacts of the end.
    pub energy: [f64; 2],
    /// The smallest gap between a vertex and a ball.
    pub gap: f64,
    /// Wall time, and the part of it that binding anew took.
    pub milliseconds: [f64; 2],
}

/// Where the cloth ended.
pub struct Motion {
    /// Positions.
    pub x: Vec<[f64; 3]>,
    /// Every time step.
    pub steps: Vec<Step>,
    /// How often a pattern was analyzed.
    pub symbolic: usize,
}

fn gap(x: [f64; 3], ball: &Ball) -> f64 {
    let d: Vec<f64> = x.iter().zip(&ball.center).map(|(x, c)| x - c).collect();
    norm(&d) - ball.radius
}

/// Pairs whose gap is below `bound`.
fn near(x: &[f64], balls: &[Ball], bound: f64) -> (Vec<i64>, Vec<i64>) {
    let mut pairs = (Vec::new(), Vec::new());
    for (v, &p) in points::<3>(x).iter().enumerate() {
        for (b, _) in balls.iter().enumerate().filter(|(_, ball)| gap(p, ball) < bound) {
            pairs.0.push(v as i64);
            pairs.1.push(b as i64);
        }
    }
    pairs
}

fn smallest_gap(x: &[f64], balls: &[Ball]) -> f64 {
    let all = points::<3>(x);
    let gaps = all.iter().flat_map(|&p| balls.iter().map(move |ball| gap(p, ball)));
    gaps.fold(f64::INFINITY, f64::min)
}

/// Lets a surface of at least one triangle fall.
pub fn simulate(
    mesh: &Mesh,
    balls: &[Ball],
    settings: Settings,
    mut report: impl FnMut(usize, &Step),
) -> Outcome<Motion> {
    let Settings { time, reach, .. } = settings;
    let (edges, hinges) = (mesh.edges(), mesh.hinges()?);
    let mass = masses(mesh.vertices.len(), &mesh.faces, &areas(&mesh.vertices, &mesh.faces));
    let mut x = flatten(&mesh.vertices);
    let mut speed = vec![0.0; x.len()];
    let mut pairs = near(&x, balls, 2.0 * reach);
    let mut inputs = Inputs::new();
    inputs.set("x", &mesh.vertices[..]).set("free", &mesh.vertices[..]).set("mass", &mass[..]);
    inputs.set("edges", &edges[..]).set("rest", &lengths(&mesh.vertices, &edges)[..]);
    inputs.set("hinges", &hinges[..]).set("rest_angle", &dihedral_angles(&mesh.vertices, &hinges)[..]);
    inputs.set("touching", &pairs.0[..]).set("ball", &pairs.1[..]);
    let centers: Vec<[f64; 3]> = balls.iter().map(|ball| ball.center).collect();
    let radii: Vec<f64> = balls.iter().map(|ball| ball.radius).collect();
    inputs.set("center", &centers[..]).set("radius", &radii[..]);
    inputs.set("h2", &(time * time)).set("stretch", &400.0).set("bend", &0.005).set("push", &0.05);
    inputs.set("reach", &reach);
    let mut energy = Energy::new("cloth.ir", STEP, "x", &inputs)?;
    let mut solver = Cholesky::default();
    let mut steps = Vec::new();
    for n in 0..settings.steps {
        let started = Instant::now();
        let old = x.clone();
        let mut free = x.clone();
        for (k, (y, v)) in free.iter_mut().zip(&speed).enumerate() {
            *y += time * v - if k % 3 == 2 { 9.81 * time * time } else { 0.0 };
        }
        energy.set("free", &free)?;
        let (mut iterations, mut rebinds, mut binding) = (0, 0, 0.0);
        // No vertex goes further than the reach in one iteration: pairs that were not near stay out of it.
        let limit = |_: &[f64], direction: &[f64]| 0.9 * reach / furthest(direction).max(f64::MIN_POSITIVE);
        while iterations < 50 {
            let now = near(&x, balls, 2.0 * reach);
            if now != pairs {
                let binds = Instant::now();
                pairs = now;
                let mut changed = Inputs::new();
                changed.set("touching", &pairs.0[..]).set("ball", &pairs.1[..]);
                energy.rebind(&changed)?;
                rebinds += 1;
                binding += milliseconds(binds);
            }
            let before = x.clone();
            let done = newton_step(&mut energy, &mut solver, &mut x, 0.0, &limit)?;
            iterations += 1;
            let moved: Vec<f64> = x.iter().zip(&before).map(|(a, b)| a - b).collect();
            if done.step == 0.0 || (done.step >= 0.99 && furthest(&moved) < settings.tolerance * reach) {
                break;
            }
        }
        for ((v, x), o) in speed.iter_mut().zip(&x).zip(&old) {
            *v = (x - o) / time;
        }
        let step = Step {
            iterations,
            contacts: pairs.0.len(),
            rebinds,
            energy: [energy.value(&old)?, energy.value(&x)?],
            gap: smallest_gap(&x, balls),
            milliseconds: [milliseconds(started), binding],
        };
        report(n, &step);
        steps.push(step);
    }
    Ok(Motion { x: points(&x), steps, symbolic: solver.symbolic })
}

/// A flat sheet of `cells * cells` cells over the unit square at a height.
pub fn sheet(cells: usize, height: f64) -> Outcome<Mesh> {
    let arrays = generate(Kind::Grid, cells)?;
    let faces = arrays.iter().find(|a| a.name == "faces").ok_or("a grid without faces")?;
    let faces = faces.array.to_i64("faces")?.as_chunks::<3>().0.to_vec();
    let side = cells + 1;
    let vertex = |v: usize| [(v % side) as f64 / cells as f64, (v / side) as f64 / cells as f64, height];
    Ok(Mesh { vertices: (0..side * side).map(vertex).collect(), faces, ..Mesh::default() })
}

/// A large ball in the middle and two small ones, below the unit square.
pub fn balls() -> Vec<Ball> {
    vec![
        Ball { center: [0.5, 0.5, -0.3], radius: 0.28 },
        Ball { center: [0.12, 0.2, -0.35], radius: 0.12 },
        Ball { center: [0.85, 0.75, -0.45], radius: 0.15 },
    ]
}

/// The mesh over the unit square, its lowest point at a height.
fn placed(mesh: Mesh, height: f64) -> Mesh {
    let bound = |axis: usize, f: fn(f64, f64) -> f64, start: f64| {
        mesh.vertices.iter().map(|p| p[axis]).fold(start, f)
    };
    let low: Vec<f64> = (0..3).map(|axis| bound(axis, f64::min, f64::INFINITY)).collect();
    let size = (0..3).map(|axis| bound(axis, f64::max, f64::NEG_INFINITY) - low[axis]).fold(0.0, f64::max);
    let place =
        |p: &[f64; 3]| [(p[0] - low[0]) / size, (p[1] - low[1]) / size, (p[2] - low[2]) / size + height];
    Mesh { vertices: mesh.vertices.iter().map(place).collect(), ..mesh }
}

/// The cloth and the balls as one mesh, with a color for each.
fn scene(x: &[[f64; 3]], faces: &[[i64; 3]], balls: &[Ball]) -> Outcome<(Mesh, Vec<f64>)> {
    let mut all = Mesh { vertices: x.to_vec(), faces: faces.to_vec(), ..Mesh::default() };
    let mut colors = vec![0.0; faces.len()];
    let arrays = generate(Kind::Icosphere, 6)?;
    let named = |name: &str| arrays.iter().find(|a| a.name == name).ok_or("a sphere lacks an array");
    let sphere = named("x")?.array.to_f64("x")?.as_chunks::<3>().0.to_vec();
    let sides = named("faces")?.array.to_i64("faces")?.as_chunks::<3>().0.to_vec();
    for Ball { center, radius } in balls {
        let first = all.vertices.len() as i64;
        for p in &sphere {
            // Generated spheres are deformed: only directions are taken. A little smaller, so that the cloth hides what it touches.
            let length = 1.03 * norm(p);
            all.vertices.push([0, 1, 2].map(|k| center[k] + radius * p[k] / length));
        }
        all.faces.extend(sides.iter().map(|f| f.map(|v| v + first)));
        colors.resize(all.faces.len(), 1.0);
    }
    Ok((all, colors))
}

/// The command.
#[allow(dead_code, reason = "tests use this file as a module")]
fn main() -> Outcome<()> {
    let arguments = Arguments::parse("cloth.svg")?;
    let mesh = match &arguments.mesh {
        Some(path) => placed(read_mesh(path)?, 0.01),
        None => sheet(24, 0.0)?,
    };
    let settings = Settings { time: 0.02, steps: 40, tolerance: 0.02, reach: 0.012 };
    println!("{} vertices, {} triangles", mesh.vertices.len(), mesh.faces.len());
    println!("  n  iterations  contacts  rebinds        energy     smallest gap        ms  rebind ms");
    let found = simulate(&mesh, &balls(), settings, |n, step| {
        let Step { iterations, contacts, rebinds, energy, gap, milliseconds } = step;
        println!(
            "{n:>3} {iterations:>11} {contacts:>9} {rebinds:>8} {:>13.6e} {gap:>16.6} {:>9.1} {:>10.1}",
            energy[1], milliseconds[0], milliseconds[1]
        );
    })?;
    println!("{} symbolic factorizations", found.symbolic);
    let (all, colors) = scene(&found.x, &mesh.faces, &balls())?;
    let seconds = settings.time * settings.steps as f64;
    let title = format!("after {seconds:.2} s, {} contacts", found.steps.last().map_or(0, |s| s.contacts));
    let picture = MeshPicture {
        vertices: &all.vertices,
        faces: &all.faces,
        scalar: Some(&colors),
        view: View::Orbit { azimuth: 35.0, elevation: 25.0 },
        title: Some(&title),
        ..MeshPicture::default()
    };
    save(&arguments.output, &mesh_svg(&picture)?)
}
