//! Emissions in every slot layout, counts that vary, owners, and the checks of index programs.
#![allow(clippy::unwrap_used)]
mod common;

use common::{buffer, check, check_layouts, run_index};
use spadina_codegen::jit::compile_index;
use spadina_codegen::options::Options;
use spadina_codegen::program::program_info;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, EmitData, Func, Plane, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr, Ty};
use spadina_layout::site::{Block, SlotLayout, SlotMode, SlotWidth};

const V: i64 = 9;
const E: i64 = 13;

struct Mesh {
    b: Builder,
    v: Size,
    e: Size,
    x: Buffer,
    s: Buffer,
    edges: Buffer,
    weight: Buffer,
    keep: Buffer,
    energy: Buffer,
    x_bar: Buffer,
}

/// Unknowns `s: f64` (one column) and `x: vec2[V]`, edges with weights, an energy and a gradient.
fn mesh() -> Mesh {
    let mut b = Builder::new(Func::new("mesh"));
    let (v, e) = (b.size_symbol("V"), b.size_symbol("E"));
    let (vs, es, two) = (SizeExpr::size(v), SizeExpr::size(e), SizeExpr::constant(2));
    let s = buffer(&mut b, "s", Ty::F64, &[], Role::Var);
    let x = buffer(&mut b, "x", Ty::F64, &[vs.clone(), two.clone()], Role::Var);
    let edges = buffer(&mut b, "edges", Ty::Int, &[es.clone(), two.clone()], Role::Structural);
    let weight = buffer(&mut b, "weight", Ty::F64, std::slice::from_ref(&es), Role::Data);
    let keep = buffer(&mut b, "keep", Ty::Bool, std::slice::from_ref(&es), Role::Structural);
    let energy = buffer(&mut b, "energy", Ty::F64, &[], Role::Output);
    let mut data = b.func().buffers[x].clone();
    (data.name, data.role, data.plane) = ("x_bar".into(), Role::Output, Plane::Adjoint(x));
    let x_bar = b.buffer(data);
    b.set_columns(vec![s, x]);
    b.set_rows(vec![s, x]);
    Mesh { b, v, e, x, s, edges, weight, keep, energy, x_bar }
}

fn inputs(mesh: &Mesh) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.sizes.insert(mesh.v, V);
    bindings.sizes.insert(mesh.e, E);
    bindings.arrays.insert(mesh.s, ArrayData::F64(vec![0.7]));
    bindings.arrays.insert(mesh.x, ArrayData::F64((0..2 * V).map(|k| (k * 29 % 17) as f64 * 0.37).collect()));
    // Edge 5 joins a vertex to itself: the diagonal receives its entries twice.
    let ends = (0..E).flat_map(|k| [(k * 4) % V, if k == 5 { (k * 4) % V } else { (k * 7 + 3) % V }]);
    bindings.arrays.insert(mesh.edges, ArrayData::Int(ends.collect()));
    bindings.arrays.insert(mesh.weight, ArrayData::F64((0..E).map(|k| 0.1 + k as f64 / 3.0).collect()));
    bindings.arrays.insert(mesh.keep, ArrayData::Bool((0..E).map(|k| k % 3 != 1).collect()));
    bindings
}

/// Ends of edge `i`: their numbers, positions and coordinates.
fn ends(b: &mut Builder, mesh: (Buffer, Buffer), i: Value) -> (Vec<Value>, Vec<Value>) {
    let (x, edges) = mesh;
    let (zero, one) = (b.int(0), b.int(1));
    let (mut positions, mut values) = (Vec::new(), Vec::new());
    for end in [zero, one] {
        let v = b.load(edges, &[i, end]);
        for c in [zero, one] {
            positions.push(b.position(x, &[v, c]));
            values.push(b.load(x, &[v, c]));
        }
    }
    (positions, values)
}

fn triangle(n: u32) -> Vec<(u32, u32)> {
    (0..n).flat_map(|b| (0..=b).map(move |a| (a, b))).collect()
}

