//! What the command tells about kernels and matrices: patterns, colors, explanations, verification, measurements.
#![allow(clippy::unwrap_used)]

mod common;

use common::root;
use common::sandbox::{Sandbox, floats};
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::sparse_file::by_name::read_sparse;
use std::fs;

const STAGED: &str = "
#[example(random, 40)]
kernel staged<N>(x: var f64[N]) -> f64[N - 1] {
    let y = map i in 0..N { x[i]^2 };
    map i in 0..N - 1 { fold _k in 0..100 with s = y[i + 1] - y[i] { s - 0.1 * s^3 } }
}
";

#[test]
fn kernels_are_measured_and_compared() {
    let s = Sandbox::new("bench");
    let object = s.json(&["bench", "springs.ir", "--data", "data", "--json", "--save", "figures.json"]);
    let keys =
        ["compile_ms", "prepare_ms", "rebind_ms", "evaluate_ms", "evaluate_min_ms", "threads", "n", "nnz"];
    for key in keys.into_iter().chain(["elements", "ops", "code_bytes", "slot_bytes"]) {
        assert!(object[key].as_f64().is_some_and(|x| x >= 0.0), "{key}");
    }
    assert!(object.as_object().unwrap().contains_key("peak_bytes"));
    assert_eq!((&object["n"], &object["nnz"], &object["elements"]), (&6.into(), &28.into(), &2.into()));
    let args = ["bench", "springs.ir", "--data", "data", "--compare", "figures.json", "--emit", "timing"];
    let (text, _) = s.expect(0, &args);
    for words in
        ["against the saved figures: compile", "evaluate_min", "ns an iteration", "hessian ", "rest "]
    {
        assert!(text.contains(words), "`{words}` in {text}");
    }
    s.text("broken.json", "[]");
    s.refuses(4, &["bench", "springs.ir", "--data", "data", "--compare", "broken.json"], &["broken.json"]);
    s.refuses(4, &["bench", "springs.ir", "--data", "data", "--compare", "absent.json"], &["absent.json"]);
}

