//! The first tests of `../shared/design.md`, section 5: each catches one trap that sparse derivatives fall into.
#![allow(clippy::unwrap_used)]

#[path = "ancestor_oracle.rs"]
mod oracle;

use oracle::{Noise, Places, blocks, check, components, evaluate, kernel, options, refused_or_right};
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Engine, Options, Strategy};
use spadina::problem::Problem;
use spadina_ir::interp::{ArrayData, Bindings, run};

/// Rows of an index table.
type Table<const W: usize> = [[i64; W]];

const COMPILED: oracle::How = (Engine::Jit, Strategy::Structural, 1);

fn element<const W: usize>(entries: &[i64; W], width: usize) -> Vec<usize> {
    components(entries.iter().map(|&v| v as usize), width)
}

#[test]
fn a_triangle_with_equal_vertices() {
    let kernel = kernel("traps/triangle.ir", None);
    let all: [&[[i64; 3]]; 6] = [
        &[],
        &[[0, 0, 1]],
        &[[1, 0, 0]],
        &[[0, 1, 0]],
        &[[2, 2, 2]],
        // Between regular triangles, repeated, and in both orders.
        &[[0, 1, 2], [1, 1, 3], [3, 2, 1], [1, 3, 1], [0, 1, 2], [4, 4, 4]],
    ];
    for faces in all {
        let mut inputs = Inputs::new();
        inputs.set("x", &Noise::new(1).points::<2>(6, -1.0, 1.0)).set("faces", faces);
        let found = check(&format!("triangles {faces:?}"), &kernel, &inputs);
        assert_eq!(found.places(), blocks(faces.iter().map(|f| element(f, 2))), "{faces:?}");
        for (row, col) in found.places() {
            let (a, b) = (found.entry(row, col), found.entry(col, row));
            assert!(
                (a - b).abs() <= 1e-12 * oracle::scale(&found.at.matrix),
                "({row}, {col}) is not symmetric"
            );
        }
    }
}

#[test]
fn a_value_guard_that_flips_between_evaluations() {
    let kernel = kernel("traps/value_guard.ir", None);
    let edges = [[0_i64, 1], [1, 2], [2, 3], [3, 0], [1, 1]];
    let mut inputs = Inputs::new();
    inputs.set("x", &[0.1, 0.5, 0.2, 0.9]).set("edges", &edges).set("w", &[-1.0; 5]);
    let places = blocks(edges.iter().map(|e| element(e, 1)));
    for (engine, threads) in [(Engine::Jit, 1), (Engine::Jit, 3), (Engine::Interp, 1)] {
        let how = options(&kernel, (engine, Strategy::Structural, threads));
        let mut problem = Problem::prepare(&kernel, &inputs, &how).unwrap();
        let mut at = problem.evaluation();
        // Nothing is on when the pattern is made.
        problem.evaluate(&mut at).unwrap();
        assert!(at.matrix.iter().all(|h| *h == 0.0));
        for round in 0..32 {
            let w: Vec<f64> =
                (0..5).map(|e| if round >> e & 1 == 1 { 0.5 + f64::from(e) } else { -1.0 }).collect();
            problem.set("w", &w).unwrap();
            problem.evaluate(&mut at).unwrap();
            let mut fresh = inputs.clone();
            fresh.set("w", &w);
            let found = check(&format!("weights {w:?}"), &kernel, &fresh);
            assert_eq!(found.places(), places);
            assert_eq!(**problem.pattern(), *found.pattern);
            oracle::same_evaluation(&format!("weights {w:?} set ({engine})"), &found.at, &at);
        }
    }
}

