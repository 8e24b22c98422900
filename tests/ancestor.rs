//! Every row of `../shared/reference/ancestor.md`: what the ancestor's sparse tests compute, held against the dense derivative entry
//! by entry, the pattern and the numbers against what the row says.
#![allow(clippy::unwrap_used)]

#[path = "ancestor_oracle.rs"]
mod oracle;

use oracle::{Found, Noise, Places, blocks, check, check_with, components, kernel, refused_or_right};
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options};
use spadina_io::generate::kind::{Kind, generate};

/// Relative tolerance of numbers that are worked out here, and absolute of those that the table prints with six digits.
const CLOSE: f64 = 1e-12;
const PRINTED: f64 = 5e-7;

fn with_x(x: &[f64]) -> Inputs {
    let mut inputs = Inputs::new();
    inputs.set("x", x);
    inputs
}

/// Numbers that grow: neighbors differ by about one.
fn rising(n: usize) -> Vec<f64> {
    let mut noise = Noise::new(n as u64);
    (0..n).map(|i| i as f64 + noise.between(0.0, 0.4)).collect()
}

fn squares(n: usize) -> Vec<f64> {
    (1..=n).map(|i| (i * i) as f64).collect()
}

fn assert_entry(found: &Found, row: usize, col: usize, wanted: f64) {
    let entry = found.entry(row, col);
    assert!(
        (entry - wanted).abs() <= CLOSE * wanted.abs().max(1.0),
        "({row}, {col}): {entry:?}, not {wanted:?}"
    );
}

/// Every stored entry, by a formula.
fn assert_entries(found: &Found, wanted: impl Fn(usize, usize) -> f64) {
    for (row, col) in found.places() {
        assert_entry(found, row, col, wanted(row, col));
    }
}

#[test]
fn chain() {
    let kernel = kernel("ancestor/chain.ir", None);
    for n in [0, 1, 2, 3, 8, 50] {
        let found = check(&format!("chain, N = {n}"), &kernel, &with_x(&rising(n)));
        assert_eq!(found.places(), blocks((1..n).map(|i| vec![i - 1, i])));
        assert_eq!(found.nnz(), if n < 2 { 0 } else { 3 * n - 2 });
        let diagonal = |i| if i == 0 || i + 1 == n { 2.0 } else { 4.0 };
        assert_entries(&found, |r, c| if r == c { diagonal(r) } else { -2.0 });
    }
}

#[test]
fn sqrtspring() {
    let kernel = kernel("ancestor/sqrt_spring.ir", None);
    for n in [0, 1, 2, 3, 8, 33] {
        let x = if n == 8 { squares(8) } else { rising(n) };
        let found = check(&format!("sqrtspring, N = {n}"), &kernel, &with_x(&x));
        assert_eq!(found.places(), blocks((1..n).map(|i| vec![i - 1, i])));
        let slope = |i: usize| -0.5 * (x[i + 1] - x[i]).powf(-1.5);
        let left = |i: usize| if i == 0 { 0.0 } else { slope(i - 1) };
        let right = |i: usize| if i + 1 == n { 0.0 } else { slope(i) };
        assert_entries(&found, |r, c| if r == c { left(r) + right(r) } else { -slope(r.min(c)) });
        if n == 8 {
            assert_eq!(found.nnz(), 22);
            let printed = [
                (0, 0, -0.096_225),
                (0, 1, 0.096_225),
                (1, 1, -0.140_946),
                (1, 2, 0.044_721),
                (7, 7, -0.008_607),
            ];
            for (row, col, wanted) in printed {
                assert!((found.entry(row, col) - wanted).abs() <= PRINTED, "({row}, {col})");
            }
        }
    }
}

