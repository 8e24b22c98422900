//! Ours against `ColPack`, in turns in one run: counts, milliseconds, ratios, on the patterns of the gallery.
//!
//! `cargo bench -p spadina-coloring --bench colpack`; `-- WORD ..` keeps the patterns whose names contain a word (and those left
//! out for their length). `ColPack` is the package `libcolpack-dev`: run as root where there is `apt-get`, the benchmark says so
//! and installs it; otherwise only ours is shown.
//!
//! Times are the least of the rounds, on one thread. Our time is from the pattern to the colors, with transposes, orders and stars or trees; that of `ColPack` is ordering and
//! coloring of a graph built before. Every coloring, ours and theirs, is checked by `benches/colpack.cpp` (paths and cycles), ours
//! also by `spadina_coloring::check` (entries) and by decompressing numbers.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{Decompressor, Target};
use spadina_coloring::layout::Layout;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../tests/support/mod.rs"]
mod support;
use support::gallery;

const ORDERS: [(&str, Order); 3] = [
    ("NATURAL", Order::Natural),
    ("LARGEST_FIRST", Order::LargestFirst),
    ("SMALLEST_LAST", Order::SmallestLast),
];
const KINDS: [(&str, Partition, Decompression); 3] = [
    ("D2", Partition::Column, Decompression::Direct),
    ("star", Partition::Symmetric, Decompression::Direct),
    ("acyclic", Partition::Symmetric, Decompression::Substitution),
];
/// Times of `ColPack` below this say little.
const MIN_MS: f64 = 2.0;
const ROUNDS: usize = 9;
/// Rounds end after so much time.
const BUDGET: Duration = Duration::from_secs(2);
/// `ColPack` takes a minute for an order of it; run by name.
const LONG: [&str; 1] = ["arrow_first_100000"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut server = Server::start();
    if server.is_none() {
        println!("skipped: no ColPack (libcolpack-dev) or no g++; only ours is shown");
    }
    println!(
        "{:<29}{:<9}{:<15}{:>8}{:>8}{:>11}{:>11}{:>7}",
        "pattern", "kind", "order", "ours", "ColPack", "ours ms", "ColPack ms", "ratio"
    );
    let mut tally = Tally::default();
    for name in gallery::NAMES {
        let wanted =
            if words.is_empty() { !LONG.contains(name) } else { words.iter().any(|w| name.contains(w)) };
        if let Some(pattern) = wanted.then(|| gallery::named(name)).flatten() {
            tally.pattern(name, &pattern, server.as_mut());
        }
    }
    tally.report(server.is_some());
}

/// Comparison over all patterns.
#[derive(Default)]
struct Tally {
    equal: usize,
    fewer: usize,
    more: usize,
    checked: usize,
    /// Their time over ours, by kind.
    ratios: [Vec<f64>; 3],
}

impl Tally {
    fn pattern(&mut self, name: &str, pattern: &Pattern, mut server: Option<&mut Server>) {
        if let Some(server) = &mut server {
            server.load(pattern);
        }
        for (k, (kind, partition, decompression)) in KINDS.into_iter().enumerate() {
            if partition == Partition::Symmetric && !pattern.is_symmetric() {
                continue;
            }
            for (label, order) in ORDERS {
                let options = Options::new(partition).decompression(decompression).orders([order]);
                let (mut ours, mut theirs, mut counts) = (Vec::new(), Vec::new(), None);
                let begin = Instant::now();
                while ours.len() < ROUNDS && (ours.is_empty() || begin.elapsed() < BUDGET) {
                    let start = Instant::now();
                    let coloring = Coloring::new(pattern, &options).unwrap();
                    ours.push(start.elapsed().as_secs_f64() * 1e3);
                    let other = server.as_mut().map(|server| server.color(kind, label));
                    theirs.extend(other.map(|(_, ms)| ms));
                    if counts.is_none() {
                        counts = Some((coloring.n_colors(), other.map(|(count, _)| count)));
                        verify(&coloring);
                        if let Some(server) = &mut server {
                            server.check(kind, coloring.column_colors());
                        }
                        self.checked += 1 + usize::from(other.is_some());
                    }
                }
                let (count, other) = counts.unwrap();
                let ours = least(&ours);
                print!("{name:<29}{kind:<9}{label:<15}{count:>8}");
                if let Some(other) = other {
                    let theirs = least(&theirs);
                    println!("{other:>8}{ours:>11.3}{theirs:>11.3}{:>7.2}", theirs / ours);
                    self.equal += usize::from(count == other);
                    self.fewer += usize::from(count < other);
                    self.more += usize::from(count > other);
                    if theirs > MIN_MS {
                        self.ratios[k].push(theirs / ours);
                    }
                } else {
                    println!("{:>8}{ours:>11.3}", "");
                }
            }
        }
    }