#[test]
fn patterns_are_drawn() {
    let s = Sandbox::new("spy");
    let (out, _) = s.expect(0, &["spy", "springs.ir", "--data", "data"]);
    assert!(out.contains("●") && out.contains("28 entries"), "{out}");
    s.expect(0, &["run", "springs.ir", "--data", "data", "-o", "hessian=h.mtx"]);
    let (same, _) = s.expect(0, &["spy", "h.mtx"]);
    assert_eq!(out, same);
    s.array("dense.npy", &Array::rows(&[[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]));
    assert!(s.expect(0, &["spy", "dense.npy"]).0.contains("2 × 3 · 2 entries"));
    s.refuses(4, &["spy", "data/rest.npy"], &["two axes", "[2]"]);
    let compressed = ["spy", "springs.ir", "--data", "data", "--colors", "--compressed", "--svg", "c.svg"];
    s.expect(0, &compressed);
    assert!(fs::read_to_string(s.path("c.svg")).unwrap().contains("hessian of springs, compressed"));
    s.refuses(2, &["spy", "springs.ir", "--data", "data", "--svg", "p.PNG"], &["--svg p.PNG", "`--png`"]);
    s.refuses(2, &["spy", "springs.ir", "--data", "data", "--png", "p.svg"], &["--png p.svg", "`--svg`"]);
    let (out, _) = s.expect(0, &["spy", "springs.ir", "--data", "data", "--svg", "p.svg", "--png", "p.png"]);
    assert!(out.is_empty());
    assert!(fs::read_to_string(s.path("p.svg")).unwrap().starts_with("<svg"));
    assert!(fs::read(s.path("p.png")).unwrap().starts_with(b"\x89PNG"));
    // A triangle, where the kernel asks for one; products give the whole matrix.
    let text = fs::read_to_string(s.path("springs.ir")).unwrap();
    s.text("springs.ir", &text.replace("hessian)", "hessian(lower))"));
    assert!(s.expect(0, &["spy", "springs.ir", "--data", "data"]).0.contains("17 entries"));
    assert!(s.expect(0, &["spy", "springs.ir", "--data", "data", "--colors"]).0.contains("28 entries"));
}

#[test]
fn patterns_for_all_values_need_none() {
    let s = Sandbox::new("values");
    let pattern = |args: &[&str]| s.json(&[&["sparsity", "springs.ir", "--json"], args].concat());
    let (all, sizes) =
        (pattern(&["--data", "data"]), pattern(&["--data", "edges=data/edges.npy", "--size", "V=3"]));
    for key in ["m", "n", "nnz", "colors"] {
        assert_eq!(all[key], sizes[key], "{key}");
    }
    let edges = ["--data", "edges=data/edges.npy"];
    s.refuses(4, &[&["sparsity", "springs.ir"], &edges[..]].concat(), &["`V`", "--size"]);
    s.refuses(4, &["sparsity", "springs.ir", "--size", "V=3", "--size", "E=2"], &["`edges`"]);
    let local = [&["sparsity", "springs.ir", "--local", "--size", "V=3"], &edges[..]].concat();
    s.refuses(4, &local, &["`x`", "`rest`"]);
    let colored = s.json(&["color", "springs.ir", "--json", "--size", "V=3", edges[0], edges[1]]);
    assert_eq!(colored["nnz"], 28);
}

#[test]
fn derivations_are_shown_step_by_step() {
    let s = Sandbox::new("derive");
    let chain = root().join("examples/chain.ir");
    let chain = chain.to_str().unwrap();
    let (all, _) = s.expect(0, &["derive", chain, "--print-after", "all"]);
    for step in ["source", "reverse", "seed", "simplify", "solve", "extract"] {
        assert!(all.contains(&format!("{step}: ")), "{step} in\n{all}");
    }
    let (seed, _) = s.expect(0, &["derive", chain, "--print-after", "seed"]);
    assert!(all.contains(seed.trim_end().split_once('\n').unwrap().1));
    let (plain, _) = s.expect(0, &["derive", chain, "--derive", "grad"]);
    let func = spadina_ir::text::parse(&plain).unwrap();
    assert!(func.buffer_named("x_bar").is_some());
}

#[test]
fn patterns_are_detected_and_colored() {
    let sandbox = Sandbox::new("detect");
    sandbox.text("staged.ir", STAGED);
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&sandbox.expect(0, args).0).unwrap() };
    let object = json(&["sparsity", "staged.ir", "-o", "p.mtx", "--json"]);
    for (key, wanted) in [("m", 39), ("n", 40), ("nnz", 78), ("n_colors", 2)] {
        assert_eq!(object[key].as_u64(), Some(wanted), "{key} of {object}");
    }
    assert_eq!(object["colors"].as_array().unwrap().len(), 40);
    assert!(object["times_ms"]["detect"].is_number());
    assert_eq!(json(&["sparsity", "staged.ir", "--order", "2", "--json"])["n_colors"].as_u64(), Some(3));
    let stored = read_sparse(&sandbox.path("p.mtx")).unwrap();
    assert_eq!((stored.nrows, stored.ncols, stored.nnz()), (39, 40, 78));
    for (partition, colors, rows) in [("column", 2, false), ("row", 2, false), ("bidirectional", 4, true)] {
        let args = ["color", "p.mtx", "--partition", partition, "--order", "natural,random:3", "--json"];
        let object = json(&args);
        let found = object["n_colors"].as_u64().unwrap();
        assert!(found <= colors, "{partition}: {found}");
        assert_eq!(object.get("row_colors").is_some(), rows, "{object}");
    }
    let object = json(&["color", "staged.ir", "-o", "c.npy", "--json"]);
    let colors: Vec<i64> = object["colors"].as_array().unwrap().iter().map(|c| c.as_i64().unwrap()).collect();
    let written = read_npy(&sandbox.path("c.npy")).unwrap();
    assert_eq!(written.to_i64("colors").unwrap().as_ref(), colors);
    // The Hessian of an energy is symmetric and may be solved for.
    let springs = ["color", "springs.ir", "--data", "data", "--decompression", "substitution"];
    assert!(sandbox.expect(0, &springs).0.contains("colors"));
    sandbox.expect(0, &["spy", "p.mtx", "--colors", "--svg", "p.svg"]);
    assert!(sandbox.expect(0, &["sparsity", "staged.ir", "--local"]).0.contains("at the bound point"));
    sandbox.refuses(2, &["color", "p.mtx", "--order", "alphabetic"], &["alphabetic", "smallest-last"]);
    sandbox.refuses(2, &["color", "p.mtx", "-o", "colors.txt"], &[".npy"]);
    sandbox.refuses(2, &["sparsity", "staged.ir", "-o", "p.txt"], &[".mtx"]);
    sandbox.refuses(2, &["sparsity", "staged.ir", "--order", "3"], &["3"]);
    sandbox.refuses(4, &["color", "p.mtx", "--partition", "symmetric"], &["square"]);
    let solved = ["color", "p.mtx", "--partition", "row", "--decompression", "substitution"];
    sandbox.refuses(2, &solved, &["substitution"]);
    sandbox.refuses(4, &["color", "missing.mtx"], &["missing.mtx"]);
}