#[test]
fn ringspring() {
    let kernel = kernel("ancestor/ring_spring.ir", None);
    for n in [0, 1, 2, 3, 8, 33] {
        let x = if n == 8 { squares(8) } else { rising(n) };
        let found = check(&format!("ringspring, N = {n}"), &kernel, &with_x(&x));
        assert_eq!(found.places(), blocks((0..n).map(|i| vec![i, (i + 1) % n])));
        if n > 2 {
            assert_entries(&found, |r, c| if r == c { 4.0 } else { -2.0 });
            assert_eq!(found.nnz(), 3 * n);
        }
        if n == 8 {
            assert_entry(&found, 0, 7, -2.0);
            assert_entry(&found, 7, 0, -2.0);
            assert_entry(&found, 7, 7, 4.0);
        }
    }
    // Both springs between the same two points.
    let found = check("ringspring, N = 2", &kernel, &with_x(&[0.0, 3.0]));
    assert_entries(&found, |r, c| if r == c { 4.0 } else { -4.0 });
}

#[test]
fn ringspring_2d_extended() {
    let kernel = kernel("ancestor/ring_spring_2d_extended.ir", None);
    for n in [0, 1, 2, 3, 30] {
        let angle = |i: usize| std::f64::consts::TAU * (i % n.max(1)) as f64 / n.max(1) as f64;
        let x: Vec<f64> = (0..=n).flat_map(|i| [angle(i).cos(), angle(i).sin()]).collect();
        let found = check(&format!("ringspring2D, N = {n}"), &kernel, &with_x(&x));
        let springs = (0..n).flat_map(|i| [vec![2 * i, 2 * i + 2], vec![2 * i + 1, 2 * i + 3]]);
        assert_eq!(found.places(), blocks(springs));
        let diagonal = |i| if i < 2 || i >= 2 * n { 2.0 } else { 4.0 };
        assert_entries(&found, |r, c| if r == c { diagonal(r) } else { -2.0 });
    }
}

#[test]
fn ringspring_3d_extended() {
    let kernel = kernel("ancestor/ring_spring_3d_extended.ir", None);
    for n in [0, 3, 6, 30] {
        let x = Noise::new(3).list(n + 3, -1.0, 1.0);
        let found = check(&format!("ringspring3D, N = {n}"), &kernel, &with_x(&x));
        assert_eq!(found.places(), blocks((0..n).map(|i| vec![i, i + 3])));
        let diagonal = |i| if i < 3 || i >= n { 2.0 } else { 4.0 };
        assert_entries(&found, |r, c| if r == c { diagonal(r) } else { -2.0 });
        if n == 30 {
            assert_eq!((found.pattern.rows(), found.nnz()), (33, 93));
            assert_eq!(found.places().iter().filter(|place| place.1 < 30).count(), 87);
        }
    }
}

#[test]
fn ringspring_3d_rest_length_one() {
    for (name, wraps) in [("extended", false), ("wrapped", true)] {
        let kernel = kernel("ancestor/ring_spring_3d_rest.ir", Some(name));
        for n in [0, 3, 6, 9, 30] {
            let x = Noise::new(4).list(if wraps { n } else { n + 3 }, -1.0, 1.0);
            let found = check(&format!("ringspring3D {name}, N = {n}"), &kernel, &with_x(&x));
            let points = x.len() / 3;
            let springs: Vec<[usize; 2]> = (0..n / 3).map(|j| [j, (j + 1) % points]).collect();
            assert_eq!(found.places(), blocks(springs.iter().map(|s| components(*s, 3))));
            if wraps && n == 3 {
                // A point tied to itself: the root of zero has no slope.
                assert!(found.at.matrix.iter().all(|h| h.is_nan()));
                continue;
            }
            let mut wanted = vec![0.0; x.len() * x.len()];
            for [p, q] in springs {
                let h: [f64; 3] = std::array::from_fn(|k| x[3 * q + k] - x[3 * p + k]);
                let f: f64 = h.iter().map(|h| h * h).sum();
                for (a, b, sign) in [(p, p, 1.0), (p, q, -1.0), (q, p, -1.0), (q, q, 1.0)] {
                    for j in 0..3 {
                        for l in 0..3 {
                            let g = if j == l { 2.0 * (1.0 - f.sqrt().recip()) } else { 0.0 };
                            wanted[(3 * a + j) * x.len() + 3 * b + l] +=
                                sign * (g + 2.0 * h[j] * h[l] * f.powf(-1.5));
                        }
                    }
                }
            }
            assert_entries(&found, |r, c| wanted[r * x.len() + c]);
            if n == 30 {
                assert_eq!(found.nnz(), if wraps { 9 * 30 } else { 9 * (11 + 2 * 10) });
            }
        }
    }
}

