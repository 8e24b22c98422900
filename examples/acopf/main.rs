//! AC optimal power flow: the Hessian of the Lagrangian of MATPOWER case files, by all roads.
//!
//! `cargo run --release --example acopf [CASE.m ..]`; without files, networks that are made up.
#![allow(clippy::print_stdout)]

mod case;
mod roads;

use case::Case;
use spadina::compiler::Module;
use spadina_io::picture::pattern::{Paint, Pattern as View};
use spadina_io::picture::text::{TextStyle, pattern_text};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let kernel = Module::from_text("acopf.ir", include_str!("../acopf.ir"))?.kernel(None)?;
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut cases = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let case = Case::read(&text).map_err(|error| format!("{file}: {error}"))?;
        let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        cases.push((name.trim_start_matches("pglib_opf_").to_owned(), case));
    }
    if files.is_empty() {
        cases.extend([12, 500].map(|buses| (format!("ring of {buses}"), Case::ring(buses))));
    }
    for (name, case) in &cases {
        let found = roads::compare(&kernel, case)?;
        let (n, nnz) = (case.unknowns(), found.pattern.nnz());
        println!(
            "{name}: {n} unknowns, {nnz} entries, {:.2} % zeros, {} star colors",
            found.zeros(),
            found.colors
        );
        println!("  detect {:.2} ms, color {:.2} ms", found.detect, found.color);
        for (strategy, time) in &found.evaluate {
            println!("  {:<10} {:>9.1} us", strategy.to_string(), 1e3 * time);
        }
        let largest = found.values.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        println!("  largest entry {largest:.3e}, differences up to {:.1e} of it", found.difference);
        let (row_ptr, col_idx) = (found.pattern.row_ptr(), found.pattern.col_idx());
        let view = View { nrows: n, ncols: n, row_ptr, col_idx };
        let style = TextStyle { width: 62, height: 30, ..TextStyle::default() };
        println!("{}", pattern_text(&view, &Paint::Plain, &style)?);
    }
    Ok(())
}
