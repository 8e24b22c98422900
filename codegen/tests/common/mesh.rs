//! A small mesh program: emissions in loops of every kind, an energy and a gradient.

use super::buffer;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, EmitData, Func, Plane, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::op::Op;
use spadina_ir::types::{Size, SizeExpr, Ty};

pub const V: i64 = 9;
pub const E: i64 = 13;

pub struct Mesh {
    pub b: Builder,
    pub v: Size,
    pub e: Size,
    pub x: Buffer,
    pub s: Buffer,
    pub edges: Buffer,
    pub weight: Buffer,
    pub keep: Buffer,
    pub energy: Buffer,
    pub x_bar: Buffer,
}

/// Unknowns `s: f64` (one column) and `x: vec2[V]`, edges with weights, an energy and a gradient.
pub fn mesh() -> Mesh {
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

pub fn inputs(mesh: &Mesh) -> Bindings {
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
pub fn ends(b: &mut Builder, mesh: (Buffer, Buffer), i: Value) -> (Vec<Value>, Vec<Value>) {
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

pub fn triangle(n: u32) -> Vec<(u32, u32)> {
    (0..n).flat_map(|b| (0..=b).map(move |a| (a, b))).collect()
}

/// Some number for each entry.
pub fn numbers(b: &mut Builder, values: &[Value], weight: Value, entries: &[(u32, u32)]) -> Vec<Value> {
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
pub enum Nest {
    Plain,
    Twice,
    Guarded,
    Ragged,
}

pub fn build(nest: Nest, symmetric: bool, with_values: bool) -> (Mesh, SizeExpr) {
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
    let emit = EmitData {
        site: 0,
        rows,
        cols,
        entries: entries.clone(),
        values: Vec::new(),
        symmetric,
        direct: false,
        project: None,
    };
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
            direct: false,
            project: None,
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