#[test]
fn an_index_array_changed_by_its_owner_after_prepare() {
    let kernel = kernel("traps/value_guard.ir", None);
    let mut edges = vec![[0_i64, 1], [1, 2], [2, 3]];
    let mut inputs = Inputs::new();
    inputs.set("x", &[0.1, 0.5, 0.2, 0.9]).set("edges", &edges).set("w", &[1.0, 2.0, 3.0]);
    for engine in [Engine::Jit, Engine::Interp] {
        let how = options(&kernel, (engine, Strategy::Structural, 1));
        let mut problem = Problem::prepare(&kernel, &inputs, &how).unwrap();
        let mut before = problem.evaluation();
        problem.evaluate(&mut before).unwrap();
        // The owner writes nonsense; the plan has copies of its own.
        edges.fill([1 << 40, -7]);
        let mut theirs = inputs.clone();
        theirs.set("edges", &edges);
        let mut after = problem.evaluation();
        problem.evaluate(&mut after).unwrap();
        assert_eq!(before, after);
        // Structural data do not change in place, and what is refused changes nothing.
        let other = [[0_i64, 3], [1, 3], [2, 0]];
        assert!(matches!(problem.set("edges", &other), Err(Error::Data(text)) if text.contains("rebind")));
        assert!(matches!(problem.rebind(&theirs), Err(Error::Data(text)) if text.contains("edges")));
        problem.evaluate(&mut after).unwrap();
        assert_eq!(before, after);
        let mut replaced = inputs.clone();
        replaced.set("edges", &other);
        problem.rebind(&replaced).unwrap();
        let mut at = problem.evaluation();
        problem.evaluate(&mut at).unwrap();
        let fresh = check("edges bound anew", &kernel, &replaced);
        assert_eq!(**problem.pattern(), *fresh.pattern);
        oracle::same_evaluation("edges bound anew", &fresh.at, &at);
    }
}

/// The same bits for one to eight threads.
fn same_over_threads(what: &str, kernel: &Kernel, inputs: &Inputs) {
    let one = evaluate(kernel, inputs, &options(kernel, COMPILED)).unwrap();
    for threads in 2..=8 {
        let how = options(kernel, (Engine::Jit, Strategy::Structural, threads));
        let many = evaluate(kernel, inputs, &how).unwrap();
        let what = format!("{what}, {threads} threads");
        assert_eq!(one.pattern, many.pattern, "{what}");
        oracle::same_bits(&format!("{what}: results"), &one.at.results, &many.at.results);
        oracle::same_bits(&format!("{what}: gradient"), &one.at.gradient, &many.at.gradient);
        oracle::same_bits(&format!("{what}: matrix"), &one.at.matrix, &many.at.matrix);
    }
}

#[test]
fn a_scalar_unknown_in_every_element() {
    let kernel = kernel("traps/arrow.ir", None);
    for n in [0, 1, 2, 3, 37] {
        let mut inputs = Inputs::new();
        inputs.set("x", &Noise::new(2).list(n, -1.0, 1.0)).set("s", &0.7);
        let found = check(&format!("arrow, N = {n}"), &kernel, &inputs);
        let places = blocks((0..n).map(|i| vec![i, n]));
        // The corner is emitted once, after the loop, and so it is there without elements too.
        let corner = Places::from([(n, n)]);
        assert_eq!(found.places(), if n == 0 { corner } else { places });
    }
    for n in [1025, 4999] {
        let mut inputs = Inputs::new();
        inputs.set("x", &Noise::new(3).list(n, -1.0, 1.0)).set("s", &0.7);
        same_over_threads(&format!("arrow, N = {n}"), &kernel, &inputs);
    }
}

#[test]
fn an_odd_number_of_elements_in_two_branches() {
    let kernel = kernel("traps/odd.ir", None);
    for n in [0, 1, 2, 3, 4, 8, 9] {
        let mut noise = Noise::new(n as u64);
        let kind: Vec<i64> = (0..n as i64).collect();
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.list(n, -1.0, 1.0)).set("kind", &kind);
        let found = check(&format!("odd, N = {n}"), &kernel, &inputs);
        assert_eq!(found.places(), blocks((1..n).map(|i| vec![i - 1, i])));
    }
    for n in [2, 3, 4, 5, 8, 14, 1024, 1026, 3000] {
        let mut noise = Noise::new(n as u64);
        let kind: Vec<i64> = (0..n).map(|_| noise.below(2) as i64).collect();
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.list(n, -1.0, 1.0)).set("kind", &kind);
        same_over_threads(&format!("odd, N = {n}"), &kernel, &inputs);
    }
}