/// Some number for each entry.
fn numbers(b: &mut Builder, values: &[Value], weight: Value, entries: &[(u32, u32)]) -> Vec<Value> {
    entries
        .iter()
        .map(|&(p, q)| {
            let product = b.mul(values[p as usize], values[q as usize]);
            let difference = b.sub(product, weight);
            if (p + q) % 3 == 1 { b.neg(difference) } else { difference }
        })
        .collect()
}

/// What the loops around the emissions look like.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Nest {
    Plain,
    Twice,
    Guarded,
    Ragged,
}

fn build(nest: Nest, symmetric: bool, with_values: bool) -> (Mesh, SizeExpr) {
    let mut mesh = mesh();
    let bound = SizeExpr::size(mesh.e);
    let b = &mut mesh.b;
    let (zero, n) = (b.int(0), b.size(&bound));
    let (i, _) = b.begin_loop(zero, n, 1, &[]);
    match nest {
        Nest::Plain => {}
        Nest::Twice => {
            let two = b.int(2);
            b.begin_loop(zero, two, 1, &[]);
        }
        Nest::Guarded => {
            let keep = b.load(mesh.keep, &[i]);
            b.begin_if(keep);
        }
        Nest::Ragged => {
            let (two, four) = (b.int(2), b.int(4));
            let lo = b.op(Op::IntMod, &[i, two]);
            let hi = b.op(Op::IntMod, &[i, four]);
            b.begin_loop(lo, hi, 1, &[]);
        }
    }
    let (positions, values) = ends(b, (mesh.x, mesh.edges), i);
    let weight = b.load(mesh.weight, &[i]);
    let local = positions.len() as u32;
    let (rows, cols, entries) = if symmetric {
        (positions.clone(), positions, triangle(local))
    } else {
        // The scalar unknown takes part, and the block is not full.
        let s = b.position(mesh.s, &[]);
        let cols: Vec<_> = positions.iter().copied().chain([s]).collect();
        (vec![positions[1], s], cols, vec![(0, 0), (0, 4), (1, 1), (1, 4), (0, 2)])
    };
    let emit = EmitData { site: 0, rows, cols, entries: entries.clone(), values: Vec::new(), symmetric };
    if with_values {
        let mut all = values.clone();
        all.push(weight);
        let numbers = numbers(b, &all, weight, &entries);
        b.emit(EmitData { values: numbers, ..emit });
    } else {
        b.emit_positions(emit);
    }
    match nest {
        Nest::Plain => {}
        Nest::Twice | Nest::Ragged => {
            b.end_loop(&[]);
        }
        Nest::Guarded => {
            b.begin_else(&[]);
            b.end_if(&[]);
        }
    }
    // A second site, the energy and the gradient.
    if nest != Nest::Guarded {
        let (positions, values) = ends(b, (mesh.x, mesh.edges), i);
        let weight = b.load(mesh.weight, &[i]);
        let rows = vec![positions[0]];
        let second = EmitData {
            site: 1,
            rows: rows.clone(),
            cols: rows,
            entries: vec![(0, 0)],
            values: vec![],
            symmetric: true,
        };
        if with_values {
            b.emit(EmitData { values: vec![weight], ..second });
            let minus = b.neg(values[0]);
            b.accum(mesh.energy, &[], minus);
            b.accum(mesh.energy, &[], weight);
            let one = b.int(1);
            let end = b.load(mesh.edges, &[i, one]);
            b.accum(mesh.x_bar, &[end, zero], values[3]);
            b.accum(mesh.x_bar, &[end, one], minus);
        } else {
            b.emit_positions(second);
        }
    }
    b.end_loop(&[]);
    (mesh, bound)
}

#[test]
fn every_layout_nest_and_owner() {
    for nest in [Nest::Plain, Nest::Twice, Nest::Guarded, Nest::Ragged] {
        for symmetric in [true, false] {
            let (mesh, _) = build(nest, symmetric, true);
            let bindings = inputs(&mesh);
            let eval = mesh.b.finish();
            let index = build(nest, symmetric, false).0.b.finish();
            check(&eval, &index, &bindings);
        }
    }
}

