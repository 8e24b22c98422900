//! Documented patterns and colorings (`../shared/reference`) through the commands: `sparsity`, `color`, and the files they write.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/formula/mod.rs"]
mod formula;

use common::root;
use common::sandbox::Sandbox;
use serde_json::Value;
use spadina_io::array::{Array, Data};
use spadina_io::sparse_file::by_name::read_sparse;
use std::path::Path;

/// A file of the reference folder beside the checkout; `None` (said in one line) where it is missing.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn reference(name: &str) -> Option<Vec<Value>> {
    let path = root().join("../shared/reference").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", path.display());
    }
    Some(serde_json::from_str::<Value>(&text?).unwrap().as_array().unwrap().clone())
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect()
}

/// A matrix file as rows of zeros and ones.
fn show(path: &Path) -> Vec<String> {
    let matrix = read_sparse(path).unwrap();
    let row = |i: usize| &matrix.col_idx[matrix.row_ptr[i]..matrix.row_ptr[i + 1]];
    let digit = |i: usize, j: usize| if row(i).contains(&j) { '1' } else { '0' };
    (0..matrix.nrows).map(|i| (0..matrix.ncols).map(|j| digit(i, j)).collect()).collect()
}

/// Colors of columns by definition: no row has two entries of one color.
fn separates(rows: &[String], colors: &[u64]) -> bool {
    rows.iter().all(|row| {
        let mut seen: Vec<u64> =
            row.bytes().zip(colors).filter(|(digit, _)| *digit == b'1').map(|(_, color)| *color).collect();
        let found = seen.len();
        seen.sort_unstable();
        seen.dedup();
        seen.len() == found && !seen.contains(&0)
    })
}

fn transposed(rows: &[String], columns: usize) -> Vec<String> {
    (0..columns).map(|j| rows.iter().map(|row| row.as_bytes()[j] as char).collect()).collect()
}

/// The pattern that `sparsity` writes, in both kinds of file, and what its JSON says.
fn sparsity(s: &Sandbox, order: &str, more: &[&str]) -> (Vec<String>, Value) {
    let mut args = vec!["sparsity", "k.ir", "--order", order, "--json", "-o", "p.mtx"];
    args.extend(more);
    let object = s.json(&args);
    args[6] = "p.npz";
    s.json(&args);
    let shown = show(&s.path("p.mtx"));
    assert_eq!(shown, show(&s.path("p.npz")));
    let ones: usize = shown.iter().map(|row| row.matches('1').count()).sum();
    assert_eq!((&object["m"], &object["nnz"]), (&shown.len().into(), &ones.into()));
    for key in ["detect", "color"] {
        assert!(object["times_ms"][key].as_f64().unwrap() >= 0.0);
    }
    (shown, object)
}

fn colors(object: &Value, key: &str) -> Vec<u64> {
    let colors: Vec<u64> = object[key].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect();
    assert_eq!(object["n_colors"], colors.iter().max().copied().unwrap_or(0));
    colors
}

/// Formulas in array notation that the little parser does not know, element by element.
fn written_out(name: &str) -> Option<String> {
    let list = |items: Vec<String>| Some(format!("[{}]", items.join(",")));
    match name {
        "outer" => list((0..4).map(|k| format!("x[{}]*x[{}]", k / 2, 2 + k % 2)).collect()),
        "const_matvec" => list(["1.0*x0+0*x1+2*x2", "0*x0+3*x1+0*x2"].map(str::to_owned).to_vec()),
        "scatter_add" => list(["x0+x2", "x3", "x1"].map(str::to_owned).to_vec()),
        "conv_1d" => list((0..6).map(|k| format!("3*x{k}+2*x{}+x{}", k + 1, k + 2)).collect()),
        "laplace2d_per" => {
            let cell = |k: usize| {
                let at = |i: usize, j: usize| format!("x{}", i % 4 * 4 + j % 4);
                let (i, j) = (k / 4, k % 4);
                let near = [at(i + 1, j), at(i + 3, j), at(i, j + 1), at(i, j + 3)];
                format!("{}-4*{}", near.join("+"), at(i, j))
            };
            list((0..16).map(cell).collect())
        }
        _ => None,
    }
}