const ONE_FACE: [[f64; 3]; 3] = [[1.0, 2.0, 3.0], [4.0, 3.0, 2.0], [3.0, 1.0, 3.0]];

#[test]
fn mass_energy() {
    let affine = kernel("ancestor/mass_energy.ir", Some("mass_affine"));
    let gathered = kernel("ancestor/mass_energy.ir", Some("mass_gathered"));
    let two_thirds = 30.0_f64.sqrt() / 3.0;
    let mut inputs = with_x(&[0.0, 1.0, 0.0]);
    inputs.set("p", &ONE_FACE.as_flattened().to_vec());
    let found = check("mass of one face", &affine, &inputs);
    assert_eq!(found.places(), blocks((0..3).map(|i| vec![i])));
    assert_entries(&found, |_, _| two_thirds);
    assert!((found.entry(0, 0) - 1.825_742).abs() <= PRINTED);
    inputs.set("p", &ONE_FACE).set("faces", &[0_i64, 1, 2]);
    let found = check("mass of one face, gathered", &gathered, &inputs);
    assert_eq!(found.places(), blocks((0..3).map(|i| vec![i])));
    assert_entries(&found, |_, _| two_thirds);
    for faces in [0, 1, 2, 7] {
        let mut noise = Noise::new(faces as u64);
        let mut inputs = with_x(&noise.list(3 * faces, -1.0, 1.0));
        inputs.set("p", &noise.list(9 * faces, -1.0, 1.0));
        let found = check(&format!("mass of {faces} faces"), &affine, &inputs);
        assert_eq!(found.places(), blocks((0..3 * faces).map(|i| vec![i])));
    }
}

/// A function on a mesh: unknowns, positions, faces as a flat table.
fn on_mesh(points: &[[f64; 3]], faces: &[[i64; 3]]) -> Inputs {
    let mut inputs = with_x(&Noise::new(5).list(points.len(), -1.0, 1.0));
    inputs.set("p", points).set("faces", faces.as_flattened());
    inputs
}

/// Rows of an index table.
type Table<const W: usize> = [[i64; W]];
/// Points, and elements between them.
type Mesh<const W: usize> = (Vec<[f64; 3]>, Vec<[i64; W]>);

/// The smallest meshes, and one with vertices in no face.
fn surfaces() -> Vec<Mesh<3>> {
    let mut noise = Noise::new(6);
    let mut surfaces = vec![(Vec::new(), Vec::new())];
    surfaces.push((noise.points(1, -1.0, 1.0), Vec::new()));
    surfaces.push((noise.points(2, -1.0, 1.0), Vec::new()));
    surfaces.push((noise.points(3, -1.0, 1.0), vec![[2, 0, 1]]));
    surfaces.push((noise.points(6, -1.0, 1.0), vec![[0, 1, 2], [2, 1, 4]]));
    surfaces.push((noise.points(9, -1.0, 1.0), (0..7).map(|i| [i, (i + 2) % 9, (3 * i + 4) % 9]).collect()));
    surfaces.retain(|(_, faces)| faces.iter().all(|[a, b, c]| a != b && b != c && c != a));
    surfaces.push(mesh(Kind::Icosphere, 2));
    surfaces
}

/// Points and faces of a generated mesh.
fn mesh(kind: Kind, size: usize) -> (Vec<[f64; 3]>, Vec<[i64; 3]>) {
    (points(kind, size), table(kind, size, "faces"))
}

fn points(kind: Kind, size: usize) -> Vec<[f64; 3]> {
    let arrays = generate(kind, size).unwrap();
    let x = arrays.iter().find(|a| a.name == "x").unwrap();
    x.array.to_f64("x").unwrap().as_chunks::<3>().0.to_vec()
}

fn table<const W: usize>(kind: Kind, size: usize, name: &str) -> Vec<[i64; W]> {
    let arrays = generate(kind, size).unwrap();
    let found = arrays.iter().find(|a| a.name == name).unwrap().array.to_usize(name).unwrap();
    let entries: Vec<i64> = found.iter().map(|&n| n as i64).collect();
    entries.as_chunks::<W>().0.to_vec()
}

