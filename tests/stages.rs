//! Intermediate arrays against the same kernels without: stages eliminated from the matrix give what inlining gives.
#![allow(clippy::unwrap_used)]

#[path = "ancestor_oracle.rs"]
mod oracle;

use oracle::{Found, Noise, check, kernel};
use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::Problem;

/// Triangles of a closed surface: an octahedron whose faces are split `levels` times at their midpoints.
fn sphere(levels: usize) -> (Vec<[f64; 3]>, Vec<[i64; 3]>) {
    let mut points: Vec<[f64; 3]> =
        (0..6).map(|n| std::array::from_fn(|k| if n / 2 == k { [1.0, -1.0][n % 2] } else { 0.0 })).collect();
    let mut faces: Vec<[i64; 3]> = Vec::new();
    for (x, y, z) in (0..8).map(|n| (n & 1, 2 + (n >> 1 & 1), 4 + (n >> 2))) {
        faces.push(if (x + y + z) % 2 == 0 { [x, y, z] } else { [y, x, z] });
    }
    for _ in 0..levels {
        let mut middle = std::collections::BTreeMap::new();
        let mut split = Vec::new();
        for [a, b, c] in faces {
            let [ab, bc, ca] = [(a, b), (b, c), (c, a)].map(|(i, j)| {
                *middle.entry((i.min(j), i.max(j))).or_insert_with(|| {
                    let (p, q): ([f64; 3], [f64; 3]) = (points[i as usize], points[j as usize]);
                    points.push(std::array::from_fn(|k| 0.5 * (p[k] + q[k])));
                    points.len() as i64 - 1
                })
            });
            split.extend([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]);
        }
        faces = split;
    }
    (points, faces)
}

fn agree(what: &str, with: &Found, without: &Found) {
    oracle::near(&format!("{what}: results"), &with.at.results, &without.at.results, 1e-12);
    oracle::near(&format!("{what}: gradient"), &with.at.gradient, &without.at.gradient, 1e-11);
    // Without arrays a loop without iterations still leaves the entries of what surrounds it.
    assert!(with.places().is_subset(&without.places()), "{what}: pattern");
    let entries = |of: &Found| without.places().iter().map(|&(r, c)| of.entry(r, c)).collect::<Vec<f64>>();
    oracle::near(&format!("{what}: matrix"), &entries(with), &entries(without), 1e-11);
}

#[test]
fn squared_angle_defect_scattered_and_gathered() {
    let (scattered, gathered) =
        (kernel("stages/defect.ir", Some("scattered")), kernel("stages/defect.ir", Some("gathered")));
    for levels in 0..2 {
        let (mut points, faces) = sphere(levels);
        let mut noise = Noise::new(5);
        for x in points.iter_mut().flatten() {
            *x += noise.between(-0.1, 0.1);
        }
        let mut inputs = Inputs::new();
        inputs.set("x", &points);
        let mut plain = inputs.clone();
        plain.set("faces", &faces);
        let (mut ptr, mut around) = (vec![0_i64], Vec::new());
        for v in 0..points.len() as i64 {
            for face in &faces {
                if let Some(at) = face.iter().position(|&w| w == v) {
                    around.push([face[(at + 1) % 3], face[(at + 2) % 3]]);
                }
            }
            ptr.push(around.len() as i64);
        }
        inputs.set("ptr", &ptr).set("around", &around);
        let what = format!("angle defect, {} triangles", faces.len());
        agree(&what, &check(&what, &scattered, &plain), &check(&what, &gathered, &inputs));
    }
}

