//! Programs row by row against the element programs: every entry, every result, the pattern, at all small sizes.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, InstData, Role};
use spadina_ir::interp::{ArrayData, Bindings, Outputs, run};
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_ir::walk;
use spadina_passes::ad::reverse::Weights;
use spadina_passes::pipeline::{self, Sparse};
use std::collections::BTreeMap;

const SIZES: [i64; 9] = [0, 1, 2, 3, 4, 5, 7, 11, 16];

fn sparse(text: &str) -> Sparse {
    let program = compile(text);
    assert!(!program.has_errors(), "{:?}", program.diagnostics);
    let func = &program.kernels[0].func;
    let energy = func.buffers_of(Role::Output).all(|b| func.buffers[b].dims.is_empty());
    let made = if energy { pipeline::hessian(func, Weights::One) } else { pipeline::jacobian(func) };
    made.expect("a sparse program")
}

/// Inputs between 0.5 and 1.5, by name, so that two programs get the same.
fn inputs(func: &Func, sizes: &[i64], seed: u64) -> Bindings {
    let mut bindings = Bindings::default();
    for ((size, _), &value) in func.sizes.iter().zip(sizes) {
        bindings.sizes.insert(size, value);
    }
    for (buffer, data) in &func.buffers {
        if !matches!(data.role, Role::Var | Role::Data | Role::Structural) {
            continue;
        }
        let len: i64 =
            data.dims.iter().map(|d| d.eval(&|s| bindings.sizes[&s]).expect("small").max(0)).product();
        let mut state = seed ^ data.name.bytes().fold(7, |h, c| h * 31 + u64::from(c));
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            0.5 + (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let array = match data.elem {
            Ty::Int if data.name == "shuffled" => {
                ArrayData::Int((0..len).map(|i| (7 * i + 3) % len).collect())
            }
            Ty::Int => ArrayData::Int(vec![2; usize::try_from(len).expect("not negative")]),
            _ => ArrayData::F64((0..len).map(|_| next()).collect()),
        };
        bindings.arrays.insert(buffer, array);
    }
    bindings
}

fn matrix(outputs: &Outputs) -> BTreeMap<(usize, usize), f64> {
    let mut entries = BTreeMap::new();
    for &(row, col, value) in &outputs.triplets {
        *entries.entry((row, col)).or_insert(0.0) += value;
    }
    entries
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-11 * scale.max(1.0)
}

fn compare(text: &str, general: &Sparse, rows: &Sparse, sizes: &[i64]) {
    for func in [&rows.eval, &rows.index] {
        let violations = verify(func);
        assert!(violations.is_empty(), "{}\n{func}", violations[0]);
    }
    let found = run(&rows.eval, &inputs(&rows.eval, sizes, 1));
    let expected = match run(&general.eval, &inputs(&general.eval, sizes, 1)) {
        Ok(expected) => expected,
        Err(error) => {
            assert!(found.is_err(), "{sizes:?}: {error} only by elements\n{text}");
            return;
        }
    };
    let found = found.unwrap_or_else(|error| panic!("{sizes:?}: {error}\n{text}\n{}", rows.eval));
    let (a, b) = (matrix(&expected), matrix(&found));
    let scale = a.values().fold(0.0, |m: f64, x| m.max(x.abs()));
    assert_eq!(expected.shape, found.shape);
    let keys = |m: &BTreeMap<(usize, usize), f64>| m.keys().copied().collect::<Vec<_>>();
    assert_eq!(keys(&a), keys(&b), "{sizes:?}\n{text}\n{}", rows.eval);
    for (at, value) in &a {
        assert!(close(*value, b[at], scale), "{sizes:?} {at:?}: {value} {}\n{text}\n{}", b[at], rows.eval);
    }
    for (buffer, data) in &expected.arrays {
        let name = &general.eval.buffers[*buffer].name;
        let other = found.arrays[&rows.eval.buffer_named(name).expect("the same outputs")].to_f64();
        let data = data.to_f64();
        let scale = data.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        assert_eq!(data.len(), other.len());
        for (n, (&x, &y)) in data.iter().zip(&other).enumerate() {
            assert!(close(x, y, scale), "{sizes:?} {name}[{n}]: {x} {y}\n{text}\n{}", rows.eval);
        }
    }
    let index = run(&rows.index, &inputs(&rows.index, sizes, 1)).expect("the index program runs");
    assert_eq!(keys(&matrix(&index)), keys(&a), "{sizes:?}: index program\n{text}");
}

fn direct_entries(func: &Func) -> usize {
    let mut count = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst]
            && emit.direct
        {
            count += emit.entries.len();
        }
    });
    count
}

