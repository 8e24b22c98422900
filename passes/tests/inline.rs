//! Maps of maps computed where they are read: the same bits at all small sizes, and elements shared, not one a path.

use spadina_ir::frontend::compile::compile;
use spadina_ir::func::{Func, InstData, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_ir::walk;
use spadina_passes::{inline, pipeline};

fn func(text: &str) -> Func {
    let program = compile(text);
    assert!(!program.has_errors(), "{text}: {:?}", program.diagnostics);
    program.kernels[0].func.clone()
}

fn inlined(func: &Func) -> Func {
    let inlined = inline::run(func).expect("no refusal");
    assert!(verify(&inlined).is_empty(), "{:?}", verify(&inlined));
    spadina_passes::dce::run(&inlined).expect("no refusal")
}

/// Inputs that depend on names and positions only; integers in 0..2, whatever they index has at least that many elements.
fn inputs(func: &Func, size: i64) -> Bindings {
    let mut bindings = Bindings::default();
    for (n, _) in &func.sizes {
        bindings.sizes.insert(n, size);
    }
    for (buffer, data) in &func.buffers {
        if !matches!(data.role, Role::Var | Role::Data | Role::Structural) {
            continue;
        }
        let len: i64 = data.dims.iter().map(|d| d.eval(&|_| size).expect("small").max(0)).product();
        let name = data.name.bytes().fold(7_i64, |h, c| (h * 31 + i64::from(c)) % 1009);
        let array = match data.elem {
            Ty::Int => ArrayData::Int((0..len).map(|n| (n * n + name) % size.max(1)).collect()),
            Ty::Bool => ArrayData::Bool((0..len).map(|n| (n * n + name) % 3 > 0).collect()),
            _ => ArrayData::F64((0..len).map(|n| ((n * 37 + name) as f64).sin()).collect()),
        };
        bindings.arrays.insert(buffer, array);
    }
    bindings
}

fn agrees(text: &str, from: i64) {
    let func = func(text);
    let inlined = inlined(&func);
    for size in (from..from + 8).chain([from + 15]) {
        let data = inputs(&func, size);
        let (wanted, found) = (run(&func, &data), run(&inlined, &data));
        match (wanted, found) {
            (Ok(wanted), Ok(found)) => {
                for y in func.buffers_of(Role::Output) {
                    // The sign of a zero is nobody's.
                    let bits =
                        |a: &ArrayData| a.to_f64().iter().map(|x| (x + 0.0).to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&found.arrays[&y]), bits(&wanted.arrays[&y]), "{text}, size {size}");
                }
            }
            (wanted, found) => panic!("{text}, size {size}: {wanted:?} {found:?}"),
        }
    }
}

/// Intermediate arrays that are still read.
fn arrays(func: &Func) -> usize {
    let mut read = std::collections::BTreeSet::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Load(buffer, _) = &func.insts[inst]
            && func.buffers[*buffer].role == Role::Scratch
        {
            read.insert(*buffer);
        }
    });
    read.len()
}

fn differences(k: usize) -> String {
    format!(
        "kernel k<N>(x: var f64[N]) -> f64[N - {k}] {{
            let y = fold k in 0..{k} with y = x {{ map i in 0..N {{ if i < N - 1 - k {{ y[i + 1] - y[i] }} else {{ 0.0 }} }} }};
            map i in 0..N - {k} {{ y[i] }}
        }}"
    )
}

#[test]
fn iterated_differences_become_one_stencil() {
    for k in [1, 2, 3, 10, 24] {
        agrees(&differences(k), k as i64);
        let inlined = inlined(&func(&differences(k)));
        assert_eq!(arrays(&inlined), 0, "{k}");
        // A triangle of differences, the loads of its base with their subscripts, and what is around.
        let most = k * (k + 1) / 2 + 3 * (k + 1) + 10;
        assert!(walk::inst_count(&inlined) <= most, "{k}: {} over {most}", walk::inst_count(&inlined));
    }
}