#[test]
fn positions_are_grouped_in_blocks() {
    let info = program_info(&build(Nest::Plain, true, true).0.b.finish()).unwrap();
    let site = &info.phases[0].sites[0];
    assert_eq!(site.shape.row_blocks, [Block { start: 0, width: 2 }, Block { start: 2, width: 2 }]);
    assert_eq!(site.per_iteration, Some(1));
    assert_eq!(info.phases[0].sums, [0]);
    assert!(!info.phases[0].serial);
    let info = program_info(&build(Nest::Ragged, false, false).0.b.finish()).unwrap();
    let site = &info.phases[0].sites[0];
    assert_eq!(site.shape.row_blocks, [Block { start: 0, width: 1 }, Block { start: 1, width: 1 }]);
    assert_eq!(site.shape.col_blocks.len(), 3);
    assert_eq!(site.per_iteration, None);
    let info = program_info(&build(Nest::Twice, true, true).0.b.finish()).unwrap();
    assert_eq!(info.phases[0].sites[0].per_iteration, Some(2));
}

#[test]
fn wrong_subscripts_are_reported() {
    for nest in [Nest::Plain, Nest::Ragged] {
        let mut mesh = mesh();
        let b = &mut mesh.b;
        let bound = SizeExpr::size(mesh.e);
        let (zero, one, n) = (b.int(0), b.int(1), b.size(&bound));
        let (i, _) = b.begin_loop(zero, n, 1, &[]);
        let v = b.load(mesh.edges, &[i, one]);
        b.set_span((17, 23));
        if nest == Nest::Ragged {
            // The subscript decides how often: counting meets it first.
            let w = b.load(mesh.edges, &[v, zero]);
            b.begin_loop(zero, w, 1, &[]);
        } else {
            b.check(mesh.x, &[v, one]);
        }
        let position = b.position(mesh.x, &[zero, one]);
        b.emit_positions(EmitData {
            site: 0,
            rows: vec![position],
            cols: vec![position],
            entries: vec![(0, 0)],
            values: vec![],
            symmetric: true,
        });
        if nest == Nest::Ragged {
            b.end_loop(&[]);
        }
        b.end_loop(&[]);
        let mut bindings = inputs(&mesh);
        let func = mesh.b.finish();
        let program = compile_index(&func, &Options::default()).unwrap();
        assert!(run_index(&func, &program, &bindings).is_ok());
        for wrong in [V + 40, -1] {
            let mut ends = vec![0; 2 * E as usize];
            ends[11] = wrong;
            bindings.arrays.insert(mesh.edges, ArrayData::Int(ends));
            let error = run_index(&func, &program, &bindings).err().expect("the subscript is wrong");
            let (buffer, bound) = if nest == Nest::Ragged { (mesh.edges, E) } else { (mesh.x, V) };
            assert_eq!((error.buffer, error.axis), (i64::from(buffer.as_u32()), 0));
            assert_eq!((error.index, error.bound), (wrong, bound));
            assert_eq!((error.span_start, error.span_end), (17, 23));
        }
    }
}

#[test]
fn nothing_happens_without_elements() {
    let (mesh, _) = build(Nest::Ragged, true, true);
    let mut bindings = inputs(&mesh);
    bindings.sizes.insert(mesh.e, 0);
    for name in [mesh.edges, mesh.weight, mesh.keep] {
        let empty = ArrayData::zeros(mesh.b.func().buffers[name].elem, 0).unwrap();
        bindings.arrays.insert(name, empty);
    }
    let eval = mesh.b.finish();
    let index = build(Nest::Ragged, true, false).0.b.finish();
    let slots = SlotLayout { mode: SlotMode::Entry, width: SlotWidth::U8, drops: false };
    check_layouts(&eval, &index, &bindings, &[slots]);
}
