//! The command line as scripts see it: exit codes, what goes to stdout, files, bad input.
#![allow(clippy::unwrap_used)]

mod common;

use common::root;
use common::sandbox::{Sandbox, floats};
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::sparse_file::by_name::read_sparse;
use std::fs;

#[test]
fn json_has_the_fields_that_scripts_read() {
    let s = Sandbox::new("json");
    let object = s.json(&["run", "springs.ir", "--data", "data", "--json"]);
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["value", "sizes", "n", "m", "nnz", "strategy", "threads", "times_ms"]);
    assert_eq!(object["value"], 2.5);
    assert_eq!(object["sizes"], serde_json::json!({"V": 3, "E": 2}));
    assert_eq!((&object["n"], &object["m"], &object["nnz"]), (&6.into(), &6.into(), &28.into()));
    assert_eq!((&object["strategy"], &object["threads"]), (&"structural".into(), &1.into()));
    for key in ["compile", "prepare", "evaluate"] {
        assert!(object["times_ms"][key].as_f64().unwrap() >= 0.0);
    }
    let dense =
        s.json(&["run", "springs.ir", "--data", "data", "--json", "--strategy", "dense", "--threads", "2"]);
    assert_eq!(
        (&dense["nnz"], &dense["strategy"], &dense["threads"]),
        (&36.into(), &"dense".into(), &2.into())
    );
}

#[test]
fn infinities_and_nan_are_strings() {
    let s = Sandbox::new("inf");
    s.text("k.ir", "kernel k<N>(x: var f64[N], y: f64) -> f64 { sum i in 0..N { y / x[i] } }");
    s.array("x.npy", &Array::vector(Data::F64(vec![0.0])));
    for (y, value) in [("1.0", "inf"), ("-1", "-inf"), ("0.0", "nan")] {
        let args =
            ["run", "k.ir", "--data", "x=x.npy", "--data", &format!("y={y}"), "--derive", "value", "--json"];
        assert_eq!(s.json(&args)["value"], value);
    }
}

#[test]
fn results_are_written_in_every_format() {
    let s = Sandbox::new("formats");
    let outputs = [
        "-o",
        "value=v.npy",
        "-o",
        "grad=g.npy",
        "-o",
        "hessian=h.npz",
        "-o",
        "hessian=h.mtx",
        "-o",
        "hessian=h.npy",
    ];
    for engine in ["jit", "interp"] {
        let mut args = vec!["run", "springs.ir", "--data", "data", "--engine", engine];
        args.extend(outputs);
        let (out, _) = s.expect(0, &args);
        assert!(out.contains("value      2.5") && out.contains("gradient   6 entries"), "{out}");
        assert!(out.contains("(structural)") && out.contains("●"), "the pattern is drawn: {out}");
        let value = read_npy(&s.path("v.npy")).unwrap();
        assert!(value.shape().is_empty());
        assert_eq!(floats(&s.path("g.npy")), [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]);
        let (npz, mtx) = (read_sparse(&s.path("h.npz")).unwrap(), read_sparse(&s.path("h.mtx")).unwrap());
        assert_eq!(npz, mtx);
        assert_eq!((npz.nrows, npz.ncols, npz.nnz()), (6, 6, 28));
        let dense = read_npy(&s.path("h.npy")).unwrap();
        assert_eq!(dense.shape(), [6, 6]);
        assert_eq!(dense.to_f64("h").unwrap()[2], -1.0);
        let header = fs::read_to_string(s.path("h.mtx")).unwrap();
        assert!(header.starts_with("%%MatrixMarket matrix coordinate real general"), "{header}");
        assert!(header.contains("\n6 6 28\n"), "structural entries are kept: {header}");
    }
}

