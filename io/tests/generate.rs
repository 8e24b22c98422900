//! Generated inputs: shapes, orientation, determinism, and energies known to many digits.
#![allow(clippy::unwrap_used)] // helpers of tests may fail as tests do

use std::collections::BTreeMap;

use spadina_io::array::{Array, NamedArray};
use spadina_io::generate::kind::{Kind, generate};

fn make(kind: Kind, size: usize) -> BTreeMap<String, Array> {
    generate(kind, size).unwrap().into_iter().map(|NamedArray { name, array }| (name, array)).collect()
}

fn f(m: &BTreeMap<String, Array>, name: &str) -> Vec<f64> {
    m[name].to_f64(name).unwrap().into_owned()
}

fn i(m: &BTreeMap<String, Array>, name: &str) -> Vec<usize> {
    m[name].to_usize(name).unwrap()
}

/// Energies that the hand-written kernels of ../shared/limits print for the same meshes.
const RELATIVE: f64 = 1e-13;

fn assert_close(got: f64, want: f64) {
    assert!((got - want).abs() <= RELATIVE * want.abs(), "{got} is not {want}");
}

#[test]
fn springs_on_the_cloth_have_the_known_energy() {
    let m = make(Kind::Cloth, 158);
    let (x, e, rest) = (f(&m, "x"), i(&m, "edges"), f(&m, "rest"));
    assert_eq!(rest.len(), 75_208);
    let energy: f64 = rest
        .iter()
        .zip(e.chunks(2))
        .map(|(rest, e)| {
            let d2: f64 = (0..3).map(|c| (x[3 * e[0] + c] - x[3 * e[1] + c]).powi(2)).sum();
            0.5 * (d2.sqrt() - rest).powi(2)
        })
        .sum();
    assert_close(energy, 0.115_510_234_707_746);
}

#[test]
fn symmetric_dirichlet_on_the_grid_has_the_known_energy() {
    let m = make(Kind::Grid, 158);
    let (uv, faces, inv, area) = (f(&m, "uv"), i(&m, "faces"), f(&m, "rest_inv"), f(&m, "area"));
    let mut energy = 0.0;
    for (t, v) in faces.chunks(3).enumerate() {
        let d = |k: usize, c: usize| uv[2 * v[k] + c] - uv[2 * v[0] + c];
        let r = &inv[4 * t..4 * t + 4];
        let j = |row: usize, col: usize| d(1, row) * r[col] + d(2, row) * r[2 + col];
        let sq = j(0, 0).powi(2) + j(0, 1).powi(2) + j(1, 0).powi(2) + j(1, 1).powi(2);
        let det = j(0, 0) * j(1, 1) - j(0, 1) * j(1, 0);
        assert!(det > 0.0);
        energy += area[t] * sq * (1.0 + 1.0 / (det * det));
    }
    assert_close(energy, 4.613_267_938_939_82);
}

#[test]
fn neo_hookean_on_the_cube_has_the_known_energy() {
    let m = make(Kind::Tets, 20);
    let (x, tets, inv, vol) = (f(&m, "x"), i(&m, "tets"), f(&m, "rest_inv"), f(&m, "vol"));
    assert_eq!(vol.len(), 48_000);
    let mut energy = 0.0;
    for (t, v) in tets.chunks(4).enumerate() {
        let r = &inv[9 * t..9 * t + 9];
        let g = |row: usize, col: usize| -> f64 {
            (0..3).map(|k| (x[3 * v[k + 1] + row] - x[3 * v[0] + row]) * r[3 * k + col]).sum()
        };
        let det = g(0, 0) * (g(1, 1) * g(2, 2) - g(1, 2) * g(2, 1))
            - g(0, 1) * (g(1, 0) * g(2, 2) - g(1, 2) * g(2, 0))
            + g(0, 2) * (g(1, 0) * g(2, 1) - g(1, 1) * g(2, 0));
        assert!(det > 0.0);
        let sq: f64 = (0..9).map(|k| g(k / 3, k % 3).powi(2)).sum();
        energy += vol[t] * (0.5 * (sq - 3.0) - det.ln() + 5.0 * det.ln().powi(2));
    }
    assert_close(energy, 0.364_240_458_789_42);
}

#[test]
fn closed_surfaces_are_closed_oriented_and_unflipped() {
    for (kind, size, faces, euler) in [
        (Kind::Torus, 100, 10_000, 0),
        (Kind::Torus, 3, 18, 0),
        (Kind::Icosphere, 22, 9_680, 2),
        (Kind::Icosphere, 1, 20, 2),
    ] {
        let m = make(kind, size);
        let (v, e, f3) = (m["x"].shape()[0], m["edges"].shape()[0], m["faces"].shape()[0]);
        assert_eq!((f3, v as i64 - e as i64 + f3 as i64), (faces, euler), "{kind} {size}");
        assert_eq!(Some(v), kind.vertex_count(size));
        assert_eq!((m["hinges"].shape()[0], m["nbr"].len()), (e, 2 * e));
        let (ptr, nbr, opp) = (i(&m, "ptr"), i(&m, "nbr"), i(&m, "opp"));
        for k in 0..v {
            let ring = ptr[k]..ptr[k + 1];
            let mut out: Vec<_> = nbr[ring.clone()].to_vec();
            let mut back: Vec<_> = opp[ring].to_vec();
            out.sort_unstable();
            back.sort_unstable();
            assert_eq!(out, back);
            out.dedup();
            assert_eq!(out.len(), back.len());
        }
        // The enclosed volume is positive when all faces look outward.
        let (x, faces) = (f(&m, "x"), i(&m, "faces"));
        let p = |v: usize| [x[3 * v], x[3 * v + 1], x[3 * v + 2]];
        let volume: f64 = faces
            .chunks(3)
            .map(|t| {
                let (a, b, c) = (p(t[0]), p(t[1]), p(t[2]));
                a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
                    + a[2] * (b[0] * c[1] - b[1] * c[0])
            })
            .sum();
        assert!(volume > 0.0, "{kind}");
        // A convex surface at rest has dihedral angles of one sign.
        if kind == Kind::Icosphere {
            let angles = f(&m, "rest_angle");
            assert!(angles.iter().all(|a| a.signum() == angles[0].signum() && a.abs() < 1.0));
        }
    }
}

#[test]
fn every_kind_is_deterministic_sound_and_bounded() {
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
        for size in kind.min_size()..kind.min_size() + 4 {
            let once = generate(kind, size).unwrap();
            assert_eq!(once, generate(kind, size).unwrap());
            let mut names: Vec<_> = once.iter().map(|a| &a.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), once.len());
            for a in &once {
                if a.array.data().type_name() == "float64" {
                    assert!(
                        a.array.to_f64(&a.name).unwrap().iter().all(|v| v.is_finite()),
                        "{kind} {size} {}",
                        a.name
                    );
                }
            }
        }
        assert!(generate(kind, usize::MAX).is_err());
        assert!(generate(kind, 1 << 40).is_err());
    }
    assert!(generate(Kind::Torus, 2).is_err());
    assert!(generate(Kind::Cloth, 0).is_err());
    assert!("klein".parse::<Kind>().unwrap_err().to_string().contains("icosphere"));
    assert_eq!(make(Kind::Cloth, 70)["faces"].shape(), [9800, 3]);
}