fn element<const W: usize>(entries: &[i64; W], width: usize) -> Vec<usize> {
    components(entries.iter().map(|&v| v as usize), width)
}

#[test]
fn mass_and_laplacian_energies_with_gathers() {
    let mass = kernel("ancestor/mass_energy.ir", Some("mass_gathered"));
    let laplacian = kernel("ancestor/mass_energy.ir", Some("laplacian_gathered"));
    for (points, faces) in surfaces() {
        let inputs = on_mesh(&points, &faces);
        let what = format!("{} points, {} faces", points.len(), faces.len());
        let found = check(&format!("mass, {what}"), &mass, &inputs);
        let used = faces.iter().flatten().map(|&v| vec![v as usize]);
        assert_eq!(found.places(), blocks(used));
        let found = check(&format!("Laplacian, {what}"), &laplacian, &inputs);
        assert_eq!(found.places(), blocks(faces.iter().map(|f| element(f, 1))));
        // A quadratic form whose rows sum to zero.
        for row in 0..points.len() {
            let sum: f64 = (0..points.len()).map(|col| found.entry(row, col)).sum();
            assert!(sum.abs() <= 1e-10 * oracle::scale(&found.at.matrix), "{what}: row {row} sums to {sum}");
        }
        // With respect to the positions too.
        if points.len() <= 9 {
            for kernel in [&mass, &laplacian] {
                let wrt = Some(vec!["x".to_owned(), "p".to_owned()]);
                let options = Options { wrt, ..Options::new(Derivative::Hessian) };
                check_with(&format!("{}, {what}, x and p", kernel.name()), &inputs, kernel, &options);
            }
        }
    }
}

fn cloth_inputs(
    points: &[[f64; 3]],
    edges: &[[i64; 2]],
    faces: &[[i64; 3]],
    flaps: &[[i64; 4]],
) -> (Inputs, Places) {
    let mut noise = Noise::new(7);
    let x: Vec<[f64; 3]> = points.iter().map(|p| p.map(|c| 1.1 * c + noise.between(-0.05, 0.05))).collect();
    let mut inputs = Inputs::new();
    inputs.set("x", &x).set("p", points);
    inputs.set("edges", edges).set("faces", faces).set("flaps", flaps);
    let mut places = blocks(edges.iter().map(|e| element(e, 3)));
    places.extend(blocks(faces.iter().map(|f| element(f, 3))));
    places.extend(blocks(flaps.iter().map(|f| element(f, 3))));
    (inputs, places)
}

#[test]
fn cloth() {
    let kernel = kernel("ancestor/cloth.ir", None);
    let square = [[0.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.2, 1.0, 0.1], [0.8, -0.9, 0.3]];
    let edges = [[0, 1], [1, 2], [2, 0], [0, 3], [3, 1]];
    let faces = [[0, 1, 2], [1, 0, 3]];
    let by_hand: [(&[[f64; 3]], &Table<2>, &Table<3>, &Table<4>); 6] = [
        (&[], &[], &[], &[]),
        (&square[..1], &[], &[], &[]),
        (&square[..2], &edges[..1], &[], &[]),
        (&square[..3], &edges[..3], &faces[..1], &[]),
        (&square, &edges, &faces, &[[0, 1, 2, 3]]),
        // Only flaps: two loops run zero times.
        (&square, &[], &[], &[[0, 1, 2, 3]]),
    ];
    for (points, edges, faces, flaps) in by_hand {
        let (inputs, places) = cloth_inputs(points, edges, faces, flaps);
        let what = format!("cloth of {} points, {} flaps", points.len(), flaps.len());
        assert_eq!(check(&what, &kernel, &inputs).places(), places, "{what}");
    }
    for (kind, size) in [(Kind::Cloth, 3), (Kind::Icosphere, 1)] {
        let (points, faces) = mesh(kind, size);
        let (edges, flaps) = (table(kind, size, "edges"), table(kind, size, "hinges"));
        let (inputs, places) = cloth_inputs(&points, &edges, &faces, &flaps);
        assert_eq!(check(&format!("cloth on {kind:?}"), &kernel, &inputs).places(), places);
    }
}