#[test]
fn elements_out_of_order_on_many_threads() {
    let kernel = kernel("traps/triangle.ir", None);
    let mut noise = Noise::new(4);
    for (points, faces) in [(5, 7), (40, 101), (400, 3001)] {
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.points::<2>(points, -1.0, 1.0));
        inputs.set("faces", &noise.table::<3>(faces, points));
        same_over_threads(&format!("{faces} triangles"), &kernel, &inputs);
    }
}

#[test]
fn a_ring_with_a_repeated_neighbor() {
    let kernel = kernel("traps/ring.ir", None);
    let mut noise = Noise::new(5);
    let rings: [&[&[i64]]; 5] = [
        &[],
        &[&[]],
        &[&[0, 0]],
        &[&[1, 1, 1], &[]],
        &[&[1, 2, 1, 0], &[0], &[2, 2], &[], &[0, 1, 2, 3, 4, 3, 2]],
    ];
    for rings in rings {
        let mut ptr = vec![0_i64];
        for ring in rings {
            ptr.push(ptr[ptr.len() - 1] + ring.len() as i64);
        }
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.points::<2>(rings.len(), -1.0, 1.0));
        inputs.set("ptr", &ptr).set("nbr", &rings.concat());
        let found = check(&format!("rings {rings:?}"), &kernel, &inputs);
        // A vertex with an empty ring may have a block of zeros.
        let full = |v: usize| rings[v].iter().map(|&n| n as usize).chain([v]);
        let most: Places = blocks((0..rings.len()).map(|v| components(full(v), 2)));
        let least: Places =
            blocks((0..rings.len()).filter(|&v| !rings[v].is_empty()).map(|v| components(full(v), 2)));
        assert!(found.places().is_subset(&most) && found.places().is_superset(&least), "rings {rings:?}");
        if !rings.is_empty() {
            same_over_threads(&format!("rings {rings:?}"), &kernel, &inputs);
        }
    }
}

/// How many entries an evaluation emits.
fn emitted(kernel: &Kernel, inputs: &Inputs, sizes: &[(&str, i64)]) -> usize {
    let program = kernel.derive(Derivative::Hessian, None).unwrap();
    let func = &program.eval;
    let mut bindings = Bindings::default();
    for (size, name) in &func.sizes {
        bindings.sizes.insert(size, sizes.iter().find(|s| s.0 == name).unwrap().1);
    }
    for (buffer, data) in &func.buffers {
        if let Some(array) = inputs.get(&data.name) {
            let data = if data.elem.is_float() {
                ArrayData::F64(array.to_f64(&data.name).unwrap().into_owned())
            } else {
                ArrayData::Int(array.to_usize(&data.name).unwrap().iter().map(|&n| n as i64).collect())
            };
            bindings.arrays.insert(buffer, data);
        }
    }
    run(func, &bindings).unwrap().triplets.len()
}

#[test]
fn a_quadrature_loop_emits_one_block_an_element() {
    let kernel = kernel("traps/quadrature.ir", None);
    for points in [0, 1, 2, 5, 27] {
        let edges = [[0_i64, 1], [1, 2], [3, 3], [4, 2], [0, 1]];
        let mut noise = Noise::new(6);
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.list(6, -1.0, 1.0)).set("edges", &edges);
        inputs.set("at", &noise.list(points, 0.0, 1.0)).set("w", &noise.list(points, 0.0, 1.0));
        let found = check(&format!("{points} points"), &kernel, &inputs);
        let places = blocks(edges.iter().map(|e| element(e, 1)));
        assert!(found.places().is_subset(&places), "{points} points");
        if points > 0 {
            assert_eq!(found.places(), places, "{points} points");
            let sizes = [("V", 6), ("E", 5), ("Q", points as i64)];
            assert_eq!(emitted(&kernel, &inputs, &sizes), 4 * edges.len(), "{points} points");
        }
    }
}

