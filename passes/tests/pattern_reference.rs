//! Detected patterns against those that other detectors document (`../shared/reference`).
#![allow(clippy::unwrap_used)]

mod pattern_support;

use pattern_support::{expression, json, reference, show, translate};
use spadina_ir::interp::Bindings;
use spadina_passes::analysis::pattern::csr::Pattern;
use spadina_passes::analysis::pattern::detect::{Scope, hessian, jacobian};

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

fn detect(kind: &str, formula: &str, n: usize, point: Option<Vec<f64>>) -> Pattern {
    let func = translate::function(&expression::parse(formula), n);
    assert_eq!(spadina_ir::verify::verify(&func), [], "{formula}");
    let mut bindings = Bindings::default();
    let scope = if point.is_some() { Scope::Local } else { Scope::Global };
    if let Some(point) = point {
        bindings.set(&func, "x", point).unwrap();
    }
    let detected =
        if kind == "H" { hessian(&func, &bindings, scope) } else { jacobian(&func, &bindings, scope) };
    detected.unwrap_or_else(|error| panic!("{formula}: {error}"))
}

/// The names of the entries found tighter than documented; panics where one is looser.
fn compare(name: &str, found: &Pattern, expected: &[String], tighter: &mut Vec<String>) {
    let shown = show(found);
    assert_eq!(shown.len(), expected.len(), "{name}: rows");
    let extra = shown.iter().zip(expected).any(|(found, expected)| {
        found.len() != expected.len()
            || found.chars().zip(expected.chars()).any(|(f, e)| f == '1' && e == '0')
    });
    assert!(!extra, "{name}: found {shown:?}, documented {expected:?}");
    if shown != expected {
        tighter.push(name.to_owned());
    }
}

#[test]
fn global_patterns_are_those_documented() {
    let Some(text) = reference("patterns.json") else { return };
    let (mut tighter, mut compared) = (Vec::new(), 0);
    for entry in json::parse(&text).items() {
        let name = entry.get("name").text();
        // The language has no sort.
        if name == "sort" {
            continue;
        }
        let formula = written_out(name).unwrap_or_else(|| entry.get("formula").text().to_owned());
        let found = detect(entry.get("kind").text(), &formula, entry.get("n").number() as usize, None);
        compare(name, &found, &entry.get("pattern").texts(), &mut tighter);
        assert!(found.nnz() as f64 >= entry.get("numeric_nnz").number(), "{name} misses entries");
        compared += 1;
    }
    assert_eq!(compared, 37);
    assert_eq!(tighter, [""; 0]);
}

#[test]
fn local_patterns_are_those_documented() {
    let Some(text) = reference("local_patterns.json") else { return };
    let (mut tighter, mut compared) = (Vec::new(), 0);
    for entry in json::parse(&text).items() {
        let point: Vec<f64> = entry.get("x").items().iter().map(json::Json::number).collect();
        let formula = entry.get("formula").text();
        let found = detect(entry.get("kind").text(), formula, point.len(), Some(point));
        compare(formula, &found, &entry.get("expected").texts(), &mut tighter);
        compared += 1;
    }
    assert_eq!(compared, 44);
    assert_eq!(tighter, [""; 0]);
}