#[test]
fn flows_in_an_array_and_inlined() {
    let (with, without) =
        (kernel("stages/flow.ir", Some("with_array")), kernel("stages/flow.ir", Some("inlined")));
    for (buses, branches) in [(1, 0), (2, 1), (3, 3), (9, 14)] {
        let mut noise = Noise::new(11);
        let mut inputs = Inputs::new();
        inputs.set("va", &noise.list(buses, -0.3, 0.3)).set("vm", &noise.list(buses, 0.9, 1.1));
        let ends: Vec<[i64; 2]> = (0..branches)
            .map(|n| [n % buses, if n < buses { (n + 1) % buses } else { noise.below(buses) }])
            .map(|ends| ends.map(|v| v as i64))
            .collect();
        let side = |k: usize| ends.iter().map(|e| e[k]).collect::<Vec<i64>>();
        inputs.set("fr", &side(0)).set("to", &side(1));
        inputs.set("g", &noise.list(branches, 0.5, 2.0)).set("b", &noise.list(branches, -3.0, -1.0));
        inputs.set("load", &noise.points::<2>(buses, -1.0, 1.0));
        let mut ringed = inputs.clone();
        for (k, name) in ["fr", "to"].into_iter().enumerate() {
            let (mut ptr, mut at) = (vec![0_i64], Vec::new());
            for bus in 0..buses as i64 {
                at.extend((0..branches as i64).filter(|&l| ends[l as usize][k] == bus));
                ptr.push(at.len() as i64);
            }
            ringed.set(format!("ptr_{name}"), &ptr).set(format!("at_{name}"), &at);
        }
        let what = format!("flow, {buses} buses, {branches} branches");
        agree(&what, &check(&what, &with, &inputs), &check(&what, &without, &ringed));
    }
}

#[test]
fn the_same_bits_on_all_threads_and_after_new_values() {
    let scattered = kernel("stages/defect.ir", Some("scattered"));
    let (points, faces) = sphere(3);
    let mut inputs = Inputs::new();
    inputs.set("x", &points).set("faces", &faces);
    let mut wanted: Option<Vec<f64>> = None;
    for threads in [1, 2, 3, 8] {
        let options = Options {
            threads,
            strategy: Strategy::Structural,
            engine: Engine::Jit,
            ..Options::new(Derivative::Hessian)
        };
        let mut problem = Problem::prepare(&scattered, &inputs, &options).unwrap();
        let mut at = problem.evaluation();
        let moved: Vec<[f64; 3]> = points.iter().map(|p| p.map(|x| 1.5 * x)).collect();
        problem.set("x", &moved).unwrap();
        problem.evaluate(&mut at).unwrap();
        problem.set("x", &points).unwrap();
        problem.evaluate(&mut at).unwrap();
        let wanted = wanted.get_or_insert_with(|| at.matrix.clone());
        oracle::same_bits(&format!("{threads} threads"), wanted, &at.matrix);
    }
}

#[test]
fn a_ring_emits_few_blocks_a_vertex() {
    let kernel = Module::open(std::path::Path::new("examples/willmore.ir")).unwrap().kernel(None).unwrap();
    let explained = kernel.explain(Derivative::Hessian, None).unwrap();
    assert!(!explained.stages.is_empty(), "the sums over the ring are stages");
    // Emissions of an iteration: those of inner loops for each of usually six neighbors.
    let blocks: u64 =
        explained.phases.iter().map(|p| p.cost.emissions * if p.cost.inner_loops { 6 } else { 1 }).sum();
    assert!(blocks <= 60, "{blocks} blocks a vertex");
}

/// Sums over rings become stages; no vertex, one, two, rings without neighbors, and neighbors that are repeated or the vertex itself.
#[test]
fn nonlinear_functions_of_rings_of_every_size() {
    let kernel = oracle::text(
        "kernel k<V, R>(x: var vec2[V], ptr: offsets<R>[V + 1], nbr: index<V>[R]) -> f64 {
            sum v in 0..V {
                let area = sum k in ptr[v]..ptr[v + 1] { sqnorm(x[nbr[k]] - x[v]) * (1.0 + x[nbr[k]][0]^2) };
                let bend = sum k in ptr[v]..ptr[v + 1] { sin(x[nbr[k]][1] * x[v][0] + area) * area };
                bend^2 / (1.0 + area)
            }
        }",
    );
    assert!(!kernel.explain(Derivative::Hessian, None).unwrap().stages.is_empty());
    let rings: [&[&[i64]]; 6] =
        [&[], &[&[]], &[&[0]], &[&[1], &[]], &[&[1, 1], &[0, 1]], &[&[1, 2, 1], &[], &[3, 0], &[3, 2, 1]]];
    for ring in rings {
        let (mut ptr, mut nbr) = (vec![0_i64], Vec::new());
        for neighbors in ring {
            nbr.extend_from_slice(neighbors);
            ptr.push(nbr.len() as i64);
        }
        let mut inputs = Inputs::new();
        inputs.set("x", &Noise::new(3).points::<2>(ring.len(), -1.0, 1.0)).set("ptr", &ptr).set("nbr", &nbr);
        check(&format!("rings {ring:?}"), &kernel, &inputs);
    }
}

