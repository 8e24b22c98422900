//! Programs vertex by vertex against the element programs: pattern, entries, gradient and value, on graphs of all kinds; what qualifies and what
//! does not.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Buffer, Func, Role};
use spadina_ir::interp::{ArrayData, Bindings, Outputs, run};
use spadina_ir::types::{Size, Ty};
use spadina_ir::verify::verify;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, ByVertex, Sparse};
use spadina_passes::sparse::index::index_program;
use std::collections::BTreeMap;

/// Sums of the same numbers in another order.
const REORDERED: f64 = 1e-12;

fn sparse(text: &str) -> Sparse {
    let program = compile(text);
    assert!(!program.has_errors(), "{:?}", program.diagnostics);
    pipeline::hessian(&program.kernels[0].func, Weights::One).expect("a sparse program")
}

fn pairs(body: &str) -> String {
    format!(
        "kernel k<V, E>(x: var vec3[V], y: var f64[V], ends: index<V>[E, 2], w: f64[E], side: f64[E, 2], mass: f64[V]) -> f64 {{
            sum e: [i, j] in ends {{ {body} }}
        }}"
    )
}

/// Elements whose ends play the same part, and are cheap enough to be computed twice.
const SYMMETRIC: [&str; 8] = [
    "w[e] * sqnorm(x[i] - x[j])^2",
    "(norm(x[i] - x[j]) - w[e])^2",
    "w[e] * dot(x[i], x[j])^2",
    "sqnorm(x[i] + x[j])^2",
    "(mass[i] + mass[j]) * sqnorm(x[i] - x[j])^2",
    "mass[i] * mass[j] * sqnorm(x[i] - x[j])^2",
    "let d = sqnorm(x[i] - x[j]); if d < w[e] { (d - w[e])^2 } else { 0.0 }",
    "let d = x[i] - x[j]; abs(d[0]) * d[1] * d[2] + w[e] * sqnorm(d)^2",
];

/// Elements whose ends do not.
const OTHERS: [&str; 8] = [
    "mass[i] * sqnorm(x[i] - x[j])^2",
    "sqnorm(2.0 * x[i] - x[j])^2",
    "(side[e, 0] * x[i][0] - side[e, 1] * x[j][0])^4",
    "(x[i] - x[j])[0]^3",
    "if i < j { sqnorm(x[i] - x[j])^2 } else { 0.0 }",
    "sqnorm(x[i])^2 * x[j][0]",
    "sqnorm(x[i] - x[j])^2 * y[i]",
    "let d = x[i] - x[j]; d[0] * d[1] * sqnorm(x[i])",
];

fn array(func: &Func, buffer: Buffer, bindings: &Bindings, seed: &mut u64) -> ArrayData {
    let data = &func.buffers[buffer];
    let len: i64 = data.dims.iter().map(|d| d.eval(&|s| bindings.sizes[&s]).expect("small")).product();
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    assert_eq!(data.elem, Ty::F64, "{}", data.name);
    ArrayData::F64((0..len).map(|_| 0.5 + next()).collect())
}

/// Everything that both programs take; the lists come on top.
fn inputs(func: &Func, vertices: i64, ends: &[(i64, i64)], seed: u64) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.insert(Size::from_u32(0), vertices);
    bindings.sizes.insert(Size::from_u32(1), ends.len() as i64);
    let mut seed = seed;
    for (buffer, data) in &func.buffers {
        match data.role {
            Role::Var | Role::Data => {
                let made = array(func, buffer, &bindings, &mut seed);
                bindings.arrays.insert(buffer, made);
            }
            Role::Structural => {
                let flat = ends.iter().flat_map(|&(a, b)| [a, b]).collect();
                bindings.arrays.insert(buffer, ArrayData::Int(flat));
            }
            Role::Scratch | Role::Output => {}
        }
    }
    bindings
}

/// The lists by their definition, as `Lists` says it.
fn with_lists(made: &ByVertex, plain: &Bindings, vertices: i64) -> Bindings {
    let mut bindings = plain.clone();
    for lists in &made.lists {
        // What the ends program emits are the ends.
        let index = index_program(&lists.ends).expect("ends are structural");
        assert!(verify(&index).is_empty());
        let mut given = plain.clone();
        given.arrays.insert(lists.ends.columns[0], ArrayData::F64(vec![0.0; vertices as usize]));
        let found = run(&index, &given).expect("legal subscripts");
        let mut meet: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for (element, pair) in (0..).zip(found.triplets.chunks(2)) {
            let (a, b) = (pair[0].0 as i64, pair[0].1 as i64);
            meet.entry(a).or_default().push((b, element));
            meet.entry(b).or_default().push((a, element));
        }
        let (mut start, mut other, mut element) = (vec![0], Vec::new(), Vec::new());
        for list in meet.values_mut() {
            list.sort_unstable();
            other.extend(list.iter().map(|end| end.0));
            element.extend(list.iter().map(|end| end.1));
            start.push(other.len() as i64);
        }
        bindings.sizes.insert(lists.vertices, meet.len() as i64);
        bindings.sizes.insert(lists.total, other.len() as i64);
        for (buffer, data) in [
            (lists.vertex, meet.keys().copied().collect()),
            (lists.start, start),
            (lists.other, other),
            (lists.element, element),
        ] {
            bindings.arrays.insert(buffer, ArrayData::Int(data));
        }
    }
    bindings
}

fn matrix(found: &Outputs) -> BTreeMap<(usize, usize), f64> {
    let mut entries = BTreeMap::new();
    for &(row, col, value) in &found.triplets {
        *entries.entry((row, col)).or_insert(0.0) += value;
    }
    entries
}