#[test]
fn residuals_and_jacobians() {
    let s = Sandbox::new("residual");
    s.text(
        "k.ir",
        "kernel k<N>(x: var f64[N], y: var f64) -> (a: f64[N], b: f64[2]) {
            let a = map i in 0..N { x[i] * y };
            let b = [y^2, 3.0 * x[0]];
            (a, b)
        }",
    );
    s.array("x.npy", &Array::vector(Data::F64(vec![1.0, 2.0])));
    // A 0-d or one-element array binds to a scalar.
    for shape in [vec![], vec![1], vec![1, 1]] {
        s.array("y.npy", &Array::new(shape, Data::F64(vec![5.0])).unwrap());
        let args = [
            "run",
            "k.ir",
            "--data",
            "x=x.npy",
            "--data",
            "y=y.npy",
            "-o",
            "residual=r.npy",
            "-o",
            "value=v.npy",
            "-o",
            "jacobian=j.npy",
            "--json",
        ];
        let object = s.json(&args);
        assert_eq!((&object["n"], &object["m"], &object["nnz"]), (&3.into(), &4.into(), &6.into()));
        assert_eq!(floats(&s.path("r.npy")), [5.0, 10.0, 25.0, 3.0]);
        assert_eq!(floats(&s.path("v.npy")), [5.0, 10.0, 25.0, 3.0]);
        let rows = [[5.0, 0.0, 1.0], [0.0, 5.0, 2.0], [0.0, 0.0, 10.0], [3.0, 0.0, 0.0]];
        assert_eq!(floats(&s.path("j.npy")), rows.as_flattened());
    }
    s.refuses(
        1,
        &["run", "k.ir", "--data", "x=x.npy", "--data", "y=y.npy", "--derive", "hessian"],
        &["not-an-energy", "^"],
    );
    s.refuses(
        1,
        &["run", "k.ir", "--data", "x=x.npy", "--data", "y=y.npy", "-o", "grad=g.npy"],
        &["no gradient"],
    );
}

#[test]
fn later_data_override_earlier_data() {
    let s = Sandbox::new("override");
    s.array("other.npy", &Array::vector(Data::F64(vec![2.0, 3.0])));
    let value = |args: &[&str]| {
        let mut all = vec!["run", "springs.ir", "--json", "--derive", "value"];
        all.extend(args);
        s.json(&all)["value"].as_f64().unwrap()
    };
    assert_eq!(value(&["--data", "data"]), 2.5);
    assert_eq!(value(&["--data", "data", "--data", "rest=other.npy"]), 0.0);
    assert_eq!(value(&["--data", "rest=other.npy", "--data", "data"]), 2.5);
    assert_eq!(value(&["--data", "data", "--data", "k=2.0"]), 5.0);
    assert_eq!(value(&["--data", "k=7", "--data", "data", "--data", "k=2"]), 5.0);
}

#[test]
fn files_that_nobody_asks_for_are_noted() {
    let s = Sandbox::new("notes");
    s.text("data/notes.txt", "not an array");
    s.text("data/other.npy", "not even an array");
    let (_, err) = s.expect(0, &["run", "springs.ir", "--data", "data", "--json"]);
    assert!(err.contains("note: ") && err.contains("other.npy"), "{err}");
    assert!(!err.contains("notes.txt"), "{err}");
    s.refuses(
        4,
        &["run", "springs.ir", "--data", "data", "--data", "other=data/x.npy"],
        &["no parameter `other`", "rest"],
    );
    s.refuses(4, &["run", "springs.ir", "--data", "data", "--data", "nu=0.3"], &["no parameter `nu`"]);
}

#[test]
fn records_are_bound_field_by_field() {
    let s = Sandbox::new("records");
    s.text(
        "k.ir",
        "struct Branch { g: f64, b: f64 }
         kernel k<L>(x: var f64[L], br: Branch[L]) -> f64 { sum l in 0..L { br[l].g * x[l]^2 + br[l].b * x[l] } }",
    );
    for (name, values) in [("x", [1.0, 2.0]), ("br.g", [3.0, 4.0]), ("br.b", [5.0, 6.0])] {
        s.array(&format!("data/{name}.npy"), &Array::vector(Data::F64(values.to_vec())));
    }
    assert_eq!(s.json(&["run", "k.ir", "--data", "data", "--json"])["value"], 3.0 + 5.0 + 16.0 + 12.0);
    s.refuses(4, &["run", "k.ir", "--data", "x=data/x.npy", "--data", "br.g=data/br.g.npy"], &["br.b"]);
    s.refuses(4, &["run", "k.ir", "--data", "data", "--data", "br=3"], &["record", "`br.g`, `br.b`"]);
    s.refuses(4, &["run", "k.ir", "--data", "data", "--data", "br.g=abc"], &["neither a number nor a file"]);
}