#[test]
fn the_matrix_of_iterated_differences_has_binomial_rows() {
    let sparse = pipeline::jacobian(&func(&differences(10))).expect("structural");
    let data = inputs(&sparse.eval, 13);
    let found = run(&sparse.eval, &data).expect("runs").triplets;
    let binomial = |j: u32| (0..j).fold(1.0, |b, i| b * f64::from(10 - i) / f64::from(i + 1));
    let mut wanted: Vec<(usize, usize, f64)> = Vec::new();
    for row in 0..3 {
        wanted.extend(
            (0..11).map(|j| (row, row + j as usize, if j % 2 == 0 { 1.0 } else { -1.0 } * binomial(j))),
        );
    }
    let mut found = found;
    found.sort_by_key(|a| (a.0, a.1));
    assert_eq!(found, wanted);
}

#[test]
fn rings_and_clamps_share_elements() {
    for k in [2, 4, 9] {
        let ring = format!(
            "kernel k<N>(x: var f64[N]) -> f64[N] {{
                fold _k in 0..{k} with y = x {{ map i in 0..N {{ y[i] + 0.1 * (y[(i + 1) % N] - 2.0 * y[i] + y[(i + N - 1) % N]) }} }}
            }}"
        );
        agrees(&ring, 1);
        let inlined = inlined(&func(&ring));
        assert_eq!(arrays(&inlined), 0, "{k}");
        assert!(walk::inst_count(&inlined) <= 12 * k * k + 24 * k, "{k}: {}", walk::inst_count(&inlined));
    }
    let clamped = "kernel k<N>(x: var f64[N]) -> f64[N] {
        let a = map i in 0..N { x[min(i + 1, N - 1)] - x[max(i - 1, 0)] };
        let b = map i in 0..N { a[min(i + 1, N - 1)] * a[max(i - 1, 0)] };
        map i in 0..N { b[min(i + 1, N - 1)] + b[i] }
    }";
    agrees(clamped, 1);
}

#[test]
fn conditions_that_nobody_knows_stay_and_so_do_arrays_too_large_to_copy() {
    let masked = "kernel k<N>(x: var f64[N], w: bool[N]) -> f64[N - 12] {
        let y = fold k in 0..12 with y = x {
            map i in 0..N { if i < N - 1 - k { if w[i] { y[i + 1] - y[i] } else { y[i] } } else { 0.0 } }
        };
        map i in 0..N - 12 { y[i] }
    }";
    agrees(masked, 12);
    assert!(walk::inst_count(&inlined(&func(masked))) < 20_000);
    let grid = "kernel k<N>(x: var f64[N, N]) -> f64[N, N] {
        fold _k in 0..4 with y = x {
            map i in 0..N, j in 0..N {
                if i > 0 && i < N - 1 && j > 0 && j < N - 1 {
                    0.25 * (y[i + 1, j] + y[i - 1, j] + y[i, j + 1] + y[i, j - 1])
                } else { y[i, j] }
            }
        }
    }";
    agrees(grid, 0);
    assert!(walk::inst_count(&inlined(&func(grid))) < 20_000);
}

#[test]
fn other_maps_agree() {
    for (text, from) in [
        // Components, read at literals.
        (
            "kernel k<N>(x: var f64[N]) -> f64 { let v = map i in 0..N { [x[i], x[i]^2] }; sum i in 1..N { dot(v[i], v[i - 1]) } }",
            0,
        ),
        // Read backward, and through a table.
        (
            "kernel k<N>(x: var f64[N], t: index<N>[N]) -> f64[N] {
                let a = map i in 0..N { x[N - 1 - i]^2 };
                let b = map i in 0..N { a[t[i]] + a[N - 1 - i] };
                map i in 0..N { b[t[i]] * b[i] }
            }",
            1,
        ),
        // The same element in both branches, before and after.
        (
            "kernel k<N>(x: var f64[N]) -> f64[N] {
                let a = map i in 0..N { sin(x[i]) };
                map i in 0..N { if x[i] > 0.0 { a[i] * 2.0 } else { a[i] - a[0] } + a[i] }
            }",
            1,
        ),
        // In an inner loop of symbolic length.
        (
            "kernel k<N>(x: var f64[N]) -> f64[N] {
                let a = map i in 0..N { x[i]^3 };
                map i in 0..N { a[i] + sum j in 0..i { a[j] * a[i] } }
            }",
            0,
        ),
    ] {
        agrees(text, from);
    }
}
