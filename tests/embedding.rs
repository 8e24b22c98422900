//! The embedding programs on small inputs: they converge, keep what they promise and go downhill.
#![allow(clippy::unwrap_used)]
#![allow(clippy::duplicate_mod, reason = "every program brings what they share")]

#[path = "../examples/cloth.rs"]
mod cloth;
#[path = "../examples/parametrization.rs"]
mod parametrization;
#[path = "../examples/willmore.rs"]
mod willmore;

use spadina_io::mesh::read::read_mesh;
use spadina_io::mesh::types::Mesh;
use std::path::PathBuf;

fn lays_out(mesh: &Mesh) {
    let mut energies: Vec<f64> = Vec::new();
    let found = parametrization::parametrize(mesh, |_, done, flipped| {
        assert_eq!(flipped, 0);
        energies.push(done.energy);
    });
    let found = found.unwrap();
    assert_eq!((found.flipped, found.symbolic), (0, 1));
    assert!(found.iterations.last().unwrap().gradient < 1e-8);
    // Up to rounding, at the end.
    assert!(energies.windows(2).all(|e| e[1] <= e[0] * (1.0 + 1e-12)), "{energies:?}");
    assert!(*energies.last().unwrap() >= 4.0, "no map is better than an isometry");
    assert!(found.iterations.len() < 60, "{} iterations", found.iterations.len());
}

#[test]
fn a_parametrization_converges_without_flips() {
    lays_out(&parametrization::bump(10).unwrap());
}

#[test]
fn a_cow_is_laid_out_without_flips() {
    // Where the meshes are: they are not part of the project. Unoptimized factorizations are slow.
    let name = if cfg!(debug_assertions) { "spot_disk_s.obj" } else { "spot_disk_m.obj" };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/meshes").join(name);
    if path.exists() {
        lays_out(&read_mesh(&path).unwrap());
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let mut closed = parametrization::bump(2).unwrap();
    closed.faces = vec![[0, 1, 3], [1, 0, 3]];
    assert!(parametrization::parametrize(&closed, |_, _, _| {}).is_err());
    assert!(willmore::flow(&parametrization::bump(2).unwrap(), 1e-8, 1, |_, _| {}).is_err());
}

#[test]
fn a_cloth_falls_on_balls_and_not_into_them() {
    let settings = cloth::Settings { time: 0.02, steps: 12, tolerance: 0.05, reach: 0.02 };
    let found =
        cloth::simulate(&cloth::sheet(8, 0.01).unwrap(), &cloth::balls(), settings, |_, _| {}).unwrap();
    for step in &found.steps {
        assert!(step.gap > 0.0, "{step:?}");
        assert!(step.energy[1] <= step.energy[0], "{step:?}");
        assert!(step.iterations < 50, "{step:?}");
    }
    assert!(found.steps.iter().map(|step| step.rebinds).sum::<usize>() > 3, "contacts change");
    assert!(found.steps.last().unwrap().contacts > found.steps[0].contacts);
    // Most of it has fallen.
    let mean = found.x.iter().map(|p| p[2]).sum::<f64>() / found.x.len() as f64;
    assert!(mean < -0.02, "{mean}");
}

#[test]
fn willmore_energy_decreases() {
    let found = willmore::flow(&willmore::dented(4).unwrap(), 1e-8, 12, |_, _| {}).unwrap();
    let mut before = found.start;
    for step in &found.steps {
        assert!(step.energy <= before, "{before} to {step:?}");
        before = step.energy;
    }
    assert_eq!(found.symbolic, 1);
    assert!(before < 0.8 * found.start, "{} to {before}", found.start);
}