#[test]
fn wrong_data_are_refused() {
    let s = Sandbox::new("wrong");
    let run = |name: &str| {
        let file = format!("{name}=bad.npy");
        ["run", "springs.ir", "--data", "data", "--data"].map(str::to_owned).into_iter().chain([
            file,
            "-o".into(),
            "grad=g.npy".into(),
        ])
    };
    let refuses = |name: &str, array: &Array, words: &[&str]| {
        s.array("bad.npy", array);
        let args: Vec<String> = run(name).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for engine in ["jit", "interp"] {
            let mut args = args.clone();
            args.extend(["--engine", engine]);
            s.refuses(4, &args, words);
        }
        fs::remove_file(s.path("bad.npy")).unwrap();
    };
    // Shapes and sizes.
    refuses("x", &Array::vector(Data::F64(vec![0.0; 6])), &["`x`", "f64[V, 2]", "[6]"]);
    refuses("x", &Array::rows(&[[0.0; 3]; 3]), &["axis 1 of `x`", "3"]);
    refuses("x", &Array::rows(&[[0.0; 3]; 2]), &["f64[V, 2]", "[2, 3]", "transposed", "`bad.npy`"]);
    refuses("rest", &Array::vector(Data::F64(vec![1.0; 5])), &["`rest`", "`E`", "5", "edges"]);
    refuses("k", &Array::vector(Data::F64(vec![1.0, 2.0])), &["`k`", "[2]"]);
    // Types.
    refuses(
        "edges",
        &Array::rows(&[[0.0, 1.0], [1.0, 2.0]]),
        &["`edges`", "float64", "np.int64", "`bad.npy`"],
    );
    refuses("rest", &Array::vector(Data::Bool(vec![true, false])), &["rest", "bool"]);
    // Entries, with their position.
    refuses("edges", &Array::index_rows(&[[0, 1], [7, 2]]), &["(1, 0)", "`edges`", "7", "0..3"]);
    refuses("edges", &Array::index_rows(&[[0, 1], [1, -1]]), &["(1, 1)", "-1"]);
    refuses("edges", &Array::index_rows(&[[1, 2], [2, 3]]), &["(1, 1)", "3", "one-based"]);
    refuses(
        "edges",
        &Array::new(vec![2, 2], Data::U64(vec![0, 1, u64::MAX, 2])).unwrap(),
        &["[1, 0]", "int64"],
    );
    // Missing.
    let partly = ["run", "springs.ir", "--data", "x=data/x.npy"];
    s.refuses(4, &partly, &["edges", "rest", "--data NAME=FILE", "--mesh"]);
    s.refuses(4, &["run", "springs.ir"], &["x", "edges", "rest"]);
}

#[test]
fn unreadable_files_are_refused() {
    let s = Sandbox::new("unreadable");
    let refuses = |bytes: &[u8], words: &[&str]| {
        fs::write(s.path("x.npy"), bytes).unwrap();
        s.refuses(
            4,
            &["run", "springs.ir", "--data", "data", "--data", "x=x.npy", "-o", "hessian=h.npz"],
            words,
        );
    };
    let good = fs::read(s.path("data/x.npy")).unwrap();
    refuses(&good[..good.len() - 5], &["x.npy"]);
    refuses(&good[..20], &["x.npy"]);
    refuses(b"", &["x.npy"]);
    refuses(b"PK\x03\x04 something else", &["x.npy"]);
    refuses(b"1 2 3\n", &["x.npy", "not a .npy file"]);
    fs::remove_file(s.path("x.npy")).unwrap();
    s.refuses(4, &["run", "springs.ir", "--data", "data", "--data", "x=missing.npy"], &["missing.npy"]);
    s.refuses(4, &["run", "springs.ir", "--data", "nowhere"], &["nowhere"]);
    s.refuses(4, &["run", "springs.ir", "--data", "data/x.npy"], &["NAME=FILE"]);
    s.refuses(4, &["run", "missing.ir"], &["missing.ir"]);
    s.refuses(4, &["check", "missing.ir"], &["missing.ir"]);
    fs::write(s.path("latin.ir"), b"kernel k() -> f64 { 1.0 } // \xe9").unwrap();
    s.refuses(4, &["check", "latin.ir"], &["UTF-8"]);
    s.refuses(4, &["run", "springs.ir", "--mesh", "missing.obj"], &["missing.obj"]);
    s.refuses(4, &["spy", "missing.mtx"], &["missing.mtx"]);
}