/// Global patterns as documented, their colorings by columns and rows no larger. The language has no sort.
#[test]
fn documented_patterns() {
    let Some(cases) = reference("patterns.json") else { return };
    let s = Sandbox::new("patterns");
    let mut compared = 0;
    for case in cases.iter().filter(|case| case["name"] != "sort") {
        let name = case["name"].as_str().unwrap();
        let n = case["n"].as_u64().unwrap() as usize;
        let text = written_out(name).unwrap_or_else(|| case["formula"].as_str().unwrap().to_owned());
        s.text("k.ir", &formula::kernel(&text, n));
        let is_hessian = case["kind"] == "H";
        let (shown, object) = sparsity(&s, if is_hessian { "2" } else { "1" }, &[]);
        assert_eq!(shown, texts(&case["pattern"]), "{name}");
        assert_eq!(object["n"], n, "{name}");
        if !is_hessian {
            assert!(separates(&shown, &colors(&object, "colors")), "{name}");
        }
        for (key, side) in [("colors_col", "column"), ("colors_row", "row")] {
            let Some(known) = case[key].as_u64() else { continue };
            let object = s.json(&[
                "color",
                "p.mtx",
                "--partition",
                side,
                "--json",
                "--order",
                "natural,largest-first",
            ]);
            let lines = if side == "row" { transposed(&shown, n) } else { shown.clone() };
            assert!(separates(&lines, &colors(&object, "colors")), "{name} by {side}");
            assert!(object["n_colors"].as_u64().unwrap() <= known, "{name} by {side}: {object}");
        }
        compared += 1;
    }
    assert_eq!(compared, 37);
}

/// Patterns at a point as documented.
#[test]
fn documented_local_patterns() {
    let Some(cases) = reference("local_patterns.json") else { return };
    let s = Sandbox::new("local");
    for case in &cases {
        let text = case["formula"].as_str().unwrap();
        let point: Vec<f64> = case["x"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        s.text("k.ir", &formula::kernel(text, point.len()));
        s.array("x.npy", &Array::vector(Data::F64(point)));
        let order = if case["kind"] == "H" { "2" } else { "1" };
        let (shown, object) = sparsity(&s, order, &["--local", "--data", "x=x.npy"]);
        assert_eq!(shown, texts(&case["expected"]), "{text} at {}", case["x"]);
        assert_eq!(object["scope"], "local");
    }
    assert_eq!(cases.len(), 44);
}

/// Counts of other libraries, reached or beaten.
#[test]
fn documented_colorings() {
    let Some(cases) = reference("colorings.json") else { return };
    let s = Sandbox::new("colorings");
    for case in &cases {
        let rows = texts(&case["pattern"]);
        let n = rows[0].len();
        let entries: Vec<String> = (rows.iter().enumerate())
            .flat_map(|(i, row)| row.match_indices('1').map(move |(j, _)| format!("{} {}\n", i + 1, j + 1)))
            .collect();
        let header = "%%MatrixMarket matrix coordinate pattern general";
        s.text("p.mtx", &format!("{header}\n{} {n} {}\n{}", rows.len(), entries.len(), entries.concat()));
        for (key, side, more) in [
            ("colors_col", "column", None),
            ("colors_row", "row", None),
            ("colors_sym", "symmetric", None),
            ("colors_sym_post", "symmetric", Some("--postprocess")),
        ] {
            let Some(known) = case[key].as_u64() else { continue };
            let mut args = vec!["color", "p.mtx", "--partition", side, "--json"];
            args.extend(["--order", "natural,largest-first"].into_iter().chain(more));
            args.extend(["-o", "c.npy"]);
            let object = s.json(&args);
            let found = object["n_colors"].as_u64().unwrap();
            assert!(found <= known, "{}: {key} {found} > {known}", case["name"]);
            assert_eq!(
                (&object["m"], &object["n"], &object["nnz"]),
                (&rows.len().into(), &n.into(), &entries.len().into())
            );
            let bound = case["bound"].as_str().unwrap_or_default();
            if more.is_none() && bound.starts_with(&side[..3]) && bound.contains("==") {
                assert_eq!(bound.split_once("==").unwrap().1, found.to_string(), "{}", case["name"]);
            }
            // What was written is a coloring, too.
            let given = s.json(&["color", "p.mtx", "--partition", side, "--json", "--given", "c.npy"]);
            assert_eq!((&given["n_colors"], &given["colors"]), (&object["n_colors"], &object["colors"]));
        }
    }
    assert_eq!(cases.len(), 9);
}