/// Where both ends of an edge are one, its length is 0, and neither has a derivative.
fn near(x: f64, y: f64, scale: f64) -> bool {
    (x.is_nan() && y.is_nan()) || (x - y).abs() <= REORDERED * scale
}

fn same(what: &str, a: &Outputs, b: &Outputs, func: &Func) {
    let (left, right) = (matrix(a), matrix(b));
    let scale = left.values().filter(|x| x.is_finite()).fold(1.0_f64, |s, x| s.max(x.abs()));
    assert!(left.keys().eq(right.keys()), "{what}: the patterns differ");
    for (key, value) in &left {
        assert!(near(*value, right[key], scale), "{what}: {key:?}: {value} and {}", right[key]);
    }
    for buffer in func.buffers_of(Role::Output) {
        let (left, right) = (a.arrays[&buffer].to_f64(), b.arrays[&buffer].to_f64());
        let scale = left.iter().filter(|x| x.is_finite()).fold(1.0_f64, |s, x| s.max(x.abs()));
        for (x, y) in left.iter().zip(&right) {
            let name = &func.buffers[buffer].name;
            assert!(near(*x, *y, scale), "{what}: `{name}`: {x} and {y}");
        }
    }
}

/// Graphs: none, a pair, a chain, a star, several elements with the same ends, ends that are one, vertices without elements, random ones.
fn graphs() -> Vec<(i64, Vec<(i64, i64)>)> {
    let mut graphs = vec![
        (0, vec![]),
        (3, vec![]),
        (2, vec![(0, 1)]),
        (2, vec![(1, 0)]),
        (5, (0..4).map(|v| (v, v + 1)).collect()),
        (9, (1..9).map(|v| if v % 2 == 0 { (0, v) } else { (v, 0) }).collect()),
        (4, vec![(1, 2), (2, 1), (1, 2), (0, 1)]),
        (4, vec![(1, 1), (1, 2), (3, 3), (3, 3)]),
        (7, vec![(6, 2), (2, 4)]),
    ];
    let mut state = 12_u64;
    let mut below = |n: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        ((state >> 33) % n as u64) as i64
    };
    for n in [3, 6, 12] {
        graphs.push((n, (0..3 * n).map(|_| (below(n), below(n))).collect()));
    }
    graphs
}

#[test]
fn pairs_are_gathered() {
    for body in SYMMETRIC {
        let sparse = sparse(&pairs(body));
        let made = pipeline::by_vertex(&sparse).unwrap_or_else(|| panic!("not gathered: {body}"));
        for func in [&made.sparse.eval, &made.sparse.index, &made.lists[0].ends] {
            assert!(verify(func).is_empty(), "{body}: {:?}", verify(func));
        }
        for (n, (vertices, ends)) in (0..).zip(graphs()) {
            let plain = inputs(&sparse.eval, vertices, &ends, 7 + n);
            let gathered = with_lists(&made, &plain, vertices);
            let wanted = run(&sparse.eval, &plain).expect("the element program runs");
            let found = run(&made.sparse.eval, &gathered).expect("the program by vertex runs");
            same(&format!("{body}, graph {n}"), &wanted, &found, &sparse.eval);
            let places = |found: &Outputs| matrix(found).into_keys().collect::<Vec<_>>();
            let index = run(&made.sparse.index, &gathered).expect("the index program runs");
            assert_eq!(places(&index), places(&wanted), "{body}, graph {n}: the index program");
        }
    }
}

#[test]
fn ends_with_parts_of_their_own_are_not() {
    for body in OTHERS {
        assert!(pipeline::by_vertex(&sparse(&pairs(body))).is_none(), "{body}");
    }
}

#[test]
fn costly_elements_are_not() {
    let body = "exp(sin(norm(x[i] - x[j]))) * cos(norm(x[i] - x[j]) * w[e])";
    assert!(pipeline::by_vertex(&sparse(&pairs(body))).is_none());
}

#[test]
fn other_terms_stay_and_come_later() {
    let text = "kernel k<V, E>(x: var vec3[V], y: var f64[V], ends: index<V>[E, 2], w: f64[E], side: f64[E, 2], mass: f64[V]) -> f64 {
        sum v in 0..V { mass[v] * sqnorm(x[v])^2 } + sum e: [i, j] in ends { (norm(x[i] - x[j]) - w[e])^2 }
            + sum e: [i, j] in ends { side[e, 0] * y[i] * y[j]^3 + sqnorm(x[i])^2 * x[j][0] }
    }";
    let sparse = sparse(text);
    let made = pipeline::by_vertex(&sparse).expect("springs are gathered");
    assert_eq!(made.lists.len(), 1);
    let first = made.sparse.eval.regions[made.sparse.eval.body].insts.iter().find_map(|&inst| {
        let mut site = None;
        for region in made.sparse.eval.insts[inst].regions() {
            spadina_ir::walk::visit_insts(&made.sparse.eval, region, &mut |_, inst| {
                if let spadina_ir::func::InstData::Emit(emit) = &made.sparse.eval.insts[inst] {
                    site = site.or(Some(emit.site));
                }
            });
        }
        site
    });
    assert_eq!(first, Some(made.lists[0].site), "what is stored comes first");
    for (n, (vertices, ends)) in (0..).zip(graphs()) {
        let plain = inputs(&sparse.eval, vertices, &ends, 70 + n);
        let gathered = with_lists(&made, &plain, vertices);
        let wanted = run(&sparse.eval, &plain).expect("the element program runs");
        let found = run(&made.sparse.eval, &gathered).expect("the program by vertex runs");
        same(&format!("graph {n}"), &wanted, &found, &sparse.eval);
    }
}