    fn report(&self, compared: bool) {
        println!("{} colorings checked", self.checked);
        if !compared {
            return;
        }
        println!("counts: {} equal, {} fewer, {} more than ColPack", self.equal, self.fewer, self.more);
        let mut all = self.ratios.concat();
        let rows = KINDS.iter().map(|kind| kind.0).zip(self.ratios.clone());
        for (kind, mut ratios) in rows.chain([("all", std::mem::take(&mut all))]) {
            if !ratios.is_empty() {
                let middle = median(&mut ratios);
                println!(
                    "{kind}: {middle:.2} times faster by median, {:.2} at least ({} cases over {MIN_MS} ms)",
                    ratios[0],
                    ratios.len()
                );
            }
        }
    }
}

/// Checks the definition, and that numbers come back.
fn verify(coloring: &Coloring) {
    check::coloring(coloring).unwrap();
    let is_symmetric = coloring.partition() == Partition::Symmetric;
    let value = |(i, j): (usize, usize)| {
        let (i, j) = if is_symmetric { (i.max(j), i.min(j)) } else { (i, j) };
        ((i * 31 + j * 17) % 1009) as f64
    };
    let values: Vec<f64> = coloring.pattern().entries().map(value).collect();
    let compressed = coloring.compress(&values, Layout::ByColor).unwrap();
    let mut found = vec![f64::NAN; values.len()];
    let decompressor = Decompressor::new(coloring, Target::default()).unwrap();
    decompressor.decompress(&compressed, &mut found).unwrap();
    assert!(found == values, "other numbers come back");
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The process that runs `ColPack`.
struct Server {
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Server {
    fn start() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("colpack_server");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/colpack.cpp");
        if !Path::new("/usr/include/ColPack").exists() {
            install();
        }
        let built = Command::new("g++")
            .args(["-std=c++17", "-O2", "-DNDEBUG", "-o"])
            .args([&program, &source])
            .args(["-lColPack", "-fopenmp"])
            .stderr(Stdio::null())
            .status();
        built.ok().filter(std::process::ExitStatus::success)?;
        let mut process = Command::new(program)
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let requests = process.stdin.take()?;
        let replies = BufReader::new(process.stdout.take()?);
        Some(Self { process, requests, replies, folder })
    }

    fn ask(&mut self, request: &str) -> Vec<f64> {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.replies.read_line(&mut line).unwrap() > 0, "the ColPack server ended");
            if let Some(numbers) = line.strip_prefix("reply ") {
                return numbers.split_whitespace().map(|x| x.parse().unwrap()).collect();
            }
        }
    }

    fn write(&self, name: &str, words: impl Iterator<Item = u32>) -> String {
        let file = self.folder.join(name);
        std::fs::write(&file, words.flat_map(u32::to_ne_bytes).collect::<Vec<_>>()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn load(&mut self, pattern: &Pattern) {
        let size = [pattern.nrows() as u32, pattern.ncols() as u32];
        let row_ptr = pattern.row_ptr().iter().map(|&n| n as u32);
        let file = self
            .write("pattern.bin", size.into_iter().chain(row_ptr).chain(pattern.col_idx().iter().copied()));
        assert_eq!(self.ask(&format!("load {file}")), [1.0]);
    }

    /// Count and milliseconds; the coloring is checked.
    fn color(&mut self, kind: &str, order: &str) -> (usize, f64) {
        let file = self.folder.join("colors.bin");
        let reply = self.ask(&format!("color {kind} {order} {}", file.display()));
        assert_eq!(
            self.ask(&format!("check {kind} {}", file.display())),
            [1.0],
            "a coloring of ColPack is wrong"
        );
        (reply[0] as usize, reply[1])
    }

    fn check(&mut self, kind: &str, colors: &[u32]) {
        let file = self.write("ours.bin", colors.iter().copied());
        assert_eq!(self.ask(&format!("check {kind} {file}")), [1.0], "a coloring of ours is wrong");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Installs the package, where that is possible; says so first.
fn install() {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|id| id.stdout.starts_with(b"0\n")) && Path::new("/usr/bin/apt-get").exists() {
        println!("installing libcolpack-dev with apt-get");
        // Where it fails the program does not compile, which is said.
        let _ = Command::new("apt-get")
            .args(["install", "-y", "-qq", "libcolpack-dev"])
            .stdout(Stdio::null())
            .status();
    }
}
