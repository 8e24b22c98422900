//! Native objects: a C program with the generated header gives the bits of the interpreter; objects for other machines.
#![allow(clippy::unwrap_used, clippy::print_stderr)]
mod common;

use common::mesh::{E, Mesh, Nest, V, build, inputs};
use common::words;
use object::{Object, ObjectSymbol};
use spadina_codegen::align::align;
use spadina_codegen::object::{DEFAULT_SLOTS, ObjectProgram, Target, compile_object};
use spadina_codegen::options::Options;
use spadina_codegen::program::program_info;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Entries, Func, Role};
use spadina_ir::interp::{ArrayData, Bindings, run};
use spadina_ir::types::{SizeExpr, Ty};
use spadina_layout::site::{SlotLayout, SlotWidth};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// A directory of its own under the target directory's temporary files.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("spadina-object-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn promise(mesh: &mut Mesh, func: &mut Func) {
    func.buffers[mesh.edges].entries = Entries::Index(vec![SizeExpr::size(mesh.v)]);
}

/// The program, its index program and inputs.
fn case(nest: Nest, symmetric: bool) -> (Func, Func, Bindings, Mesh) {
    let (mut mesh, _) = build(nest, symmetric, true);
    let bindings = inputs(&mesh);
    let mut eval = std::mem::replace(&mut mesh.b, Builder::new(Func::new(""))).finish();
    let mut index = build(nest, symmetric, false).0.b.finish();
    promise(&mut mesh, &mut eval);
    promise(&mut mesh, &mut index);
    (eval, index, bindings, mesh)
}

fn c_array(text: &mut String, name: &str, ty: &str, array: &ArrayData) {
    let bits: Vec<String> = words(array).iter().map(|w| format!("UINT64_C({w})")).collect();
    writeln!(text, "static const uint64_t {name}_bits[] = {{{}}};", bits.join(", ")).unwrap();
    writeln!(text, "#define {name}_data ((const {ty} *)(const void *){name}_bits)").unwrap();
}

/// A C program that prepares, evaluates twice and prints pattern and bits.
fn main_c(func: &Func, bindings: &Bindings, lower: bool) -> String {
    let mut text = String::from("#include \"mesh.h\"\n#include <stdio.h>\n");
    let mut fill = String::new();
    for (size, &value) in &bindings.sizes {
        writeln!(fill, "    a.{} = {value};", func.sizes[*size]).unwrap();
    }
    let mut prints = String::new();
    for (id, data) in &func.buffers {
        let name = &data.name;
        match (data.role, bindings.arrays.get(&id)) {
            (Role::Output, _) => {
                let len: i64 =
                    data.dims.iter().map(|d| d.eval(&|s| bindings.sizes[&s]).unwrap()).product::<i64>();
                writeln!(text, "static double {name}[{}];", len.max(1)).unwrap();
                writeln!(fill, "    a.{name} = {name};").unwrap();
                writeln!(prints, "    for (k = 0; k < {len}; k++) show(\"{name}\", k, {name}[k]);").unwrap();
            }
            (_, Some(array)) => {
                let ty = match data.elem {
                    Ty::F64 => "double",
                    Ty::F32 => "float",
                    Ty::Int => "int64_t",
                    Ty::Bool => "uint8_t",
                };
                c_array(&mut text, name, ty, array);
                let value =
                    if data.dims.is_empty() { format!("{name}_data[0]") } else { format!("{name}_data") };
                writeln!(fill, "    a.{name} = {value};").unwrap();
            }
            (_, None) => {}
        }
    }
    let lower = if lower { ", 1" } else { "" };
    write!(
        text,
        r#"
static void show(const char *what, long k, double x) {{
    unsigned long long bits;
    memcpy(&bits, &x, sizeof bits);
    printf("%s %ld %llu\n", what, k, bits);
}}

int main(void) {{
    mesh_args a;
    spadina_plan plan;
    double *values;
    long k, r;
    int status, turn;
    mesh_args_init(&a);
{fill}    status = mesh_prepare(&a{lower}, &plan);
    if (status != SPADINA_OK) {{
        printf("error %d %ld\n", status, (long)plan.error.index);
        spadina_plan_free(&plan);
        return 0;
    }}
    values = (double *)malloc((size_t)plan.nnz * sizeof *values + 8);
    for (turn = 0; turn < 2; turn++) {{
        if ((status = mesh_eval(&a, &plan, values)) != SPADINA_OK) return status;
    }}
    for (r = 0; r < (long)plan.rows; r++) {{
        for (k = (long)plan.row_ptr[r]; k < (long)plan.row_ptr[r + 1]; k++) {{
            show("entry", r * 100000 + (long)plan.col_idx[k], values[k]);
        }}
    }}
{prints}    free(values);
    spadina_plan_free(&plan);
    return 0;
}}
"#
    )
    .unwrap();
    text
}

