//! Compile time and speed of the symmetric Dirichlet Hessian: 50k triangles, block and entry slots, one thread.
//!
//! Run with `cargo bench -p spadina-codegen`. Second derivatives are built here by forward accumulation in the hash-consing
//! builder: what the passes make is better, so these are figures of the code generator, not of the product.
#![allow(clippy::unwrap_used, clippy::print_stdout, unsafe_code, clippy::undocumented_unsafe_blocks)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Memory, buffer, prepare, run_index};
use spadina_codegen::jit::{compile_eval_as, compile_index};
use spadina_codegen::options::{OptLevel, Options};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, EmitData, Func, Plane, Role, Value};
use spadina_ir::interp::{ArrayData, Bindings};
use spadina_ir::types::{Size, SizeExpr, Ty};
use spadina_ir::walk::inst_count;
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use std::time::Instant;

const LOCALS: usize = 6;

/// A value with its gradient and the upper triangle of its Hessian.
#[derive(Clone)]
struct Jet {
    value: Value,
    grad: Vec<Value>,
    hess: Vec<Value>,
}

fn at(a: usize, b: usize) -> usize {
    let (a, b) = (a.min(b), a.max(b));
    b * (b + 1) / 2 + a
}

fn leaf(b: &mut Builder, value: Value, local: Option<usize>) -> Jet {
    let (zero, one) = (b.f64(0.0), b.f64(1.0));
    let grad = (0..LOCALS).map(|k| if Some(k) == local { one } else { zero }).collect();
    Jet { value, grad, hess: vec![zero; LOCALS * (LOCALS + 1) / 2] }
}

fn linear(b: &mut Builder, x: &Jet, y: &Jet, minus: bool) -> Jet {
    let mut f = |p: Value, q: Value| if minus { b.sub(p, q) } else { b.add(p, q) };
    Jet {
        value: f(x.value, y.value),
        grad: x.grad.iter().zip(&y.grad).map(|(&p, &q)| f(p, q)).collect(),
        hess: x.hess.iter().zip(&y.hess).map(|(&p, &q)| f(p, q)).collect(),
    }
}

fn times(b: &mut Builder, x: &Jet, y: &Jet) -> Jet {
    let value = b.mul(x.value, y.value);
    let mut product = |p: Value, q: Value, r: Value, s: Value| {
        let (first, second) = (b.mul(p, q), b.mul(r, s));
        b.add(first, second)
    };
    let grad = (0..LOCALS).map(|k| product(x.value, y.grad[k], y.value, x.grad[k])).collect();
    let mut hess = Vec::new();
    for q in 0..LOCALS {
        for p in 0..=q {
            let outer = product(x.value, y.hess[at(p, q)], y.value, x.hess[at(p, q)]);
            let inner = product(x.grad[p], y.grad[q], x.grad[q], y.grad[p]);
            hess.push((outer, inner));
        }
    }
    let hess = hess.into_iter().map(|(o, i)| b.add(o, i)).collect();
    Jet { value, grad, hess }
}

fn reciprocal(b: &mut Builder, x: &Jet) -> Jet {
    let one = b.f64(1.0);
    let value = b.div(one, x.value);
    let square = b.mul(value, value);
    let cube = b.mul(square, value);
    let two = b.f64(2.0);
    let bend = b.mul(two, cube);
    let slope = b.neg(square);
    let grad: Vec<Value> = x.grad.iter().map(|&g| b.mul(slope, g)).collect();
    let mut hess = Vec::new();
    for q in 0..LOCALS {
        for p in 0..=q {
            let pair = b.mul(x.grad[p], x.grad[q]);
            let (first, second) = (b.mul(bend, pair), b.mul(slope, x.hess[at(p, q)]));
            hess.push(b.add(first, second));
        }
    }
    Jet { value, grad, hess }
}

struct Buffers {
    v: Size,
    f: Size,
    x: Buffer,
    faces: Buffer,
    rest: Buffer,
    area: Buffer,
}