#[test]
fn what_is_not_defined_in_the_branch_not_taken() {
    let x = [0.5_f64, -0.5, 2.0, 1.5, -0.25];
    for name in ["by_unknown", "by_data", "by_index", "barrier", "guarded_load"] {
        let kernel = kernel("traps/branches.ir", Some(name));
        for n in 0..=x.len() {
            let mut inputs = Inputs::new();
            inputs.set("x", &x[..n]);
            match name {
                // Positive only where this and the next unknown are.
                "by_data" => {
                    let both = |i: usize| x.get(i + 1).is_some_and(|next| x[i].min(*next) > 0.0);
                    let w: Vec<f64> = (0..n).map(|i| if both(i) { 1.0 } else { -1.0 }).collect();
                    inputs.set("w", &w);
                }
                "by_index" => {
                    inputs.set("kind", &vec![0_i64; n]);
                }
                _ => {}
            }
            let found = check(&format!("{name}, N = {n}"), &kernel, &inputs);
            let numbers = found.at.gradient.iter().chain(&found.at.matrix);
            assert!(numbers.copied().all(f64::is_finite), "{name}, N = {n}: {:?}", found.at);
            let negative = x[..n].iter().any(|x| *x < 0.0);
            let wanted = if name == "barrier" && negative { f64::INFINITY } else { found.at.results[0] };
            assert!(wanted == found.at.results[0] && !wanted.is_nan(), "{name}, N = {n}");
        }
    }
}

#[test]
fn the_branch_taken_may_change() {
    let kernel = kernel("traps/branches.ir", Some("by_unknown"));
    let mut inputs = Inputs::new();
    inputs.set("x", &[1.0, 1.0, 1.0]);
    let mut problem = Problem::prepare(&kernel, &inputs, &options(&kernel, COMPILED)).unwrap();
    let mut at = problem.evaluation();
    for signs in 0..8 {
        let x: Vec<f64> = (0..3).map(|i| if signs >> i & 1 == 1 { -2.0 } else { 2.0 }).collect();
        problem.set("x", &x).unwrap();
        problem.evaluate(&mut at).unwrap();
        let wanted: Vec<f64> = x.iter().map(|&x| if x > 0.0 { 1.0 / x } else { 2.0 }).collect();
        oracle::near(&format!("at {x:?}"), &wanted, &at.matrix, 1e-14);
    }
}

#[test]
fn wrapped_stencils_of_one_two_and_three_points() {
    for name in ["residual", "energy"] {
        let kernel = kernel("traps/wraps.ir", Some(name));
        for n in [0, 1, 2, 3, 4, 5] {
            let u = Noise::new(n as u64).list(n * n, -1.0, 1.0);
            let shaped = spadina_io::array::Array::new(vec![n, n], spadina_io::array::Data::F64(u)).unwrap();
            let mut inputs = Inputs::new();
            inputs.set("u", &shaped);
            let found = check(&format!("{name}, N = {n}"), &kernel, &inputs);
            let at = |i: usize, j: usize| (i % n) * n + j % n;
            let grid = (0..n * n).map(|k| (k / n, k % n));
            let places: Places = if name == "residual" {
                let reads = |(i, j): (usize, usize)| {
                    let (w, s) = (i + n - 1, j + n - 1);
                    let cross = [(i, j), (i + 1, j), (w, j), (i, j + 1), (i, s), (i + 1, j + 1)];
                    cross.map(|(a, b)| (at(i, j), at(a, b)))
                };
                grid.flat_map(reads).collect()
            } else {
                blocks(grid.map(|(i, j)| vec![at(i, j), at(i + 1, j), at(i, j + 2)]))
            };
            assert_eq!(found.places(), places, "{name}, N = {n}");
        }
    }
}