#[test]
fn several_outputs_appear_together_or_not_at_all() {
    let s = Sandbox::new("atomic");
    s.text("g.npy", "old");
    let args = ["run", "springs.ir", "--data", "data", "-o", "grad=g.npy", "-o", "hessian=missing/h.npz"];
    s.refuses(4, &args, &["missing/h.npz"]);
    assert_eq!(fs::read_to_string(s.path("g.npy")).unwrap(), "old");
    fs::create_dir(s.path("dir.npz")).unwrap();
    s.refuses(
        4,
        &["run", "springs.ir", "--data", "data", "-o", "grad=g.npy", "-o", "hessian=dir.npz"],
        &["dir.npz"],
    );
    assert_eq!(fs::read_to_string(s.path("g.npy")).unwrap(), "old");
}

#[test]
fn complex_numbers_are_bound() {
    let s = Sandbox::new("complex");
    // A byte order mark is no part of the text.
    s.text("k.ir", "\u{feff}kernel k(z: complex, n: int, x: var f64) -> f64 { sqnorm(z) * x^2 * f64(n) }");
    // Two numbers, as NumPy writes them: one, of an array with one axis.
    let header = "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend([3.0_f64, 4.0].iter().flat_map(|part| part.to_le_bytes()));
    fs::write(s.path("z.npy"), bytes).unwrap();
    let with = |data: &'static str| ["run", "k.ir", "--data", "x=1.0", "--data", data, "--data", "z=z.npy"];
    let (out, _) = s.expect(0, &with("n=1"));
    assert!(out.contains("25"), "{out}");
    let (_, err) = s.expect(4, &with("n=99999999999999999999"));
    assert!(err.contains("whole numbers of 64 bits") && !err.contains("NumPy"), "{err}");
    s.refuses(
        4,
        &["run", "k.ir", "--data", "n=1", "--data", "z=1.0", "--data", "x=z.npy"],
        &["complex numbers", "[1]"],
    );
}