#[test]
fn elastic() {
    let kernel = kernel("ancestor/elastic.ir", None);
    let one = vec![[0.0, 0.0, 0.0], [1.0, 0.0, 0.1], [0.2, 1.0, 0.0], [0.1, 0.2, 1.0]];
    let mut meshes =
        vec![(Vec::new(), Vec::new()), (one[..1].to_vec(), Vec::new()), (one[..2].to_vec(), Vec::new())];
    meshes.push((one, vec![[0_i64, 1, 2, 3]]));
    for size in [1, 2] {
        meshes.push((points(Kind::Tets, size), table(Kind::Tets, size, "tets")));
    }
    for (points, tets) in meshes {
        let mut noise = Noise::new(8);
        let amount = 0.05;
        let x: Vec<[f64; 3]> =
            points.iter().map(|p| p.map(|c| 1.1 * c + noise.between(-amount, amount))).collect();
        let mut inputs = Inputs::new();
        inputs.set("x", &x).set("p", &points).set("tets", &tets);
        let found = check(&format!("elastic, {} tets", tets.len()), &kernel, &inputs);
        assert_eq!(found.places(), blocks(tets.iter().map(|t| element(t, 3))));
    }
}

fn stencil(name: &str) -> Kernel {
    kernel("ancestor/stencils.ir", Some(name))
}

/// A linear stencil: row `i` has these entries.
fn linear_stencil(name: &str, sizes: &[usize], row: impl Fn(usize, usize) -> Vec<(usize, f64)>) {
    let kernel = stencil(name);
    for &n in sizes {
        let found = check(&format!("{name}, N = {n}"), &kernel, &with_x(&rising(n)));
        let rows: Vec<Vec<(usize, f64)>> = (0..n).map(|i| row(n, i)).collect();
        let places: Places =
            rows.iter().enumerate().flat_map(|(r, row)| row.iter().map(move |e| (r, e.0))).collect();
        assert_eq!(found.places(), places, "{name}, N = {n}");
        for (r, row) in rows.iter().enumerate() {
            for &(c, wanted) in row {
                assert_entry(&found, r, c, wanted);
            }
        }
    }
}

#[test]
fn asymmetric_stencil() {
    linear_stencil("asymmetric", &[0, 1, 2, 3, 8], |n, i| {
        if i + 1 < n { vec![(i, -2.0), (i + 1, 1.0)] } else { Vec::new() }
    });
    let found = check("asymmetric", &stencil("asymmetric"), &with_x(&rising(8)));
    assert_eq!(found.nnz(), 14);
}

#[test]
fn three_term_stencil() {
    linear_stencil("three_terms", &[0, 1, 2, 4, 5, 9], |n, i| {
        if i >= 1 && i + 3 < n { vec![(i - 1, -1.0), (i + 1, -3.0), (i + 3, 2.0)] } else { Vec::new() }
    });
    assert_eq!(check("three_terms", &stencil("three_terms"), &with_x(&rising(9))).nnz(), 15);
}

#[test]
fn four_term_stencil() {
    linear_stencil("four_terms", &[0, 1, 2, 5, 6, 12], |n, i| {
        if i < 2 || i + 3 >= n {
            return Vec::new();
        }
        vec![(i - 2, -1.0), (i, -3.0), (i + 2, 1.0), (i + 3, -3.0)]
    });
    assert_eq!(check("four_terms", &stencil("four_terms"), &with_x(&rising(12))).nnz(), 4 * 7);
}

#[test]
fn stencil_with_a_nonlinear_term() {
    let kernel = stencil("nonlinear_term");
    for n in [0_usize, 1, 2, 5, 6, 12] {
        let x: Vec<f64> = (1..=n).map(|i| i as f64 / 4.0).collect();
        let found = check(&format!("nonlinear_term, N = {n}"), &kernel, &with_x(&x));
        let inside = 2..n.saturating_sub(3).max(2);
        assert_eq!(found.nnz(), 4 * inside.len());
        for i in inside {
            assert_entry(&found, i, i - 2, -1.0);
            assert_entry(&found, i, i, -3.0);
            assert_entry(&found, i, i + 2, 1.0);
            assert_entry(&found, i, i + 3, -3.0 * x[i + 3].cos());
        }
    }
}