#[test]
fn colors_are_written_read_and_verified() {
    let sandbox = Sandbox::new("given");
    // An arrow: dense first row and column.
    let entries: Vec<String> = (2..=9).map(|i| format!("1 {i}\n{i} 1\n{i} {i}")).collect();
    let head = "%%MatrixMarket matrix coordinate pattern general\n9 9 25\n1 1";
    let arrow = format!("{head}\n{}\n", entries.join("\n"));
    sandbox.text("p.mtx", &arrow);
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&sandbox.expect(0, args).0).unwrap() };
    for partition in ["column", "row", "symmetric", "bidirectional"] {
        for ending in ["npy", "mtx", "npz"] {
            let file = format!("{partition}.{ending}");
            let base = ["color", "p.mtx", "--json", "--partition", partition];
            let made = json(&[&base[..], &["-o", &file]].concat());
            let read = json(&[&base[..], &["--given", &file]].concat());
            for key in ["n_colors", "colors", "row_colors"] {
                assert_eq!(made.get(key), read.get(key), "{file} {key}");
            }
        }
        sandbox.expect(0, &["spy", "p.mtx", "--colors", "--partition", partition, "--svg", "colors.svg"]);
        let compressed = ["spy", "p.mtx", "--colors", "--partition", partition, "--compressed"];
        assert!(sandbox.expect(0, &compressed).0.contains("entries"));
    }
    // All columns meet in the first row.
    sandbox.array("same.npy", &Array::vector(Data::I64(vec![1; 9])));
    sandbox.refuses(3, &["color", "p.mtx", "--given", "same.npy"], &["same.npy", "column"]);
    sandbox.refuses(3, &["color", "p.mtx", "--partition", "symmetric", "--given", "same.npy"], &["same.npy"]);
    sandbox.array("short.npy", &Array::vector(Data::I64(vec![1; 4])));
    sandbox.refuses(4, &["color", "p.mtx", "--given", "short.npy"], &["4 lines", "9"]);
    sandbox.array("negative.npy", &Array::vector(Data::I64(vec![-1; 9])));
    sandbox.refuses(4, &["color", "p.mtx", "--given", "negative.npy"], &["negative"]);
    sandbox.refuses(4, &["color", "p.mtx", "--given", "p.mtx"], &["two colors"]);
    sandbox.refuses(2, &["color", "p.mtx", "--given", "p.txt"], &[".npz"]);
    sandbox.refuses(2, &["spy", "p.mtx", "--compressed"], &["--colors"]);
}

