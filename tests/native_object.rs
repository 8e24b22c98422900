//! Native objects stand alone: a C program built with cc from object and header gives the bits that the JIT gives.
#![allow(clippy::unwrap_used)]

use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use spadina_io::array::{Array, Data};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Kernel {
    name: &'static str,
    derivative: Derivative,
    inputs: Vec<(String, Array)>,
    unknowns: &'static [&'static str],
}

fn generated(kind: &str, size: usize, names: &[&str]) -> Vec<(String, Array)> {
    let arrays = spadina_io::generate::kind::generate(kind.parse().unwrap(), size).unwrap();
    let wanted = arrays.into_iter().filter(|a| names.contains(&a.name.as_str()));
    wanted.map(|named| (named.name, named.array)).collect()
}

fn wave(shape: Vec<usize>) -> Array {
    let count = shape.iter().product();
    Array::new(shape, Data::F64((0..count).map(|i: usize| 1.0 + 0.5 * (1.3 * i as f64).sin()).collect()))
        .unwrap()
}

fn kernels() -> Vec<Kernel> {
    let hessian = |name, unknowns, inputs| Kernel { name, derivative: Derivative::Hessian, inputs, unknowns };
    vec![
        hessian("springs", &["x"], generated("torus", 9, &["x", "edges", "rest"])),
        hessian("symdirichlet", &["uv"], generated("grid", 12, &["uv", "faces", "rest_inv", "area"])),
        hessian("neohookean", &["x"], generated("tets", 4, &["x", "tets", "rest_inv", "vol"])),
        hessian("rosenbrock", &["x"], vec![("x".into(), wave(vec![70]))]),
        hessian("minimal_surface", &["u"], vec![("u".into(), wave(vec![9, 7]))]),
        Kernel {
            name: "brusselator",
            derivative: Derivative::Jacobian,
            inputs: vec![("u".into(), wave(vec![6, 6, 2]))],
            unknowns: &[],
        },
    ]
}

fn bytes(array: &Array) -> Vec<u8> {
    match array.data() {
        Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        other => panic!("generated inputs are f64 and i64, not {}", other.type_name()),
    }
}

/// A C program that reads the inputs, evaluates and writes the values of the matrix.
fn program(kernel: &Kernel, function: &str, problem: &Problem) -> String {
    let mut c = format!(
        "#include \"{}.h\"\n#include <stdio.h>\n\
         static void *get(const char *name, long bytes) {{\n\
         \x20   FILE *f = fopen(name, \"rb\");\n    void *p = malloc((size_t)bytes + 8);\n\
         \x20   if (!f || !p || fread(p, 1, (size_t)bytes, f) != (size_t)bytes) exit(2);\n    fclose(f);\n    return p;\n}}\n\
         int main(void) {{\n    {function}_args a;\n    spadina_plan plan;\n    {function}_args_init(&a);\n",
        kernel.name
    );
    for (size, value) in problem.sizes() {
        writeln!(c, "    a.{size} = {value};").unwrap();
    }
    for (name, array) in &kernel.inputs {
        writeln!(c, "    a.{name} = get(\"{name}.bin\", {});", bytes(array).len()).unwrap();
    }
    for unknown in kernel.unknowns {
        writeln!(c, "    a.{unknown}_bar = malloc({});", 8 * problem.columns()).unwrap();
    }
    writeln!(c, "    a.out = malloc({});", 8 * problem.results().max(1)).unwrap();
    write!(
        c,
        "    if ({function}_prepare(&a, &plan)) return 3;\n\
         \x20   double *values = malloc((size_t)plan.nnz * 8 + 8);\n\
         \x20   if (!values || {function}_eval(&a, &plan, values)) return 4;\n\
         \x20   FILE *f = fopen(\"values.bin\", \"wb\");\n    if (!f) return 5;\n\
         \x20   fwrite(values, 8, (size_t)plan.nnz, f);\n    fclose(f);\n\
         \x20   f = fopen(\"columns.bin\", \"wb\");\n    if (!f) return 6;\n\
         \x20   fwrite(plan.col_idx, 4, (size_t)plan.nnz, f);\n    fclose(f);\n\
         \x20   free(values);\n    spadina_plan_free(&plan);\n    return 0;\n}}\n"
    )
    .unwrap();
    c
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {:?}\n{text}", output.status.code());
}

fn check(kernel: &Kernel, folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{}.ir", kernel.name));
    let module = Module::open(&source).unwrap();
    let lowered = module.kernel(None).unwrap();
    let mut inputs = Inputs::new();
    for (name, array) in &kernel.inputs {
        inputs.set(name.clone(), array);
        fs::write(folder.join(format!("{name}.bin")), bytes(array)).unwrap();
    }
    let mut problem = Problem::prepare(&lowered, &inputs, &Options::new(kernel.derivative)).unwrap();
    let mut at = problem.evaluation();
    problem.evaluate(&mut at).unwrap();

    let object = folder.join(format!("{}.o", kernel.name));
    let derive = kernel.derivative.name();
    run(Command::new(env!("CARGO_BIN_EXE_spadina"))
        .args(["compile", source.to_str().unwrap(), "--derive", derive, "-o"])
        .arg(&object));
    let function = format!("{}_{derive}", lowered.name());
    fs::write(folder.join("main.c"), program(kernel, &function, &problem)).unwrap();
    let flags = ["-std=c99", "-O1", "main.c", object.to_str().unwrap(), "-lm", "-o", "main"];
    run(Command::new("cc").current_dir(folder).args(flags));
    run(Command::new("./main").current_dir(folder));

    let columns = fs::read(folder.join("columns.bin")).unwrap();
    let columns: Vec<u32> = columns.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(columns, problem.pattern().col_idx(), "{}: the patterns differ", kernel.name);
    let values = fs::read(folder.join("values.bin")).unwrap();
    let values: Vec<f64> = values.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values.len(), at.matrix.len(), "{}", kernel.name);
    for (n, (c, jit)) in values.iter().zip(&at.matrix).enumerate() {
        assert!(same(kernel, *c, *jit), "{}: entry {n} is {c:e} in C and {jit:e} in the JIT", kernel.name);
    }
}

/// The same bits. Affine kernels are the exception: the JIT computes their rows one after the other, the object element by
/// element, so their sums round in another order.
fn same(kernel: &Kernel, c: f64, jit: f64) -> bool {
    let affine = ["rosenbrock", "minimal_surface", "brusselator"].contains(&kernel.name);
    c.to_bits() == jit.to_bits() || (affine && (c - jit).abs() <= 1e-12 * jit.abs().max(1.0))
}

#[test]
fn c_programs_give_the_bits_of_the_jit() {
    for kernel in kernels() {
        let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native_object").join(kernel.name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        check(&kernel, &folder);
    }
}