#[test]
fn banded_with_a_variable_window() {
    let kernel = stencil("banded");
    for n in [0, 1, 2, 3, 4, 7, 20] {
        let x = rising(n);
        let found = check(&format!("banded, N = {n}"), &kernel, &with_x(&x));
        let window = |i: usize| i.saturating_sub(1)..(i + 3).min(n);
        let places: Places = (0..n).flat_map(|i| window(i).map(move |j| (i, j))).collect();
        assert_eq!(found.places(), places);
        assert_entries(&found, |i, j| (i as f64 - j as f64 + 3.0) * 2.0 * x[j]);
        if n == 7 {
            assert!((1..5).all(|row| found.pattern.row(row).len() == 4));
        }
    }
}

#[test]
fn nested_accumulate() {
    let kernel = stencil("nested_accumulate");
    for n in [0, 1, 2, 3, 7, 20] {
        let found = check(&format!("nested_accumulate, N = {n}"), &kernel, &with_x(&rising(n)));
        let window = |i: usize| i.saturating_sub(1)..(i + 2).min(n);
        let places: Places = (0..n).flat_map(|i| window(i).chain([n - 1]).map(move |j| (i, j))).collect();
        assert_eq!(found.places(), places);
        if n > 3 {
            assert_entry(&found, 0, n - 1, 4.0);
        }
    }
}

#[test]
fn products_of_neighbors() {
    for (name, digits) in [("products", 1e-12), ("products_single", 1e-6)] {
        let kernel = stencil(name);
        for n in [0, 1, 2, 3, 7] {
            let x = rising(n);
            let found = check(&format!("{name}, N = {n}"), &kernel, &with_x(&x));
            let last = |i: usize| i + 1 == n;
            let places: Places = (0..n).flat_map(|i| (i..(i + 2).min(n)).map(move |j| (i, j))).collect();
            assert_eq!(found.places(), places, "{name}");
            for (i, j) in places {
                let wanted = if last(i) { 2.0 * x[i] } else { x[if i == j { i + 1 } else { i }] };
                assert!((found.entry(i, j) - wanted).abs() <= digits * wanted.abs(), "{name} ({i}, {j})");
            }
        }
    }
}

#[test]
fn springs_in_a_row_as_a_residual() {
    let kernel = stencil("springs");
    for n in [1, 2, 3, 9] {
        let x = rising(n);
        let found = check(&format!("springs, {n} unknowns"), &kernel, &with_x(&x));
        assert_eq!(found.places(), (0..n - 1).flat_map(|i| [(i, i), (i, i + 1)]).collect::<Places>());
        assert_entries(&found, |i, j| {
            let d = x[i + 1] - x[i];
            let root = (d * d + 1.0).sqrt();
            2.0 * (root - 1.0) * d / root * if i == j { -1.0 } else { 1.0 }
        });
    }
}

#[test]
fn reduction_with_partial_sums() {
    let loops = kernel("ancestor/reductions.ir", Some("by_loops"));
    let scan = kernel("ancestor/reductions.ir", Some("by_scan"));
    for n in [0, 1, 2, 3, 9] {
        let inputs = with_x(&rising(n));
        let found = check(&format!("reduction, N = {n}"), &loops, &inputs);
        let first = (0..n).map(|j| (0, j));
        let partial = (0..n).flat_map(|i| (0..=i).map(move |j| (i + 1, j)));
        assert_eq!(found.places(), first.chain(partial).collect::<Places>());
        assert_entries(&found, |_, _| 3.0);
        let dense = refused_or_right(&format!("scan, N = {n}"), &scan, &inputs, "recurrence");
        for (row, col) in dense.places() {
            assert_entry(&dense, row, col, if col <= row { 3.0 } else { 0.0 });
        }
    }
}

