//! Colors all `.mtx` patterns of a directory in the ways of the `ColPack` table and prints counts and times.
//!
//! `colpack_table DIR [REFERENCE.md] [NAME..]`: with the reference table (`../shared/reference/coloring/README.md`) each
//! count is compared with it, and the ratio of the times is summed up. Every coloring is checked by
//! `spadina_coloring::check`, outside the time. Times are the least of several runs: from the pattern to the colors,
//! orders, transposes and stars or trees included.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern;

const ORDERS: [Order; 3] = [Order::Natural, Order::LargestFirst, Order::SmallestLast];
const KINDS: [(&str, Partition, Decompression); 3] = [
    ("D2", Partition::Column, Decompression::Direct),
    ("star", Partition::Symmetric, Decompression::Direct),
    ("acyclic", Partition::Symmetric, Decompression::Substitution),
];
/// Times of `ColPack` below this say little.
const MIN_MS: f64 = 2.0;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let directory = args.first().ok_or("usage: colpack_table DIR [REFERENCE.md] [NAME..]")?;
    let table = args.get(1).map(|file| read_table(Path::new(file))).transpose()?.unwrap_or_default();
    let names = args.get(2..).unwrap_or_default();
    let mut files: Vec<_> =
        std::fs::read_dir(directory)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "mtx"));
    files.sort();
    let mut tally = Tally::default();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name) {
            tally.pattern(&name, &read_pattern(&file)?, table.get(&name).map_or(&[], Vec::as_slice))?;
        }
    }
    tally.report();
    Ok(())
}

/// Comparison with the reference, over all patterns.
#[derive(Default)]
struct Tally {
    equal: usize,
    better: usize,
    worse: usize,
    checked: usize,
    /// Reference time over ours, by kind.
    ratios: [Vec<f64>; 3],
}

impl Tally {
    fn pattern(
        &mut self,
        name: &str,
        pattern: &Pattern,
        reference: &[Option<(usize, f64)>],
    ) -> Result<(), Box<dyn Error>> {
        print!("{name} {}x{} nnz {}", pattern.nrows(), pattern.ncols(), pattern.nnz());
        for (k, (kind, partition, decompression)) in KINDS.into_iter().enumerate() {
            if partition == Partition::Symmetric && !pattern.is_symmetric() {
                continue;
            }
            print!(" | {kind}");
            for (o, order) in ORDERS.into_iter().enumerate() {
                let options = Options::new(partition).decompression(decompression).orders([order]);
                let (coloring, ms) = least_time(|| Coloring::new(pattern, &options));
                let coloring = coloring?;
                check::coloring(&coloring)?;
                self.checked += 1;
                print!(" {} ({ms:.2})", coloring.n_colors());
                if let Some(&Some((colors, reference_ms))) = reference.get(3 * k + o) {
                    match coloring.n_colors().cmp(&colors) {
                        std::cmp::Ordering::Equal => self.equal += 1,
                        std::cmp::Ordering::Less => {
                            print!(" [better than {colors}]");
                            self.better += 1;
                        }
                        std::cmp::Ordering::Greater => {
                            print!(" [WORSE than {colors}]");
                            self.worse += 1;
                        }
                    }
                    if reference_ms > MIN_MS {
                        self.ratios[k].push(reference_ms / ms);
                    }
                }
            }
        }
        println!();
        Ok(())
    }

    fn report(&self) {
        println!(
            "counts: {} equal, {} better, {} worse; {} colorings checked",
            self.equal, self.better, self.worse, self.checked
        );
        for ((kind, _, _), ratios) in KINDS.iter().zip(&self.ratios) {
            let mut sorted = ratios.clone();
            sorted.sort_by(f64::total_cmp);
            if let (Some(least), Some(median)) = (sorted.first(), sorted.get(sorted.len() / 2)) {
                println!(
                    "{kind}: {median:.1}x faster by median, {least:.1}x at least ({} cases over {MIN_MS} ms)",
                    sorted.len()
                );
            }
        }
    }
}

fn least_time<T>(run: impl Fn() -> T) -> (T, f64) {
    let mut found: Option<(T, f64)> = None;
    let begin = Instant::now();
    for _ in 0..20 {
        let start = Instant::now();
        let result = run();
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let least = found.as_ref().map_or(ms, |(_, least)| least.min(ms));
        found = Some((result, least));
        if begin.elapsed().as_secs_f64() > 1.0 {
            break;
        }
    }
    found.expect("at least one run")
}

/// For each pattern, colors and milliseconds by kind and order, where the table has them.
type Table = BTreeMap<String, Vec<Option<(usize, f64)>>>;

/// Rows of the Markdown table: pattern, then count and milliseconds by kind and order.
fn read_table(file: &Path) -> Result<Table, Box<dyn Error>> {
    let cell = |text: &str| {
        let (colors, ms) = text.trim().split_once(" (")?;
        Some((colors.parse().ok()?, ms.trim_end_matches(')').parse().ok()?))
    };
    let text = std::fs::read_to_string(file)?;
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 12);
    Ok(rows
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            let name = cells.next().unwrap_or_default().trim().to_string();
            (name, cells.skip(1).map(cell).collect())
        })
        .collect())
}

/// Positions of a Matrix Market coordinate file; symmetric ones are completed.
fn read_pattern(file: &Path) -> Result<Pattern, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    let symmetric = text.lines().next().is_some_and(|header| header.ends_with("symmetric"));
    let mut lines = text.lines().filter(|line| !line.starts_with('%'));
    let numbers =
        |line: &str| line.split_whitespace().take(2).map(str::parse).collect::<Result<Vec<u32>, _>>();
    let size = numbers(lines.next().ok_or("no size line")?)?;
    let mut entries = Vec::new();
    for line in lines {
        if let [i, j] = numbers(line)?[..] {
            entries.push((i - 1, j - 1));
            if symmetric {
                entries.push((j - 1, i - 1));
            }
        }
    }
    Ok(Pattern::from_entries(size[0] as usize, size[1] as usize, &entries)?)
}