#[test]
fn sizes_are_checked() {
    let s = Sandbox::new("sizes");
    s.text("k.ir", "kernel k<N>(x: var f64, h: f64) -> f64 { sum i in 0..N { (x - f64(i) * h)^2 } }");
    let run =
        |size: &'static str| ["run", "k.ir", "--data", "x=1", "--data", "h=1.0", "--size", size, "--json"];
    assert_eq!(s.json(&run("N=3"))["value"], 2.0);
    assert_eq!(s.json(&run("N=0"))["value"], 0.0);
    s.refuses(4, &run("N=-1"), &["`N`", "-1"]);
    s.refuses(4, &run("N=99999999999999999999"), &["99999999999999999999"]);
    s.refuses(4, &run("M=3"), &["no size `M`", "N"]);
    s.refuses(2, &run("N=three"), &["three"]);
    s.refuses(2, &run("N"), &["NAME=N"]);
    s.refuses(4, &["run", "k.ir", "--data", "x=1", "--data", "h=1.0"], &["size `N`", "--size N=.."]);
    s.refuses(4, &["run", "springs.ir", "--data", "data", "--size", "V=9"], &["`V`", "9", "3"]);
    s.json(&["run", "springs.ir", "--data", "data", "--size", "V=3", "--json"]);
    // Arrays that would not fit: products of sizes that overflow.
    s.text("big.ir", "kernel big<N>(x: var f64) -> f64 { let a = map i in 0..N, j in 0..N { x }; a[0, 0] }");
    let big = ["run", "big.ir", "--data", "x=1", "--size", "N=4000000000000", "--derive", "value"];
    let (_, err) = s.expect(4, &big);
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn usage_errors() {
    let s = Sandbox::new("usage");
    s.refuses(2, &[], &["Usage"]);
    s.refuses(2, &["walk"], &["walk"]);
    s.refuses(2, &["rn"], &["'run'"]);
    s.refuses(2, &["explain", "out-of-rang"], &["`out-of-range`"]);
    s.refuses(2, &["verify", "springs.ir", "--derive", "grad"], &["lagrangian", "gauss-newton"]);
    s.refuses(2, &["run"], &["K.ir"]);
    let run = |args: &[&'static str]| {
        let mut all = vec!["run", "springs.ir", "--data", "data"];
        all.extend(args);
        all
    };
    s.refuses(2, &run(&["--derive", "hesian"]), &["hesian"]);
    s.refuses(2, &run(&["--engine", "gpu"]), &["gpu"]);
    s.refuses(2, &run(&["--strategy", "magic"]), &["magic"]);
    s.refuses(2, &run(&["--threads", "0"]), &["1..=255"]);
    s.refuses(2, &run(&["--threads", "256"]), &["1..=255"]);
    s.refuses(2, &run(&["--assemble", "bsr:4x4"]), &["4 x 4", "6 x 6"]);
    s.refuses(2, &run(&["--kernel", "sprngs"]), &["sprngs", "`springs`"]);
    s.refuses(2, &run(&["--wrt", "y"]), &["`y`", "rest"]);
    s.refuses(2, &run(&["--wrt", "edges"]), &["edges"]);
    s.refuses(2, &run(&["-o", "grad"]), &["WHAT=FILE"]);
    s.refuses(2, &run(&["-o", "gradients=g.npy"]), &["gradients"]);
    s.refuses(2, &run(&["-o", "grad=g.npz"]), &[".npy"]);
    s.refuses(2, &run(&["-o", "hessian=h.csv"]), &[".npz", ".mtx"]);
    s.refuses(2, &run(&["-o", "value=a.npy", "-o", "grad=a.npy"]), &["one file"]);
    s.refuses(2, &run(&["--derive", "jacobian,hessian"]), &["jacobian"]);
    s.refuses(2, &run(&["--data", "x="]), &["x="]);
    s.refuses(2, &["derive", "springs.ir", "--print-after", "magic"], &["magic", "simplify"]);
    s.refuses(2, &["compile", "springs.ir", "--emit", "wasm"], &["wasm"]);
    s.refuses(2, &["compile", "springs.ir", "--target", "pdp11-dec-unix"], &["target"]);
    s.refuses(2, &["gen", "blanket", "--size", "3", "-o", "out"], &["blanket", "cloth"]);
    let (out, _) = s.expect(0, &["--help"]);
    assert!(out.contains("Exit codes") && out.contains("compile"), "{out}");
    let (out, _) = s.expect(0, &["--version"]);
    assert!(out.starts_with("spadina "), "{out}");
}

#[test]
fn errors_in_the_source_are_all_shown() {
    let s = Sandbox::new("source");
    s.text("bad.ir", "kernel bad<N>(x: var f64[N]) -> f64 {\n    sum i in 0..N { y[i] + zz }\n}\n");
    for command in ["check", "run", "derive", "compile", "spy"] {
        s.refuses(1, &[command, "bad.ir"], &["error[", "bad.ir:2:", "^", "`y`", "`zz`"]);
    }
    s.text("syntax.ir", "kernel ( -> {");
    s.refuses(1, &["check", "syntax.ir", "bad.ir"], &["syntax.ir:1:", "bad.ir:2:"]);
    let (out, _) = s.expect(0, &["check", "springs.ir"]);
    assert!(out.contains("springs"), "{out}");
}

#[test]
fn broken_programs_fail_verification() {
    let s = Sandbox::new("verify");
    s.expect(0, &["compile", "springs.ir", "--emit", "ssa", "-o", "springs.ssa"]);
    s.text(
        "broken.ssa",
        "func @broken(size N) {\n  buffer x: var f64[N]\n  buffer y: scratch f64\n  buffer z: output f64\n  columns x\n\n  %0 = load y\n  accum z += %0\n  accum y += 1.0\n}\n",
    );
    s.refuses(3, &["check", "broken.ssa"], &["verification", "broken.ssa"]);
    s.text("syntax.ssa", "func @broken(size N) {\n  what\n}\n");
    s.refuses(1, &["check", "syntax.ssa"], &["syntax.ssa", "2:"]);
}

#[test]
fn derivatives_by_parameters() {
    let s = Sandbox::new("wrt");
    let object =
        s.json(&["run", "springs.ir", "--data", "data", "--wrt", "k,x", "-o", "grad=g.npy", "--json"]);
    assert_eq!(object["n"], 7);
    assert_eq!(
        floats(&s.path("g.npy")),
        [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, 2.5],
        "columns keep declaration order"
    );
    s.json(&[
        "run",
        "springs.ir",
        "--data",
        "data",
        "--wrt",
        "rest",
        "-o",
        "grad=g.npy",
        "-o",
        "hessian=h.npy",
        "--json",
    ]);
    assert_eq!(floats(&s.path("g.npy")), [-1.0, -2.0]);
    assert_eq!(floats(&s.path("h.npy")), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn generated_inputs_run() {
    let s = Sandbox::new("gen");
    for kind in ["cloth", "torus", "icosphere", "grid", "tets"] {
        let (first, second) = (format!("{kind}-1"), format!("{kind}-2"));
        let (out, _) = s.expect(0, &["gen", kind, "--size", "4", "-o", &first]);
        s.expect(0, &["gen", kind, "--size", "4", "-o", &second]);
        assert!(out.lines().count() > 3, "{out}");
        for entry in fs::read_dir(s.path(&first)).unwrap() {
            let name = entry.unwrap().file_name();
            let bytes = |dir: &str| fs::read(s.path(dir).join(&name)).unwrap();
            assert_eq!(bytes(&first), bytes(&second), "deterministic");
        }
    }
    let kernel = root().join("examples/springs.ir");
    let object = s.json(&["run", kernel.to_str().unwrap(), "--data", "torus-1", "--json"]);
    assert!(object["nnz"].as_u64().unwrap() > 0);
    s.refuses(4, &["gen", "cloth", "--size", "-3", "-o", "out"], &["-3"]);
    s.refuses(4, &["gen", "torus", "--size", "1", "-o", "out"], &["1"]);
    s.refuses(4, &["gen", "cloth", "--size", "99999999999", "-o", "out"], &["99999999999"]);
}

#[test]
fn meshes_are_bound() {
    let s = Sandbox::new("mesh");
    s.text("tri.obj", "v 0 0 0\nv 2 0 0\nv 2 3 0\nf 1 2 3\n");
    s.text(
        "k.ir",
        "kernel k<V, E, F>(p: var vec3[V], e: index<V>[E, 2], f: index<V>[F, 3]) -> f64 {
        let a = sum [i, j] in e { sqnorm(p[i] - p[j]) };
        let b = sum [i, j, k] in f { 0.5 * norm(cross(p[j] - p[i], p[k] - p[i])) };
        a + b
    }",
    );
    let object = s.json(&["run", "k.ir", "--mesh", "tri.obj", "--json"]);
    assert_eq!(object["sizes"], serde_json::json!({"V": 3, "E": 3, "F": 1}));
    assert_eq!(object["value"], 4.0 + 9.0 + 13.0 + 3.0);
    // Springs take x, edges and rest lengths by name; a plane mesh gives two coordinates.
    assert_eq!(s.json(&["run", "springs.ir", "--mesh", "tri.obj", "--json"])["value"], 0.0);
    s.text("bad.obj", "v 0 0 0\nf 1 2 3\n");
    s.refuses(4, &["run", "k.ir", "--mesh", "bad.obj"], &["bad.obj"]);
}

#[test]
fn examples_run_on_their_own_input() {
    let s = Sandbox::new("examples");
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "ir") {
            let object = s.json(&["run", path.to_str().unwrap(), "--json"]);
            assert!(object["nnz"].as_u64().unwrap() > 0, "{}", path.display());
            assert_eq!(object["strategy"], "structural", "{}", path.display());
            s.expect(0, &["check", path.to_str().unwrap()]);
        }
    }
}