#[test]
fn three_term_sum_of_gathers() {
    let kernel = kernel("ancestor/tables.ir", Some("three_gathers"));
    for (n, rows) in [(0, 0), (1, 0), (1, 1), (1, 2), (2, 1), (2, 5), (9, 20)] {
        let mut noise = Noise::new(rows as u64);
        let mut inputs = with_x(&rising(n));
        let lists: Vec<Vec<i64>> =
            (0..3).map(|_| (0..rows).map(|_| noise.below(n) as i64).collect()).collect();
        inputs.set("a", &lists[0]).set("b", &lists[1]).set("c", &lists[2]);
        let found = check(&format!("three gathers, {n} unknowns, {rows} rows"), &kernel, &inputs);
        let places: Places =
            (0..rows).flat_map(|i| lists.iter().map(move |list| (i, list[i] as usize))).collect();
        assert_eq!(found.places(), places);
    }
}

#[test]
fn springs_over_an_index_table() {
    let kernel = kernel("ancestor/tables.ir", Some("springs"));
    let mut noise = Noise::new(9);
    let mut meshes: Vec<Mesh<2>> = vec![
        (Vec::new(), Vec::new()),
        (noise.points(1, -1.0, 1.0), Vec::new()),
        (noise.points(2, -1.0, 1.0), vec![[1, 0]]),
        // The same spring twice, once in each direction.
        (noise.points(2, -1.0, 1.0), vec![[1, 0], [0, 1]]),
        (points(Kind::Icosphere, 2), table(Kind::Icosphere, 2, "edges")),
    ];
    let mut random = noise.table::<2>(40, 15);
    random.retain(|[a, b]| a != b);
    meshes.push((noise.points(15, -1.0, 1.0), random));
    for (x, edges) in meshes {
        let mut inputs = Inputs::new();
        inputs.set("x", &x).set("edge", &edges).set("rest", &noise.list(edges.len(), 0.5, 1.0));
        let found = check(&format!("springs, {} edges", edges.len()), &kernel, &inputs);
        assert_eq!(found.places(), blocks(edges.iter().map(|e| element(e, 3))));
    }
}

#[test]
fn rows_behind_two_tables() {
    let kernel = kernel("ancestor/tables.ir", Some("scattered"));
    for (n, edges, used) in [(0, 0, 0), (1, 1, 1), (2, 1, 3), (12, 20, 30)] {
        let mut noise = Noise::new(n as u64);
        let edge = noise.table::<2>(edges, n.max(1));
        let list: Vec<i64> = (0..used).map(|_| noise.below(edges) as i64).collect();
        let mut inputs = with_x(&rising(n));
        inputs.set("edge", &edge).set("used", &list);
        let found = check(&format!("scattered, {used} of {edges} edges"), &kernel, &inputs);
        assert_eq!(found.places(), blocks(list.iter().map(|&k| element(&edge[k as usize], 1))));
    }
}

#[test]
fn grid_springs() {
    let kernel = kernel("ancestor/grid_springs.ir", None);
    let point = |n: usize, i: usize, j: usize| n * i + j;
    for n in [0, 1, 2, 3, 7, 60] {
        let mut noise = Noise::new(n as u64);
        let at = |k: usize| [(k / n) as f64, (k % n) as f64];
        let x: Vec<[f64; 2]> = (0..n * n).map(|k| at(k).map(|c| c + noise.between(-0.2, 0.2))).collect();
        let mut inputs = Inputs::new();
        let shaped = spadina_io::array::Array::new(
            vec![n, n, 2],
            spadina_io::array::Data::F64(x.as_flattened().to_vec()),
        );
        inputs.set("x", &shaped.unwrap());
        let mut springs = Vec::new();
        for i in 0..n {
            for j in 0..n {
                if i + 1 < n {
                    springs.push([point(n, i, j), point(n, i + 1, j)]);
                }
                if j + 1 < n {
                    springs.push([point(n, i, j), point(n, i, j + 1)]);
                }
            }
        }
        let places = blocks(springs.iter().map(|s| components(*s, 2)));
        // Against the dense derivative where it is small.
        let found = if n < 10 {
            check(&format!("grid of {n} x {n}"), &kernel, &inputs)
        } else {
            oracle::evaluate(&kernel, &inputs, &Options::new(Derivative::Hessian)).unwrap()
        };
        assert_eq!(found.places(), places, "grid of {n} x {n}");
    }
}
