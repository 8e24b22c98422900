//! Emissions in every slot layout, counts that vary, owners, and the checks of index programs.
#![allow(clippy::unwrap_used)]
mod common;

use common::mesh::{E, Nest, V, build, inputs, mesh};
use common::{check, check_layouts, run_index};
use spadina_codegen::jit::compile_index;
use spadina_codegen::options::Options;
use spadina_codegen::program::program_info;
use spadina_ir::func::EmitData;
use spadina_ir::interp::ArrayData;
use spadina_ir::types::SizeExpr;
use spadina_layout::site::{Block, SlotLayout, SlotMode, SlotWidth};

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
            direct: false,
            project: None,
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
    let slots = SlotLayout { mode: SlotMode::Entry, width: SlotWidth::U8, drops: false, stores: false };
    check_layouts(&eval, &index, &bindings, &[slots]);
}