#[test]
fn objects_headers_and_texts() {
    let s = Sandbox::new("compile");
    s.expect(0, &["compile", "springs.ir", "-o", "s.o"]);
    assert!(fs::read(s.path("s.o")).unwrap().starts_with(b"\x7fELF"));
    assert!(fs::read_to_string(s.path("s.h")).unwrap().contains("springs_hessian"));
    s.expect(
        0,
        &["compile", "springs.ir", "--target", "aarch64-unknown-linux-gnu", "--emit", "obj", "-o", "arm.o"],
    );
    let arm = fs::read(s.path("arm.o")).unwrap();
    assert_eq!((arm[18], arm[19]), (183, 0), "machine of the ELF header: AArch64");
    let (clif, _) = s.expect(0, &["compile", "springs.ir", "--emit", "clif"]);
    assert!(clif.contains("function"), "{clif}");
    let (asm, _) = s.expect(0, &["compile", "springs.ir", "--emit", "asm"]);
    assert!(asm.contains("ret"), "{asm}");
    let (ssa, _) = s.expect(0, &["compile", "springs.ir", "--emit", "ssa"]);
    assert!(ssa.contains("func @springs"), "{ssa}");
    s.expect(0, &["compile", "springs.ir", "--emit", "obj,header,ssa,clif,asm", "-o", "all.o"]);
    for ending in ["o", "h", "ssa", "clif", "s"] {
        assert!(s.path("all").with_extension(ending).is_file(), "{ending}");
    }
}

