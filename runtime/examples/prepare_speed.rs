//! Times prepare (streams to pattern and slots) and the sharing of rows on a grid of triangles.
//!
//! `cargo run --release -p spadina-runtime --example prepare_speed [SIDE]`: SIDE x SIDE squares of two triangles, two unknowns a
//! vertex; as numbered, randomly renumbered, and with the general road (one slot an entry, lower triangle). Means of processor time.
#![allow(clippy::print_stdout, reason = "an example that prints a table")]

use spadina_layout::filter::{Filter, Triangle};
use spadina_layout::program::{PhaseInfo, ProgramInfo, SiteInfo};
use spadina_layout::site::{Block, SiteShape};
use spadina_runtime::assemble::{Choice, assemble};
use spadina_runtime::partition::Partition;
use spadina_runtime::streams::SiteStream;
use spadina_runtime::team::Team;
use std::sync::OnceLock;
use std::time::Instant;

const RUNS: usize = 40;

fn main() {
    let side = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(158);
    let vertices = (side + 1) * (side + 1);
    println!("{} triangles, {} unknowns; means of {RUNS} runs, ms", 2 * side * side, 2 * vertices);
    println!("{:32} {:>15} {:>9} {:>6} {:>10}", "", "prepare", "nnz", "slots", "slot bytes");
    let ordered: Vec<u32> = (0..vertices as u32).collect();
    let shuffled = shuffle(vertices);
    for (name, names) in [("as numbered", &ordered), ("randomly renumbered", &shuffled)] {
        let stream = triangles(side, names, 0);
        report(&format!("{name}, blocks"), &stream, vertices, Triangle::Full);
        report(&format!("{name}, lower triangle"), &stream, vertices, Triangle::Lower);
    }
    // Triangles in random order as well: nothing is near anything.
    let stream = triangles(side, &shuffled, 7);
    report("triangles shuffled too, blocks", &stream, vertices, Triangle::Full);
    println!("{:32} {:>15} {:>9}", "", "share", "repeats");
    for (name, names) in [("as numbered", &ordered), ("randomly renumbered", &shuffled)] {
        let stream = triangles(side, names, 0);
        for threads in [2, 4, 8] {
            share(name, &stream, vertices, threads);
        }
    }
}

fn shuffle(n: usize) -> Vec<u32> {
    let mut list: Vec<u32> = (0..n as u32).collect();
    let mut state = 88_172_645_463_325_252_u64;
    for k in (1..n).rev() {
        // xorshift (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        list.swap(k, (state % (k as u64 + 1)) as usize);
    }
    list
}

fn triangles(side: usize, names: &[u32], scatter: usize) -> SiteStream {
    let vertex = |i: usize, j: usize| 2 * names[i * (side + 1) + j];
    let mut faces = Vec::new();
    for (i, j) in (0..side).flat_map(|i| (0..side).map(move |j| (i, j))) {
        faces.push([vertex(i, j), vertex(i + 1, j), vertex(i, j + 1)]);
        faces.push([vertex(i + 1, j), vertex(i + 1, j + 1), vertex(i, j + 1)]);
    }
    if scatter > 0 {
        let order = shuffle(faces.len());
        faces = order.iter().map(|&k| faces[k as usize]).collect();
    }
    let blocks: Vec<Block> = (0..3).map(|k| Block { start: 2 * k, width: 2 }).collect();
    let entries = (0..6).flat_map(|a| (a..6).map(move |b| (a, b))).collect();
    let shape = SiteShape { row_blocks: blocks.clone(), col_blocks: blocks, entries, symmetric: true };
    SiteStream {
        site: 0,
        phase: 0,
        matrix: true,
        direct: false,
        shape,
        emissions: faces.len(),
        bases: faces.concat(),
        per_iteration: Some(1),
        first: Vec::new(),
    }
}

/// Milliseconds that this thread has run (Linux: what others do on the machine does not count), or that have passed.
fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = stat.and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3, |n| n / 1e6)
}

fn report(name: &str, stream: &SiteStream, vertices: usize, triangle: Triangle) {
    let filter = Filter { triangle, ..Filter::all(2 * vertices, 2 * vertices) };
    let start = clock();
    let mut made = None;
    for _ in 0..RUNS {
        made = assemble(&[stream.view()], &filter, &[], Choice::default(), Team::default(), None).ok();
    }
    let time = (clock() - start) / RUNS as f64;
    if let Some(made) = made {
        let bytes: usize = made.slots.iter().map(spadina_runtime::assemble::Slots::bytes).sum();
        let mode = format!("{:?}", made.layout.mode);
        println!("{name:32} {:>15.2} {:9} {mode:>6} {bytes:10}", time, made.pattern.nnz());
    }
}

fn share(name: &str, stream: &SiteStream, vertices: usize, threads: usize) {
    let site = SiteInfo {
        site: 0,
        shape: stream.shape.clone(),
        per_iteration: Some(1),
        direct: false,
        common: Vec::new(),
    };
    let phase = PhaseInfo {
        sites: vec![site],
        row_sites: Vec::new(),
        sums: vec![0],
        serial: false,
        ..PhaseInfo::default()
    };
    let info = ProgramInfo {
        phases: vec![phase],
        scalar_outputs: 1,
        sites: 1,
        stored: Vec::new(),
        filled: Vec::new(),
        may_store: false,
    };
    let trips = [stream.emissions as i64];
    let streams = [stream.clone()];
    let start = clock();
    let mut repeats = 0.0;
    for _ in 0..RUNS {
        if let Ok(made) = Partition::new(&info, &trips, &streams, 2 * vertices, threads) {
            repeats = made.duplication;
        }
    }
    let time = (clock() - start) / RUNS as f64;
    println!("{:32} {:>15.2} {repeats:9.3}", format!("{name}, {threads} owners"), time);
}