#[test]
fn a_fold_with_a_local_newton_solve() {
    let (short, long) = (kernel("traps/newton.ir", Some("short")), kernel("traps/newton.ir", Some("long")));
    for n in [0, 1, 2, 3, 9] {
        let x = Noise::new(n as u64).list(n, 0.2, 1.2);
        let mut inputs = Inputs::new();
        inputs.set("x", &x);
        let found = check(&format!("newton, N = {n}"), &short, &inputs);
        assert_eq!(found.places(), blocks((1..n).map(|i| vec![i - 1, i])));
        // Both have converged: the derivatives are those of the implicit function.
        let dense = refused_or_right(&format!("long newton, N = {n}"), &long, &inputs, "recurrence");
        oracle::same_matrix(&format!("newton, N = {n}"), &dense, &found, 1e-9);
        if n == 2 {
            let s = found.at.results[0];
            assert!(s.is_finite() && found.entry(0, 1) == found.entry(1, 0));
        }
    }
}

#[test]
fn two_chained_stages() {
    let (staged, gathered) =
        (kernel("traps/stages.ir", Some("staged")), kernel("traps/stages.ir", Some("gathered")));
    let all: [(usize, &Table<3>, &Table<2>); 5] = [
        (0, &[], &[]),
        (1, &[], &[]),
        (2, &[], &[[0, 1]]),
        (3, &[[0, 1, 2]], &[[0, 1], [1, 2]]),
        (6, &[[0, 1, 2], [2, 1, 3], [2, 3, 4]], &[[0, 1], [1, 3], [3, 4], [0, 4], [4, 5]]),
    ];
    for (points, faces, edges) in all {
        let mut inputs = Inputs::new();
        inputs.set("x", &Noise::new(7).points::<3>(points, -1.0, 1.0));
        inputs.set("faces", faces).set("edges", edges);
        let what = format!("stages on {points} points");
        let with = check(&what, &staged, &inputs);
        let plain = inputs.clone();
        let (mut ptr, mut around) = (vec![0_i64], Vec::new());
        for v in 0..points as i64 {
            around.extend((0..faces.len() as i64).filter(|&f| faces[f as usize].contains(&v)));
            ptr.push(around.len() as i64);
        }
        inputs.set("ptr", &ptr).set("face", &around);
        let found = check(&format!("{what}, without arrays"), &gathered, &inputs);
        let places: Places = with.places().union(&found.places()).copied().collect();
        // On a scale of at least one: one flat triangle has nothing but rounding.
        let all = |of: &oracle::Found| -> Vec<f64> {
            let entries = places.iter().map(|&(r, c)| of.entry(r, c));
            [1.0].iter().chain(&of.at.results).chain(&of.at.gradient).copied().chain(entries).collect()
        };
        oracle::near(&what, &all(&with), &all(&found), 1e-11);
        // Automatic choice: right, and never silently dense.
        let problem = Problem::prepare(&staged, &plain, &Options::new(Derivative::Hessian)).unwrap();
        assert!(problem.strategy() != Some(Strategy::Dense) || problem.warnings().is_some());
    }
}

#[test]
fn an_energy_without_curvature() {
    let kernel = oracle::text(
        "kernel linear<N>(x: var f64[N], y: var f64[N], s: var f64) -> f64 {
            sum i in 0..N { 2.0 * x[i] - 3.0 * y[i] + s }
        }",
    );
    for n in [0, 1, 2, 5] {
        let mut noise = Noise::new(8);
        let mut inputs = Inputs::new();
        inputs.set("x", &noise.list(n, -1.0, 1.0)).set("y", &noise.list(n, -1.0, 1.0)).set("s", &0.5);
        let found = check(&format!("linear, N = {n}"), &kernel, &inputs);
        assert_eq!(found.nnz(), 0);
        assert_eq!(found.at.gradient.last(), Some(&(n as f64)));
    }
}