/// What [`pipeline::affine`] makes, whatever it costs.
fn by_rows(general: &Sparse, rows: Func) -> Sparse {
    let index = spadina_passes::sparse::index::index_program(&rows).expect("an index program");
    Sparse { eval: rows, index, road: general.road, trace: general.trace.clone() }
}

/// Checks a kernel; `width` is the number of entries that the interior stores at once, over all rows of one point.
fn check(text: &str, width: usize) {
    let general = sparse(text);
    let rows = match spadina_passes::sparse::rows::rows(&general.eval) {
        Ok(rows) => by_rows(&general, rows),
        Err(refusal) => panic!("{}\n{}", refusal.0, general.eval),
    };
    assert_eq!(direct_entries(&rows.eval), width, "{}", rows.eval);
    let count = general.eval.sizes.len();
    for &n in &SIZES {
        if count == 1 {
            compare(text, &general, &rows, &[n]);
        } else {
            for &m in &SIZES {
                compare(text, &general, &rows, &[n, m]);
            }
        }
    }
}

fn refused(text: &str) {
    assert!(pipeline::affine(&sparse(text)).is_none(), "{text}");
}

#[test]
fn chains() {
    check("kernel k<N>(x: var f64[N]) -> f64 { sum i in 1..N { (x[i] - x[i - 1])^2 } }", 3);
    check("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[i + 1] - x[i])^3 } }", 3);
    check("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (sqrt(x[i + 1]^2 + x[i]) + 1.0)^2 } }", 3);
    check("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { x[i]^3 } }", 1);
    check("kernel k<N>(x: var f64[N + 3]) -> f64 { sum i in 0..N { (x[i] * x[i + 3])^2 } }", 3);
}

#[test]
fn rosenbrock() {
    check(include_str!("../../tests/cases/rosenbrock.ir"), 3);
}

#[test]
fn rings() {
    check(
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { (sqrt((x[(i + 1) % N] - x[i])^2) - 1.0)^2 } }",
        3,
    );
    check(
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { (x[(i + N - 2) % N] * x[(i + 1) % N] * x[i])^2 } }",
        7,
    );
    check("kernel k<N>(x: var vec2[N]) -> f64 { sum i in 0..N { sqnorm(x[(i + 1) % N] - x[i])^2 } }", 12);
}

#[test]
fn points_beside_a_chain() {
    check(
        "kernel k<N>(x: var f64[N]) -> f64 { (sum i in 0..N - 1 { (x[i + 1] - x[i])^3 }) + x[0]^2 * x[1] + x[N - 1]^4 }",
        3,
    );
}

#[test]
fn several_unknowns_share_rows() {
    check(
        "kernel k<N>(x: var f64[N], v: var f64[N], a: f64[N]) -> f64 {
            sum i in 0..N - 1 { a[i] * (x[i + 1] - x[i] - 0.5 * (v[i] + v[i + 1])^2)^2 + cos(x[i]) }
        }",
        12,
    );
    check(
        "kernel k<N>(x: var f64[N + 1], v: var f64[N]) -> f64 { sum i in 0..N { (x[i + 1] - x[i])^2 * v[i] } }",
        7,
    );
}

#[test]
fn guards() {
    check(
        "kernel k<N>(x: var f64[N]) -> f64 {
            sum i in 0..N { let y = if i > 0 { x[i - 1] } else { 0.5 }; let z = if i < N - 2 { x[i + 2] } else { x[i] };
                (x[i] * y)^2 + (z - x[i])^3 }
        }",
        5,
    );
    check(
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { if x[i] > 1.0 { (x[i + 1] - x[i])^3 } else { x[i]^2 } } }",
        3,
    );
}

#[test]
fn residuals() {
    check(include_str!("../../tests/cases/heat_implicit.ir"), 5);
    check(include_str!("../../tests/cases/brusselator2d.ir"), 12);
    check(include_str!("../../tests/cases/pendulum_collocation.ir"), 10);
    check("kernel k<N>(x: var f64[N + 2]) -> f64[N] { map i in 0..N { x[i + 2] - 2.0 * x[i]^2 } }", 2);
    check(
        "kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { x[min(i + 1, N - 1)] * x[max(i - 1, 0)] } }",
        2,
    );
}

