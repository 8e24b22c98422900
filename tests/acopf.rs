//! The example `acopf`: the reader of case files, the counts known for networks of the Power Grid Library, agreement of all roads.
#![allow(clippy::unwrap_used)]

#[path = "../examples/acopf/case.rs"]
mod case;
#[path = "../examples/acopf/roads.rs"]
mod roads;

use case::{Branch, Case, Line};
use roads::compare;
use spadina::compiler::Module;
use spadina::kernel::Kernel;
use spadina::options::Strategy;
use std::path::PathBuf;

/// Relative to the largest entry; the roads add the same terms in another order.
const TOLERANCE: f64 = 1e-14;

fn kernel() -> Kernel {
    Module::from_text("acopf.ir", include_str!("../examples/acopf.ir")).unwrap().kernel(None).unwrap()
}

/// A file beside the checkout; `None` (said in one line) where it is missing.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn shared(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", path.display());
    }
    text
}

const SMALL: &str = "function mpc = small % a comment
mpc.version = '2';
mpc.baseMVA = 10.0;
mpc.bus = [ 7 3 5 1 0 0 1 1 0 230 1 1.1 0.9; 2, 1, 0, 0, 1, 2, 1, 1, 0, 230, 1, 1.1, 0.9 % two rows in a line
\t9\t4\t1\t1\t0\t0\t1\t1\t0\t230\t1\t1.1\t0.9;
\t4\t2\t1\t1\t0\t0\t1\t1\t0\t230\t1\t1.1\t0.9;
];
mpc.gen = [
    4 0 0 0 0 1 10 1 0 0;
    7 0 0 0 0 1 10 0 0 0; % out of service
    9 0 0 0 0 1 10 1 0 0; % at a bus out of service
    7 0 0 0 0 1 10 1 0 0;
];
mpc.gencost = [
    2 0 0 3 0.5 2 1;
    2 0 0 3 9 9 9;
    2 0 0 3 9 9 9;
    2 0 0 2 4 3;
];
mpc.branch = [
    2 7 3 4 0.2 0 0 0 0 0 1 -30 30;
    2 9 3 4 0.2 0 0 0 0 0 1 -30 30;
    2 4 3 4 0.2 0 0 0 0 0 0 -30 30;
    4 7 3 4 0.2 0 0 0 2 90 1 -30 30;
];
";

#[test]
fn case_files_are_read() {
    let case = Case::read(SMALL).unwrap();
    assert_eq!((case.slack, case.unknowns()), (0, 2 * 3 + 2 * 2 + 4 * 2));
    assert_eq!(case.loads, [[0.5, 0.1], [0.0, 0.0], [0.1, 0.1]]);
    assert_eq!(case.shunts, [[0.0, 0.0], [0.1, 0.2], [0.0, 0.0]]);
    assert_eq!(case.generators, [(2, [50.0, 20.0, 1.0]), (0, [0.0, 40.0, 3.0])]);
    let line = Line { resistance: 3.0, reactance: 4.0, charging: 0.2, ratio: 0.0, shift: 0.0 };
    assert_eq!(case.branches[0], Branch::new([1, 0], line));
    assert_eq!(case.branches[1], Branch::new([2, 0], Line { ratio: 2.0, shift: 90.0, ..line }));
    // g = 3/25, b = -4/25: at ratio 1 what flows in at one end is what flows in at the other.
    let [[a, b, c], to, [r, ..], _] = case.branches[0].flow;
    assert_eq!(([a, b, c], r), (to, 0.16 - 0.1));
    assert!((a - 0.12).abs() < 1e-15 && (b + 0.12).abs() < 1e-15 && (c - 0.16).abs() < 1e-15);
}

#[test]
fn wrong_case_files_are_refused() {
    for (old, new, part) in [
        ("mpc.branch", "mpc.lines", "no table `mpc.branch`"),
        ("7 3 5 1", "7 2 5 1", "reference"),
        ("10.0;", "ten;", "line 3"),
        ("0.5 2 1;", "0.5 x 1;", "not a number: `x`"),
        ("2 0 0 3 0.5 2 1;", "1 0 0 3 0.5 2 1;", "polynomials"),
        ("2 0 0 3 0.5 2 1;", "2 0 0 4 5 0.5 2 1;", "quadratic"),
        ("2 0 0 3 0.5 2 1;", "2 0 0 9 0.5 2 1;", "coefficients"),
        ("\t4\t2\t1", "\t7\t2\t1", "bus 7 is there twice"),
        ("1 -30 30;\n];", "1 -30 30;\n", "does not end"),
        ("2 7 3 4 0.2 0 0 0 0 0 1 -30 30;", "2 7 3 4;", "no column 11"),
    ] {
        let text = SMALL.replace(old, new);
        assert_ne!(text, SMALL, "{old}");
        let error = Case::read(&text).unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
    // What ends early anywhere is an error, or another case, but never a panic.
    for end in (0..SMALL.len()).filter(|&end| SMALL.is_char_boundary(end)) {
        let _ = Case::read(&SMALL[..end]);
    }
}

#[test]
fn made_up_networks_agree_by_all_roads() {
    for buses in [1, 2, 3, 12, 40] {
        let case = Case::ring(buses);
        let found = compare(&kernel(), &case).unwrap();
        assert_eq!(found.pattern.cols(), case.unknowns());
        assert!(found.evaluate.iter().any(|&(strategy, _)| strategy == Strategy::Dense), "{buses}");
        assert!(found.difference < TOLERANCE, "{buses}: {}", found.difference);
    }
}

#[test]
fn networks_of_the_library_have_their_known_counts() {
    for (name, unknowns, zeros, colors) in [
        ("3_lmbd", 24, 91.15, 6),
        ("60_c", 518, 99.56, 11),
        ("240_pserc", 2558, 99.91, 13),
        ("1951_rte", 15018, 99.98, 19),
        ("3375wp_k", 24350, 99.99, 16),
    ] {
        let Some(text) = shared(&format!("data/power/pglib_opf_case{name}.m")) else { return };
        let case = Case::read(&text).unwrap();
        let found = compare(&kernel(), &case).unwrap();
        assert_eq!((case.unknowns(), found.pattern.rows()), (unknowns, unknowns), "{name}");
        assert!((found.zeros() - zeros).abs() < 0.005, "{name}: {}", found.zeros());
        assert!(found.colors <= colors, "{name}: {} colors", found.colors);
        // Ten times what a machine at work on something else may take.
        let time = found.detect + found.color;
        assert!(cfg!(debug_assertions) || time < 500.0, "{name}: pattern and colors took {time} ms");
        assert!(found.difference < TOLERANCE, "{name}: {}", found.difference);
    }
}

/// Values computed by other software; the reference leaves out the diagonal of a generator without quadratic cost.
#[test]
fn the_smallest_network_has_the_reference_matrix() {
    let (case, matrix) =
        (shared("data/power/pglib_opf_case3_lmbd.m"), shared("reference/matrices/e_case3_lmbd.mtx"));
    let (Some(case), Some(matrix)) = (case, matrix) else { return };
    let found = compare(&kernel(), &Case::read(&case).unwrap()).unwrap();
    let mut wanted = vec![0.0; found.pattern.nnz()];
    for line in matrix.lines().filter(|line| !line.starts_with('%')).skip(1) {
        let words: Vec<f64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let place = found.pattern.find(words[0] as usize - 1, words[1] as u32 - 1).unwrap();
        wanted[place] = words[2];
    }
    for (at, (&found, &wanted)) in found.values.iter().zip(&wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= 1e-12 * wanted.abs().max(1.0),
            "value {at}: {found} against {wanted}"
        );
    }
}