/// Counting emissions needs what a branch yields, also where the branch computes nothing itself.
#[test]
fn conditions_that_yield_integers_from_outside() {
    let kernel = oracle::text(
        "kernel t<N>(x: var f64[N], y: var f64[N], a: int[N]) -> f64[N] {
            let m = map i in 0..N { (if 4 + a[i] == i { y[i] } else { 0.5 }) + (sum t in 0..3 { 0.5 }) };
            map i in 0..N {
                if 2 != a[i] || (if i > a[i] { i } else { if true { 4 } else { 4 } }) >= i { m[i % N] * x[i] } else { 0.5 }
            }
        }",
    );
    for n in [0, 1, 2, 7] {
        let mut noise = Noise::new(9);
        let mut inputs = Inputs::new();
        let a: Vec<i64> = (0..n as i64).map(|i| (i * 5) % 7 - 3).collect();
        inputs.set("x", &noise.list(n, -1.0, 1.0)).set("y", &noise.list(n, -1.0, 1.0)).set("a", &a);
        check(&format!("integers of branches, N = {n}"), &kernel, &inputs);
    }
}

/// A condition that prepare knows guards a subscript wherever it stands beside one that values decide.
#[test]
fn known_conditions_between_others_guard_subscripts() {
    for condition in [
        "n[i] >= 0 && a[i] > 1.0 && n[i] < V",
        "x[i] > 1.0 && n[i] >= 0 && n[i] < V",
        "(n[i] >= 0 && x[i] > 1.0) && (n[i] < V && a[i] > 1.0)",
        "!(n[i] < 0 || x[i] < 1.0 || n[i] >= V) && a[i] > 1.0",
    ] {
        let kernel = oracle::text(&format!(
            "kernel k<V>(x: var f64[V], a: f64[V], n: int[V]) -> f64 {{
                sum i in 0..V {{ if {condition} {{ x[n[i]]^2 * x[i] }} else {{ x[i]^2 * a[i] }} }}
            }}"
        ));
        let mut inputs = Inputs::new();
        let values = [1.2, 1.1, 1.3, 1.4, 0.5, 1.5];
        inputs.set("x", &values).set("a", &values).set("n", &[-2_i64, 1, 5, 9, -1, 0]);
        let found = check(condition, &kernel, &inputs);
        let compressed = Options { strategy: Strategy::Compressed, ..Options::new(Derivative::Hessian) };
        let other = evaluate(&kernel, &inputs, &compressed).unwrap();
        assert_eq!(found.at.results, other.at.results, "{condition}");
    }
}

/// The rehearsal of an expression leaves nothing behind: bounds of its loops were taken for those of later values.
#[test]
fn products_of_sums_over_different_axes() {
    for body in [
        "(sum i in 0..V { x[i] }) * sum l in 0..E { x[e[l, 0]] }",
        "let s = sum l in 0..E { x[e[l, 0]] * x[e[l, 1]] }; let t = sum i in 0..V { x[i] }; s * t",
        "let y = map i in 0..V { x[i]^2 }; let z = map l in 0..E { y[e[l, 0]] }; sum l in 0..E { z[l] * z[(l + 1) % E] }",
    ] {
        let kernel =
            oracle::text(&format!("kernel k<V, E>(x: var f64[V], e: index<V>[E, 2]) -> f64 {{ {body} }}"));
        let mut inputs = Inputs::new();
        inputs.set("x", &[0.5, 1.5, -0.7]).set("e", &[[0_i64, 1], [1, 2], [2, 2], [0, 2]]);
        check(body, &kernel, &inputs);
    }
}