#[test]
fn columns_that_data_name() {
    // One subscript an array: the columns of a row have a fixed order, whatever the data are.
    check(
        "kernel k<C, O>(w: var f64[O], a: var f64[C, 3], at: index<C>[O]) -> f64[O, 2] {
            map o in 0..O { let c = a[at[o]]; [w[o] * c[0] * c[1], sin(c[2]) * c[0]] }
        }",
        5,
    );
    // Two subscripts in one array have none, and may be equal.
    refused(
        "kernel k<C, O>(a: var f64[C], at: index<C>[O, 2]) -> f64[O] { map o: [i, j] in at { a[i] * a[j] } }",
    );
    refused(
        "kernel k<C, O>(a: var f64[C], at: index<C>[O]) -> f64[O] { map o in 0..O { a[at[o]] * a[at[o] + 1] * a[2] } }",
    );
}

/// Springs along both axes of a grid.
const GRID_SPRINGS: &str = "kernel k<N, M>(x: var vec2[N, M], l: f64) -> f64 {
            (sum i in 0..N - 1, j in 0..M { (norm(x[i + 1, j] - x[i, j]) - l)^2 })
            + (sum i in 0..N, j in 0..M - 1 { (norm(x[i, j + 1] - x[i, j]) - l)^2 })
        }";

#[test]
fn grids() {
    check(include_str!("../../tests/cases/minsurf_grid.ir"), 7);
    check(GRID_SPRINGS, 20);
}

#[test]
fn rods() {
    check(include_str!("../../tests/cases/rod_bergou.ir"), 45);
}

#[test]
fn loops_may_run_backward() {
    check("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N - 1 { (x[N - 1 - i] - x[N - 2 - i])^3 } }", 3);
    check("kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { x[N - 1 - i]^2 * x[0] } }", 2);
}

#[test]
fn literal_lengths() {
    check("kernel k(x: var f64[300]) -> f64 { sum i in 0..299 { (x[i + 1] - x[i])^3 } }", 3);
    check(
        "kernel k<N>(x: var f64[N, 300]) -> f64 { sum i in 0..N, j in 0..298 { (x[i, j + 2] - x[i, j])^3 } }",
        3,
    );
}

#[test]
fn wrong_subscripts_are_found() {
    let general = sparse(
        "kernel k<N>(x: var f64[N], a: f64[N], k: int) -> f64 { sum i in 0..N - 1 { (x[i + 1] * x[i])^2 * a[i + k] } }",
    );
    let rows = by_rows(&general, spadina_passes::sparse::rows::rows(&general.eval).expect("rows"));
    for n in [0, 1, 2, 3, 9] {
        let wrong = |func: &Func| run(func, &inputs(func, &[n], 1)).is_err();
        assert_eq!(wrong(&general.index), n > 1, "{n}");
        assert_eq!(wrong(&rows.index), n > 1, "{n}");
    }
}

#[test]
fn slots_are_cheaper_where_iterations_are_long() {
    assert!(pipeline::affine(&sparse(include_str!("../../tests/cases/rod_bergou.ir"))).is_some());
    assert!(pipeline::affine(&sparse(GRID_SPRINGS)).is_some());
    assert!(pipeline::affine(&sparse(include_str!("../../tests/cases/minsurf_grid.ir"))).is_none());
}

/// Random programs to try.
const PROGRAMS: usize = 120;

struct Rng(u64);

impl Rng {
    /// A number in `lo..=hi`.
    fn int(&mut self, lo: i64, hi: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lo + ((self.0 >> 33) % (hi - lo + 1) as u64) as i64
    }

    fn subscript(&mut self, iv: &str, dim: &str, ring: bool) -> String {
        let offset = self.int(-2, 2);
        match (ring, self.int(0, 3)) {
            (true, _) => format!("({iv} + {dim} + {}) % {dim}", offset - 3).replace("+ -", "- "),
            (false, 0) => iv.to_owned(),
            (false, _) => format!("{iv} + {offset}").replace("+ -", "- "),
        }
    }

    /// A load, under a guard where it may not exist.
    fn load(&mut self, var: &str, grid: bool, ring: bool) -> String {
        let first = self.subscript("i", "N", ring);
        if !grid {
            return format!("{var}[{first}]");
        }
        format!("{var}[{first}, {}]", self.subscript("j", "M", ring))
    }