fn declare(b: &mut Builder) -> (Buffers, Buffer, Buffer) {
    let (v, f) = (b.size_symbol("V"), b.size_symbol("F"));
    let (vs, fs) = (SizeExpr::size(v), SizeExpr::size(f));
    let two = SizeExpr::constant(2);
    let x = buffer(b, "x", Ty::F64, &[vs, two.clone()], Role::Var);
    let faces = buffer(b, "faces", Ty::Int, &[fs.clone(), SizeExpr::constant(3)], Role::Structural);
    let rest = buffer(b, "rest", Ty::F64, &[fs.clone(), two.clone(), two], Role::Data);
    let area = buffer(b, "area", Ty::F64, &[fs], Role::Data);
    let energy = buffer(b, "energy", Ty::F64, &[], Role::Output);
    let mut data = b.func().buffers[x].clone();
    (data.name, data.role, data.plane) = ("x_bar".into(), Role::Output, Plane::Adjoint(x));
    let x_bar = b.buffer(data);
    b.set_columns(vec![x]);
    b.set_rows(vec![x]);
    (Buffers { v, f, x, faces, rest, area }, energy, x_bar)
}

fn build(with_values: bool) -> (Func, Buffers) {
    let mut b = Builder::new(Func::new("symmetric_dirichlet"));
    let (names, energy, x_bar) = declare(&mut b);
    let (zero, one) = (b.int(0), b.int(1));
    let bound = b.size(&SizeExpr::size(names.f));
    let (t, _) = b.begin_loop(zero, bound, 1, &[]);
    let (mut unknowns, mut positions, mut vertices) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..3 {
        let k = b.int(k);
        let v = b.load(names.faces, &[t, k]);
        vertices.push(v);
        for c in [zero, one] {
            positions.push(b.position(names.x, &[v, c]));
            if with_values {
                let value = b.load(names.x, &[v, c]);
                let local = unknowns.len();
                unknowns.push(leaf(&mut b, value, Some(local)));
            }
        }
    }
    let entries: Vec<_> = (0..LOCALS as u32).flat_map(|q| (0..=q).map(move |p| (p, q))).collect();
    let emit = EmitData {
        site: 0,
        rows: positions.clone(),
        cols: positions,
        entries,
        values: vec![],
        symmetric: true,
        direct: false,
        project: None,
    };
    if !with_values {
        for &v in &vertices {
            b.check(names.x, &[v, zero]);
        }
        b.emit_positions(emit);
        b.end_loop(&[]);
        return (b.finish(), names);
    }
    let u = unknowns;
    let b = &mut b;
    let m: Vec<Jet> =
        [(2, 0), (4, 0), (3, 1), (5, 1)].iter().map(|&(p, q)| linear(b, &u[p], &u[q], true)).collect();
    let mut r = Vec::new();
    for i in [zero, one] {
        for j in [zero, one] {
            let value = b.load(names.rest, &[t, i, j]);
            r.push(leaf(b, value, None));
        }
    }
    let mut j = Vec::new();
    for row in 0..2 {
        for col in 0..2 {
            let first = times(b, &m[2 * row], &r[col]);
            let second = times(b, &m[2 * row + 1], &r[2 + col]);
            j.push(linear(b, &first, &second, false));
        }
    }
    let squares: Vec<Jet> = j.iter().map(|x| times(b, x, x)).collect();
    let first = linear(b, &squares[0], &squares[1], false);
    let second = linear(b, &squares[2], &squares[3], false);
    let norm = linear(b, &first, &second, false);
    let (ad, bc) = (times(b, &j[0], &j[3]), times(b, &j[1], &j[2]));
    let det = linear(b, &ad, &bc, true);
    let inverse = reciprocal(b, &det);
    let inverse_square = times(b, &inverse, &inverse);
    let other = times(b, &norm, &inverse_square);
    let sum = linear(b, &norm, &other, false);
    let area = b.load(names.area, &[t]);
    let area = leaf(b, area, None);
    let e = times(b, &sum, &area);
    b.accum(energy, &[], e.value);
    for (&v, grad) in vertices.iter().zip(e.grad.chunks(2)) {
        b.accum(x_bar, &[v, zero], grad[0]);
        b.accum(x_bar, &[v, one], grad[1]);
    }
    b.emit(EmitData { values: e.hess, ..emit });
    b.end_loop(&[]);
    (std::mem::replace(b, Builder::new(Func::new(""))).finish(), names)
}

