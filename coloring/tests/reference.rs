//! Counts of other libraries on small patterns (`../shared/reference/colorings.json`), when they are there.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::Value;
use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::options::{Options, Partition};
use spadina_coloring::order::Order;

mod support;

/// `colors_row`, `colors_col`, `colors_sym`, `colors_sym_post` of every pattern are reached or beaten, and `bound`s
/// with `==` are met exactly, by the natural and the largest-first order together.
#[test]
#[allow(clippy::print_stderr)]
fn counts_of_other_libraries() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/colorings.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is missing", file.display());
        return;
    };
    let cases: Value = serde_json::from_str(&text).unwrap();
    for case in cases.as_array().unwrap() {
        let rows: Vec<&str> =
            case["pattern"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
        let pattern = support::dense(&rows);
        let count = |partition, postprocess| {
            let options = Options::new(partition)
                .orders([Order::Natural, Order::LargestFirst])
                .postprocess(postprocess);
            let coloring = Coloring::new(&pattern, &options).unwrap();
            check::coloring(&coloring).unwrap();
            coloring.n_colors() as u64
        };
        for (key, partition, postprocess) in [
            ("colors_row", Partition::Row, false),
            ("colors_col", Partition::Column, false),
            ("colors_sym", Partition::Symmetric, false),
            ("colors_sym_post", Partition::Symmetric, true),
        ] {
            if let Some(expected) = case[key].as_u64() {
                let found = count(partition, postprocess);
                assert!(found <= expected, "{}: {key} {found} > {expected}", case["name"]);
            }
        }
        let bound = case["bound"].as_str().unwrap_or_default();
        for (side, partition) in [("row==", Partition::Row), ("sym==", Partition::Symmetric)] {
            if let Some(exact) = bound.strip_prefix(side) {
                assert_eq!(count(partition, false).to_string(), exact, "{}", case["name"]);
            }
        }
    }
}