    fn term(&mut self, grid: bool) -> String {
        let ring = self.int(0, 2) == 0;
        let (mut first, mut second) = ("i in 0..N", "j in 0..M");
        if !ring {
            (first, second) = ("i in 2..N - 2", "j in 2..M - 2");
        }
        let loads: Vec<String> = (0..self.int(1, 3))
            .map(|_| {
                let var = ["x", "v"][self.int(0, 1) as usize];
                self.load(var, grid, ring)
            })
            .collect();
        let body = match self.int(0, 3) {
            0 => format!("({})^3", loads.join(" - 0.5 * ")),
            1 => format!("cos({}) * a", loads.join(" * ")),
            2 => format!(
                "if {} > 1.0 {{ ({})^2 }} else {{ x{}^3 }}",
                loads[0],
                loads.join(" + "),
                if grid { "[i, j]" } else { "[i]" }
            ),
            _ if ring => format!("(if i > 1 {{ {} }} else {{ 0.25 }})^3", loads.join(" * ")),
            _ => format!("(if i < N - 3 {{ {} }} else {{ 0.25 }})^3 * a", loads.join(" * ")),
        };
        if grid {
            format!("(sum {first}, {second} {{ {body} }})")
        } else {
            format!("(sum {first} {{ {body} }})")
        }
    }
}

#[test]
fn random_stencils() {
    let mut accepted = 0;
    for seed in 0..PROGRAMS {
        let mut rng = Rng(seed as u64 * 977 + 5);
        let grid = rng.int(0, 2) == 0;
        let mut terms: Vec<String> = (0..rng.int(1, 3)).map(|_| rng.term(grid)).collect();
        let (sizes, dims) = if grid { ("N, M", "N, M") } else { ("N", "N") };
        if rng.int(0, 2) == 0 {
            let with = ["y[i]", "v[0]", "x[i]", "1.5"][rng.int(0, 3) as usize];
            let with = if grid { "y[i]" } else { with };
            let place = rng.int(0, terms.len() as i64) as usize;
            terms.insert(place, format!("(sum i in 0..N {{ (y[shuffled[i]] - {with})^4 }})"));
        }
        let text = format!(
            "kernel k<{sizes}>(x: var f64[{dims}], y: var f64[N], v: var f64[{dims}], a: f64, shuffled: index<N>[N]) -> f64 {{\n    {}\n}}",
            terms.join("\n    + ")
        );
        let general = sparse(&text);
        let Ok(rows) = spadina_passes::sparse::rows::rows(&general.eval) else { continue };
        accepted += 1;
        let rows = by_rows(&general, rows);
        for n in [0, 1, 2, 3, 4, 5, 6, 9] {
            if grid {
                for m in [0, 1, 2, 4, 5, 8] {
                    compare(&text, &general, &rows, &[n, m]);
                }
            } else {
                compare(&text, &general, &rows, &[n]);
            }
        }
    }
    assert!(accepted > PROGRAMS / 2, "{accepted} of {PROGRAMS} fit");
}

/// Terms of which some follow data, over unknowns that share rows or do not.
#[test]
fn rows_beside_elements() {
    let text = "kernel k<N>(x: var f64[N], p: var f64[N], shuffled: index<N>[N]) -> f64 {
        (sum i in 0..N { (x[shuffled[i]] - x[i])^4 }) + (sum i in 0..N - 1 { (p[i + 1] - p[i])^4 })
    }";
    check(text, 3);
    // Rows in front of others, and of two literal axes; the gradient of both by other terms.
    let text = "kernel k<N>(p: var f64[2, N], x: var vec2[N], q: var vec2[N], shuffled: index<N>[N]) -> f64 {
        (sum i in 0..N { p[0, i]^2 * p[1, i] + dot(q[i], q[i])^2 }) + (sum i in 0..N { sqnorm(x[shuffled[i]] - x[i])^2 })
            + (x[0].x - 1.0)^2
    }";
    check(text, 7);
    // A term of both leaves all rows to elements.
    refused(
        "kernel k<N>(x: var f64[N], p: var f64[N], shuffled: index<N>[N]) -> f64 {
            (sum i in 0..N { (x[shuffled[i]] - p[i])^4 }) + (sum i in 0..N - 1 { (p[i + 1] - p[i])^4 })
        }",
    );
    // What every iteration writes is summed up in its own way.
    refused(
        "kernel k<N>(x: var f64[N], p: var f64[N], s: var f64) -> f64 {
            (sum i in 0..N { (x[i] - s)^4 }) + (sum i in 0..N - 1 { (p[i + 1] - p[i])^4 })
        }",
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    refused("kernel k<N>(x: var f64[2 * N]) -> f64 { sum i in 0..N { (x[2 * i] - x[2 * i + 1])^3 } }");
    refused("kernel k<N, E>(x: var f64[N], k: index<N>[E]) -> f64 { sum e in 0..E { x[k[e]]^3 } }");
    refused("kernel k<N>(x: var f64[N], s: var f64) -> f64 { sum i in 0..N { (s * x[i])^2 } }");
    refused("kernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N, j in 0..N { (x[i] - x[j])^2 * x[i] } }");
}