/// Arrays that one loop nest fills are not zeroed before: nothing is left of the evaluation before, and a zero has the sign of a sum.
#[test]
fn filled_arrays_keep_nothing_and_have_the_zeros_of_sums() {
    let text = "kernel k<N>(x: var f64[N], w: f64) -> (a: f64[N], b: f64[N]) {
        let y = map i in 0..N { -(w * x[i]) };
        let z = map i in 0..N { if i > 0 { y[i - 1] + y[(i + 1) % N] } else { y[0] } };
        (map i in 0..N { 1.0 / y[i] + z[(i + 2) % N] * y[i] }, map i in 0..N { -w * z[i] })
    }";
    let kernel = Module::from_text("filled.ir", text).unwrap().kernel(None).unwrap();
    let mut inputs = Inputs::new();
    inputs.set("x", &[1.0, 2.0, -3.0, 4.0, 0.5, 0.0, 7.0]);
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    for derivative in [Derivative::Value, Derivative::Jacobian] {
        for strategy in [Strategy::Structural, Strategy::Compressed] {
            let found = [(Engine::Interp, 1), (Engine::Jit, 1), (Engine::Jit, 3)].map(|(engine, threads)| {
                let mut options = Options { engine, threads, ..Options::new(derivative) };
                if derivative == Derivative::Jacobian {
                    options.strategy = strategy;
                }
                let mut all = Vec::new();
                inputs.set("w", &2.0);
                let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
                let mut at = problem.evaluation();
                for w in [2.0, 0.0, -1.5, 0.0] {
                    problem.set_values("w", &[w]).unwrap();
                    problem.evaluate(&mut at).unwrap();
                    all.extend(bits(&at.results));
                    all.extend(bits(&at.matrix));
                }
                all
            });
            assert_eq!(found[0], found[1], "{derivative:?}, {strategy:?}");
            assert_eq!(found[0], found[2], "{derivative:?}, {strategy:?}, 3 threads");
        }
    }
}

#[test]
fn small_maps_inside_of_mapped_arrays() {
    let bodies = [
        "let t = map q in 0..3 { x[v][q]^2 }; sqnorm(t)",
        "let t = map q in 0..3 { x[v][q] }; t[0] + t[1] * t[2]",
        "let t = map q in 0..3 { map r in 0..2 { x[v][q] * x[v][r] } }; dot(t[0], t[2])",
        "let t = map q in 0..3 { let s = map r in 0..3 { x[v][r] * x[v][q] }; sqnorm(s) }; dot(t, x[v])",
    ];
    for body in bodies {
        let text = format!(
            "kernel k<V>(x: var vec3[V]) -> f64 {{
                let y = map v in 0..V {{ {body} }};
                sum v in 0..V {{ y[v]^2 }}
            }}"
        );
        let kernel = Module::from_text("k.ir", &text).unwrap().kernel(None).unwrap();
        let x = [[0.3, -0.7, 1.1], [0.9, 0.2, -0.4]];
        for vertices in 0..=x.len() {
            let mut inputs = Inputs::new();
            inputs.set("x", &x[..vertices]);
            let found = |strategy| {
                let options = Options { strategy, ..Options::new(Derivative::Hessian) };
                let mut problem = Problem::prepare(&kernel, &inputs, &options).unwrap();
                let at = problem.evaluated().unwrap();
                let matrix = problem.matrix(&at.matrix).to_dense();
                (at.results, matrix)
            };
            let (sparse, dense) = (found(Strategy::Structural), found(Strategy::Dense));
            assert!((sparse.0[0] - dense.0[0]).abs() <= 1e-12 * dense.0[0].abs(), "{body}");
            assert_eq!(sparse.1.shape(), dense.1.shape(), "{body}");
            for (a, b) in sparse.1.iter().zip(&dense.1) {
                assert!((a - b).abs() <= 1e-11, "{body}: {a} and {b}");
            }
        }
    }
}