#[test]
fn matrices_that_structure_refuses_are_compressed() {
    let sandbox = Sandbox::new("compressed");
    sandbox.text("staged.ir", STAGED);
    let (out, err) = sandbox.expect(0, &["run", "staged.ir", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["strategy"], "compressed");
    assert!(err.contains("note[compressed-matrix]") && err.contains("2 products"), "{err}");
    sandbox.refuses(1, &["run", "staged.ir", "--strategy", "structural"], &["--strategy compressed"]);
    for strategy in ["compressed", "dense"] {
        let file = format!("jacobian={strategy}.npy");
        let (_, err) = sandbox.expect(0, &["run", "staged.ir", "--strategy", strategy, "-o", &file]);
        assert!(err.is_empty(), "{err}");
    }
    let (one, two) = (floats(&sandbox.path("compressed.npy")), floats(&sandbox.path("dense.npy")));
    assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(sandbox.expect(0, &["explain", "note[compressed-matrix]"]).0.contains("products"));
}

#[test]
fn verification_compares_all_roads() {
    let sandbox = Sandbox::new("verify");
    sandbox.text("staged.ir", STAGED);
    let (out, err) = sandbox.expect(0, &["verify", "springs.ir", "--data", "data"]);
    for word in [
        "structural and dense agree",
        "compressed and dense agree",
        "symmetry",
        "H v agrees",
        "the gradient agrees",
        "sound",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(err.is_empty(), "{err}");
    let (out, _) = sandbox.expect(0, &["verify", "staged.ir"]);
    assert!(out.contains("structural refused") && out.contains("J^T w agrees"), "{out}");
    sandbox.refuses(2, &["verify", "springs.ir", "--derive", "value"], &["jacobian"]);
}

#[test]
fn explanations_count_operations_and_entries() {
    let sandbox = Sandbox::new("explain");
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&sandbox.expect(0, args).0).unwrap() };
    let object = json(&["explain", "springs.ir", "--json", "--derive", "hessian"]);
    let hessian = &object["derivatives"][0];
    assert!(hessian["road"].as_str().unwrap().starts_with("structural"), "{object}");
    let phases = hessian["phases"].as_array().unwrap();
    assert!(phases.iter().any(|p| p["entries"].as_u64() > Some(0) && p["line"].is_number()), "{object}");
    let sum: u64 =
        hessian["operations_by_kind"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(sum), hessian["operations"].as_u64());
    let text = sandbox.expect(0, &["explain", "springs.ir", "--ops"]).0;
    for word in ["value", "grad", "hessian", "operations", "sqrt"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    sandbox.text("staged.ir", STAGED);
    let text = sandbox.expect(0, &["explain", "staged.ir"]).0;
    assert!(text.contains("refused") && text.contains("[recurrence]"), "{text}");
    sandbox.refuses(2, &["explain", "no-such-code"], &["no-such-code"]);
    let object = json(&["explain", "springs.ir", "--data", "data", "--entry", "0,0", "--json"]);
    assert!(object["stored"] == true && object["value"].is_number(), "{object}");
    assert!(object["terms"][0]["line"].is_number(), "{object}");
    sandbox.refuses(2, &["explain", "springs.ir", "--data", "data", "--entry", "0,99999"], &["99999", " x "]);
    sandbox.refuses(2, &["explain", "springs.ir", "--data", "data", "--entry", "first"], &["3,7"]);
}

#[test]
fn numbers_that_are_not_finite_are_traced_to_the_source() {
    let sandbox = Sandbox::new("doubts");
    for (body, code) in [
        ("sum i in 0..N { norm([x[i] - x[0], x[i]^2 - x[0]^2]) }", "unbounded-slope"),
        ("sum i in 0..N { log(-x[i]^2) }", "not-finite"),
        ("sum i in 0..N { 1.0 / (x[i] - x[0]) }", "not-finite"),
    ] {
        sandbox.text(
            "k.ir",
            &format!("#[example(random, 5)]\nkernel k<N>(x: var f64[N]) -> f64 {{\n    {body}\n}}\n"),
        );
        let (_, err) = sandbox.expect(0, &["run", "k.ir"]);
        assert!(err.contains(&format!("warning[{code}]")) && err.contains("k.ir:3"), "{body}: {err}");
    }
    // Data are to blame first.
    sandbox.text(
        "k.ir",
        "kernel k<N>(x: var f64[N], top: f64 = inf) -> f64 { sum i in 0..N { min(log(x[i]), top) } }",
    );
    sandbox.array("x.npy", &Array::vector(Data::F64(vec![1.0, 2.0, f64::NAN, f64::INFINITY])));
    for command in ["run", "verify"] {
        let out = sandbox.spadina(&[command, "k.ir", "--data", "x=x.npy"]);
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(err.contains("warning[not-finite]"), "{err}");
        assert!(err.contains("entry (2) of `x` is NaN; one more is not finite"), "{err}");
        assert!(!err.contains("`top`"), "{err}");
    }
    sandbox.array("x.npy", &Array::vector(Data::F64(vec![1.0, 2.0])));
    let (_, err) = sandbox.expect(0, &["run", "k.ir", "--data", "x=x.npy"]);
    assert!(!err.contains("not-finite"), "an infinite bound is none: {err}");
    // The branch that is not taken, and an infinite barrier, are nobody's fault.
    let guarded = "sum i in 0..N { if x[i] > 1e9 { log(-x[i]^2) } else if x[i] < 1e8 { inf } else { 0.0 } }";
    sandbox.text(
        "k.ir",
        &format!("#[example(random, 5)]\nkernel k<N>(x: var f64[N]) -> f64 {{\n    {guarded}\n}}\n"),
    );
    let (_, err) = sandbox.expect(0, &["run", "k.ir"]);
    assert!(!err.contains("not-finite"), "{err}");
}

#[test]
fn named_terms_and_given_partials_are_told() {
    let s = Sandbox::new("terms");
    s.array("data/x.npy", &Array::vector(Data::F64(vec![0.3, 1.1, -0.4, 0.9])));
    let text = |partials: &str| {
        format!(
            "#[partials({partials})]
            fn f(a: f64, b: f64) -> f64 {{ sin(a) + a * b }}
            kernel k<N>(x: var f64[N]) -> f64 {{
                let smooth = #[name(\"springs\")] sum i in 1..N {{ (x[i] - x[i - 1])^2 }};
                smooth + #[name(\"bent\")] sum i in 0..N {{ f(x[i], x[(i + 1) % N]) }}
            }}"
        )
    };
    s.text("right.ir", &text("cos(a) + b, a"));
    let (out, _) = s.expect(0, &["explain", "right.ir", "--ops"]);
    assert!(!out.contains(" 1 operations") && !out.contains(" 1 entries"), "{out}");
    let (out, _) = s.expect(0, &["verify", "right.ir", "--data", "data"]);
    assert!(out.contains("agrees with differences"), "{out}");
    let (out, _) = s.expect(0, &["explain", "right.ir", "--entry", "0,1", "--data", "data"]);
    assert!(out.contains("\"springs\": ") && out.contains("\"bent\": "), "{out}");
    let (out, _) = s.expect(0, &["explain", "right.ir", "--derive", "value"]);
    assert!(out.contains("line 5 (\"bent\"), for"), "{out}");
    // Asymmetric second derivatives, and a slope that only differences find wrong.
    s.text("asymmetric.ir", &text("cos(a), a"));
    s.refuses(3, &["verify", "asymmetric.ir", "--data", "data"], &["(\"bent\")", "given by the author"]);
    s.text("wrong.ir", &text("cos(a) + b + 0.125, a"));
    s.refuses(
        3,
        &["verify", "wrong.ir", "--data", "data"],
        &["gradient by", "(\"bent\")", "given by the author"],
    );
}

#[test]
fn verification_leaves_out_what_differences_cannot_see() {
    let s = Sandbox::new("stopped");
    s.array("data/x.npy", &Array::vector(Data::F64(vec![0.3, 1.1, -0.4])));
    s.text(
        "k.ir",
        "kernel k<N>(x: var f64[N]) -> f64 { sum i in 1..N { stop_gradient(x[i])^2 * x[i - 1]^2 } }",
    );
    let (out, _) = s.expect(0, &["verify", "k.ir", "--data", "data"]);
    assert!(out.contains("left out") && out.contains("stop_gradient"), "{out}");
    assert!(out.contains("differences cannot confirm") && !out.contains("is sound"), "{out}");
    let linear = "kernel l<N>(x: var f64[N]) -> f64 { sum i in 0..N { 2.0 * x[i] } }";
    s.text("linear.ir", linear);
    let (out, _) = s.expect(0, &["verify", "linear.ir", "--data", "data"]);
    assert!(out.contains("the hessian is sound"), "{out}");
}

#[test]
fn given_partials_are_verified_in_a_gauss_newton_matrix_too() {
    let s = Sandbox::new("given_squares");
    s.array("data/x.npy", &Array::vector(Data::F64(vec![0.5, 1.5, 2.0])));
    let text = |partial: &str| {
        format!(
            "#[partials({partial})]
            fn cube(a: f64) -> f64 {{ a^3 }}
            kernel k<N>(x: var f64[N]) -> f64[N] {{ map i in 0..N {{ cube(x[i]) }} }}"
        )
    };
    let args = ["verify", "k.ir", "--data", "data", "--derive", "gauss-newton"];
    s.text("k.ir", &text("3.0 * a^2"));
    let (out, _) = s.expect(0, &args);
    assert!(out.contains("its Jacobian agrees with differences") && out.contains("is sound"), "{out}");
    s.text("k.ir", &text("2.0 * a"));
    s.refuses(3, &args, &["by differences", "given by the author"]);
}

#[test]
fn the_usual_triangle_is_drawn_and_empty_files_are_told() {
    let s = Sandbox::new("usual");
    s.array("data/x.npy", &Array::vector(Data::F64(vec![0.3, 1.1, -0.4, 0.2])));
    s.array("data/m.npy", &Array::vector(Data::Bool(vec![true, false, false, false])));
    s.text(
        "k.ir",
        "#[derive(hessian(lower))]
        kernel k<N>(#[fixed(m)] x: var f64[N], m: bool[N]) -> f64 { sum i in 1..N { (x[i] - x[i - 1])^2 } }",
    );
    let (out, _) = s.expect(0, &["spy", "k.ir", "--data", "data"]);
    assert!(out.contains("3 × 3 · 5 entries"), "{out}");
    s.text(
        "clothes.ir",
        "#[example(clothes, 3)]\nkernel k<N>(x: var f64[N]) -> f64 { sum i in 0..N { x[i]^2 } }",
    );
    s.refuses(1, &["run", "clothes.ir"], &["unknown-example"]);
    s.text("empty.ir", "");
    let (out, _) = s.expect(0, &["check", "empty.ir"]);
    assert!(out.contains("no kernel"), "{out}");
}

#[test]
fn points_without_finite_derivatives_are_no_errors_of_the_sparsifier() {
    let s = Sandbox::new("degenerate");
    s.text("norms.ir", "kernel k<N>(x: var vec2[N]) -> f64 { sum i in 0..N - 1 { norm(x[i + 1] - x[i]) } }");
    s.array("x.npy", &Array::new(vec![3, 2], Data::F64(vec![0.0, 1.0, 0.0, 1.0, 2.0, 3.0])).unwrap());
    let (text, _) = s.expect(0, &["verify", "norms.ir", "--data", "x=x.npy"]);
    assert!(text.contains("sound where it is finite") && text.contains("(structural)"), "{text}");
}

/// What rounding leaves of a small slope beside a large value is no contradiction.
#[test]
fn small_slopes_beside_large_values_are_confirmed() {
    let s = Sandbox::new("slopes");
    s.text("flat.ir", "kernel k(x: var f64) -> f64 { sqrt(1.0 + x^6) }");
    for n in 0..40 {
        let x = 0.05 + 0.01 * f64::from(n);
        s.array("x.npy", &Array::new(vec![], Data::F64(vec![x])).unwrap());
        s.expect(0, &["verify", "flat.ir", "--data", "x=x.npy"]);
    }
}

#[test]
fn what_a_command_cannot_do_is_refused() {
    let s = Sandbox::new("products");
    for command in ["derive", "bench"] {
        s.refuses(2, &[command, "springs.ir", "--derive", "hvp"], &["asked of `run`"]);
    }
    s.refuses(2, &["derive", "springs.ir", "--derive", "gauss-newton"], &["jacobian"]);
    s.text("residual.ir", "kernel k<N>(x: var f64[N]) -> f64[N] { map i in 0..N { x[i]^2 } }");
    s.array("x.npy", &Array::new(vec![2], Data::F64(vec![1.0, 2.0])).unwrap());
    s.refuses(2, &["run", "residual.ir", "--data", "x=x.npy", "--project", "clamp"], &["not projected"]);
}

/// An array that is filled by one loop and read by another stays: the steps are those of the direct road.
#[test]
fn steps_are_shown_where_arrays_stay() {
    let s = Sandbox::new("steps");
    s.text(
        "k.ir",
        "kernel k<N>(x: var f64[N], t: index<N>[N]) -> f64 {
            let mut n = zeros[N];
            for i in 0..N { n[t[i]] += x[i]^2; }
            sum i in 0..N { n[i]^3 }
        }",
    );
    let (text, _) = s.expect(0, &["derive", "k.ir", "--print-after", "all"]);
    assert!(text.contains("extract"), "{text}");
}

/// A point where differences see nothing confirms no derivative, right or wrong.
#[test]
fn verify_tells_where_nothing_was_compared() {
    let s = Sandbox::new("nothing");
    let kernel = |extra: &str| {
        format!(
            "#[partials(2.0 * a)]
            fn f(a: f64) -> f64 {{ a^3 }}
            #[derive(hessian)] #[example(random, 5)]
            kernel k<N>(x: var f64[N]) -> f64 {{ (sum i in 0..N {{ f(x[i]) + x[i] * x[(i + 1) % N] }}) + {extra} }}"
        )
    };
    s.text("seen.ir", &kernel("0.0"));
    s.refuses(3, &["verify", "seen.ir"], &["differences"]);
    s.text("hidden.ir", &kernel("(if x[0] > 0.0 { inf } else { 0.0 })"));
    let (out, _) = s.expect(0, &["verify", "hidden.ir"]);
    assert!(out.contains("could not be compared") && !out.contains("is sound"), "{out}");
}