/// Compiles and runs; the printed lines, or `None` where there is no C compiler.
fn run_c(
    name: &str,
    eval: &Func,
    index: &Func,
    slots: SlotLayout,
    main: &str,
) -> Option<Vec<(String, i64, u64)>> {
    let program =
        ObjectProgram { name: "mesh", docs: "A mesh.\nWith */ inside.", eval, index: Some(index), slots };
    let native = compile_object(&[program], &Target::Host, &Options::default()).unwrap();
    let path = scratch(name);
    std::fs::write(path.join("mesh.o"), &native.bytes).unwrap();
    std::fs::write(path.join("mesh.h"), &native.header).unwrap();
    std::fs::write(path.join("main.c"), main).unwrap();
    let cc = Command::new("cc")
        .current_dir(&path)
        .args([
            "-std=c99",
            "-O1",
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            "main.c",
            "mesh.o",
            "-lm",
            "-o",
            "main",
        ])
        .output();
    let Ok(built) = cc else {
        eprintln!("skipped: there is no C compiler `cc`");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let ran = Command::new(path.join("main")).output().unwrap();
    assert!(ran.status.success(), "{:?}", ran.status);
    let text = String::from_utf8(ran.stdout).unwrap();
    let lines = text.lines().map(|line| {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or("0").to_owned();
        let (what, place, bits) = (next(), next(), next());
        (what, place.parse().unwrap(), bits.parse::<i128>().unwrap() as u64)
    });
    let lines = lines.collect();
    std::fs::remove_dir_all(&path).unwrap();
    Some(lines)
}

#[test]
fn c_programs_give_the_same_bits() {
    for (nest, symmetric, width, lower) in [
        (Nest::Plain, true, SlotWidth::U32, false),
        (Nest::Twice, false, SlotWidth::U8, false),
        (Nest::Ragged, true, SlotWidth::U16, true),
        (Nest::Guarded, false, SlotWidth::U8, true),
    ] {
        let (eval, index, bindings, _) = case(nest, symmetric);
        let slots = SlotLayout { width, drops: lower, ..DEFAULT_SLOTS };
        let name = format!("{nest:?}{symmetric}");
        let Some(lines) = run_c(&name, &eval, &index, slots, &main_c(&eval, &bindings, lower)) else {
            return;
        };
        let expected = run(&eval, &bindings).unwrap();
        let mut matrix: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for &(r, c, x) in &expected.triplets {
            if !(lower && c > r) {
                *matrix.entry((r, c)).or_insert(0.0) += x;
            }
        }
        let found: Vec<_> =
            lines.iter().filter(|(what, ..)| what == "entry").map(|&(_, p, x)| (p, x)).collect();
        let wanted: Vec<_> =
            matrix.iter().map(|(&(r, c), &x)| (r as i64 * 100_000 + c as i64, x.to_bits())).collect();
        assert_eq!(found, wanted, "{name}");
        for id in eval.buffers_of(Role::Output) {
            let data = &eval.buffers[id];
            let bits: Vec<u64> = lines.iter().filter(|(what, ..)| *what == data.name).map(|l| l.2).collect();
            let wanted = expected.arrays[&id].to_f64();
            assert_eq!(bits.len(), wanted.len());
            for (&bits, &x) in bits.iter().zip(&wanted) {
                // Energies are summed by iterations, in another order than the interpreter's.
                let y = f64::from_bits(bits);
                let close = data.dims.is_empty() && (x - y).abs() <= 1e-12 * x.abs().max(1.0);
                assert!(close || bits == x.to_bits(), "{name} {}: {y} is not {x}", data.name);
            }
        }
    }
}

#[test]
fn phases_of_both_programs_may_differ() {
    let (eval, index, bindings, mesh) = case(Nest::Plain, true);
    // A phase that only adds to a scalar, and checks in a phase of their own.
    let mut b = Builder::new(eval);
    let extra = b.f64(1.0 / 3.0);
    b.accum(mesh.energy, &[], extra);
    let eval = b.finish();
    let mut b = Builder::new(index);
    let zero = b.int(0);
    b.check(mesh.x, &[zero, zero]);
    let index = b.finish();
    let aligned = align(&eval, &program_info(&index).unwrap()).unwrap();
    assert_eq!(aligned.index_phase, [Some(0), None, Some(1)]);
    assert_eq!(aligned.eval_phases, 2);
    let main = main_c(&eval, &bindings, false);
    let Some(lines) = run_c("phases", &eval, &index, DEFAULT_SLOTS, &main) else { return };
    let expected = run(&eval, &bindings).unwrap();
    let energy = lines.iter().find(|(what, ..)| what == "energy").map(|l| f64::from_bits(l.2)).unwrap();
    assert!((energy - expected.arrays[&mesh.energy].to_f64()[0]).abs() < 1e-12 * energy.abs());
    let sum: f64 = lines.iter().filter(|(what, ..)| what == "entry").map(|l| f64::from_bits(l.2)).sum();
    let wanted: f64 = expected.triplets.iter().map(|t| t.2).sum();
    assert!((sum - wanted).abs() < 1e-12 * wanted.abs().max(100.0));
}

#[test]
fn c_programs_refuse_bad_tables() {
    let (eval, index, mut bindings, mesh) = case(Nest::Plain, true);
    let mut ends = vec![0; 2 * E as usize];
    ends[3] = V;
    bindings.arrays.insert(mesh.edges, ArrayData::Int(ends));
    let main = main_c(&eval, &bindings, false);
    let Some(lines) = run_c("bad", &eval, &index, DEFAULT_SLOTS, &main) else { return };
    assert_eq!(lines, [("error".to_owned(), 5, V as u64)]);
}

#[test]
fn objects_for_other_machines_name_their_functions() {
    let (eval, index, ..) = case(Nest::Ragged, true);
    let program =
        ObjectProgram { name: "mesh", docs: "", eval: &eval, index: Some(&index), slots: DEFAULT_SLOTS };
    let options = Options { texts: true, ..Options::default() };
    for (triple, architecture) in [
        ("aarch64-unknown-linux-gnu", object::Architecture::Aarch64),
        ("aarch64-apple-darwin", object::Architecture::Aarch64),
        ("x86_64-unknown-linux-gnu", object::Architecture::X86_64),
        ("x86_64-pc-windows-msvc", object::Architecture::X86_64),
    ] {
        let target = Target::Triple(triple.to_owned());
        let native = compile_object(&[program], &target, &options).unwrap();
        assert_eq!(native, compile_object(&[program], &target, &options).unwrap(), "the same bytes again");
        let file = object::File::parse(&*native.bytes).unwrap();
        assert_eq!(file.architecture(), architecture);
        for name in ["mesh_trips", "mesh_eval_0", "mesh_index_trips", "mesh_count_0", "mesh_index_0"] {
            let found = file.symbols().find(|s| s.name().unwrap().trim_start_matches('_') == name).unwrap();
            assert!(found.is_definition() && found.is_global(), "{triple} {name}");
        }
        assert_eq!(native.texts.len(), 5);
        assert!(native.texts.iter().all(|text| !text.clif.is_empty() && !text.asm.is_empty()));
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    let (eval, index, ..) = case(Nest::Plain, true);
    let program =
        ObjectProgram { name: "mesh", docs: "", eval: &eval, index: Some(&index), slots: DEFAULT_SLOTS };
    let options = Options::default();
    for triple in ["no-such-machine", "i686-unknown-linux-gnu"] {
        assert!(compile_object(&[program], &Target::Triple(triple.into()), &options).is_err());
    }
    let block = SlotLayout { mode: spadina_layout::site::SlotMode::Block, ..DEFAULT_SLOTS };
    for bad in [
        ObjectProgram { name: "a b", ..program },
        ObjectProgram { index: None, ..program },
        ObjectProgram { slots: block, ..program },
    ] {
        assert!(compile_object(&[bad], &Target::Host, &options).is_err());
    }
}