fn grid(names: &Buffers, n: usize) -> Bindings {
    let mut bindings = Bindings::default();
    let vertex = |i: usize, j: usize| (i * (n + 1) + j) as i64;
    let mut faces = Vec::new();
    for i in 0..n {
        for j in 0..n {
            faces.extend([vertex(i, j), vertex(i + 1, j), vertex(i + 1, j + 1)]);
            faces.extend([vertex(i, j), vertex(i + 1, j + 1), vertex(i, j + 1)]);
        }
    }
    let count = faces.len() / 3;
    let mut x = Vec::new();
    for i in 0..=n {
        for j in 0..=n {
            let (p, q) = (i as f64, j as f64);
            x.extend([p + 0.2 * (0.3 * q).sin(), 1.1 * q + 0.1 * (0.2 * p).cos()]);
        }
    }
    bindings.sizes.insert(names.v, ((n + 1) * (n + 1)) as i64);
    bindings.sizes.insert(names.f, count as i64);
    bindings.arrays.insert(names.x, ArrayData::F64(x));
    bindings.arrays.insert(names.faces, ArrayData::Int(faces));
    bindings.arrays.insert(names.rest, ArrayData::F64([1.0, 0.0, 0.1, 1.0].repeat(count)));
    bindings.arrays.insert(names.area, ArrayData::F64(vec![0.5; count]));
    bindings
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (func, names) = build(true);
    let (index, _) = build(false);
    println!("instructions: {}", inst_count(&func));
    let bindings = grid(&names, 158);
    let index_program = compile_index(&index, &Options::default()).unwrap();
    let found = run_index(&index, &index_program, &bindings).unwrap();
    let trips = found.trips[0];
    let rows = 2 * bindings.sizes[&names.v] as usize;
    for opt_level in [OptLevel::Speed, OptLevel::None] {
        for (mode, owned) in [(SlotMode::Block, false), (SlotMode::Entry, false), (SlotMode::Block, true)] {
            let slots = SlotLayout { mode, width: SlotWidth::U8, drops: false, stores: false };
            let options = Options { owned, opt_level, ..Options::default() };
            let info = &index_program.summary.info;
            let compile: Vec<f64> = (0..15)
                .map(|_| {
                    let start = Instant::now();
                    compile_eval_as(&func, info, slots, &options).unwrap();
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            let program = compile_eval_as(&func, info, slots, &options).unwrap();
            let prepared = prepare(&program.summary.info, &found, rows, slots, &|_, _| false);
            let mut memory = Memory::new(&func, program.summary.env, &bindings);
            let mut values = vec![0.0f64; *prepared.row_start.last().unwrap() as usize];
            let owner = vec![0u8; rows];
            let mut element_sums = vec![0.0f64; trips as usize];
            let layout = memory.layout;
            memory.env[layout.values()] = values.as_mut_ptr() as u64;
            memory.env[layout.row_start()] = prepared.row_start.as_ptr() as u64;
            memory.env[layout.owner()] = owner.as_ptr() as u64;
            memory.env[layout.element_sums()] = element_sums.as_mut_ptr() as u64;
            memory.env[layout.site_data(0)] = prepared.records[&0].as_ptr() as u64;
            let listed: Vec<u32> = (0..trips as u32).collect();
            let mut sum = 0.0;
            let run: Vec<f64> = (0..41)
                .map(|_| {
                    let start = Instant::now();
                    if owned {
                        unsafe { program.eval_owned(0, memory.env.as_ptr(), listed.as_ptr(), trips) };
                    } else {
                        unsafe { program.eval(0, memory.env.as_ptr(), 0, trips, &raw mut sum) };
                    }
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            println!(
                "{opt_level:?} {mode:?} owned {owned}: compile {:.2} ms, {} bytes, evaluate {:.3} ms ({:.1} ns a triangle), energy {sum:.6}",
                median(compile),
                program.summary.code_bytes,
                median(run.clone()),
                median(run) * 1e6 / trips as f64,
            );
        }
    }
    if std::env::args().any(|a| a == "--asm") {
        let slots = SlotLayout { mode: SlotMode::Block, width: SlotWidth::U8, drops: false, stores: false };
        let options = Options { owned: false, texts: true, ..Options::default() };
        let program = compile_eval_as(&func, &index_program.summary.info, slots, &options).unwrap();
        for text in &program.summary.texts {
            println!("{}\n{}\n{}", text.name, text.clif, text.asm);
        }
    }
}