#[test]
fn what_objects_leave_to_the_caller_is_told() {
    let sandbox = Sandbox::new("effect");
    let text = "#[derive(grad, hessian(lower))]
#[example(random, 4)]
kernel k<N>(#[fixed(mask)] x: var f64[N], mask: bool[N]) -> f64 {
    sum i in 0..N { x[i]^4 }
}
";
    sandbox.text("k.ir", text);
    for command in ["run", "check", "compile", "derive"] {
        let (_, err) = sandbox.expect(0, &[command, "k.ir"]);
        let left = if command == "compile" { 2 } else { 0 };
        assert_eq!(err.matches("warning[left-to-caller]").count(), left, "{command}: {err}");
        assert_eq!(err.matches("warning").count(), left, "{command}: {err}");
    }
}

#[test]
fn empty_matrices_have_the_norm_zero() {
    let sandbox = Sandbox::new("empty");
    sandbox.array("data/x.npy", &Array::rows::<2>(&[]));
    sandbox.array("data/edges.npy", &Array::index_rows::<2>(&[]));
    sandbox.array("data/rest.npy", &Array::vector(Data::F64(Vec::new())));
    let (out, _) = sandbox.expect(0, &["run", "springs.ir", "--data", "data"]);
    assert!(out.contains("norm 0.0") && !out.contains("-0.0"), "{out}");
}

#[test]
fn integer_defaults_are_exact_or_refused() {
    let s = Sandbox::new("defaults");
    s.text("k.ir", "kernel k(x: var f64, n: int = 9007199254740992) -> f64 { x * f64(n % 1000) }");
    let (text, _) = s.expect(0, &["run", "k.ir", "--data", "x=1.0"]);
    assert!(text.contains("992"), "{text}");
    s.text("large.ir", "kernel k(x: var f64, n: int = 9007199254740993) -> f64 { x * f64(n % 1000) }");
    s.refuses(1, &["run", "large.ir", "--data", "x=1.0"], &["bad-default", "2^53"]);
}

#[test]
fn headers_start_multipliers_at_their_defaults() {
    let s = Sandbox::new("weights");
    s.text(
        "k.ir",
        "kernel k<N>(x: var f64[N]) -> (objective: f64, c: f64) { (sum i in 0..N { x[i]^2 }, sum i in 0..N { x[i]^3 }) }",
    );
    s.expect(0, &["compile", "k.ir", "--derive", "lagrangian", "--emit", "header", "-o", "k.h"]);
    let text = std::fs::read_to_string(s.path("k.h")).unwrap();
    assert!(text.contains("a->objective_bar = (double)1.0;"), "{text}");
    assert!(!text.contains("a->c_bar ="), "{text}");
}
