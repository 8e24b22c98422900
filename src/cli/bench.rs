//! `spadina bench`: what compiling, preparing, rebinding and evaluating a kernel cost on this machine.
//!
//! # Method
//! Compiling is measured on modules opened anew, so that nothing made before is used; preparing on the last of them, whose code is there.
//! Rebinding gives all structural arrays anew, with the same content. Every figure is a median but for the shortest evaluation. The peak of memory is what resident memory grows by at most while the problem is
//! prepared and evaluated for the first time, as the kernel of the system tells; where it does not, there is none. The compiler's own
//! memory is in it, a few megabytes.

use super::args::{BenchArgs, BenchEmit};
use super::staged::Staged;
use super::{console, data, result};
use serde_json::{Map, Value, json};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::Options;
use spadina::problem::Problem;
use spadina_ir::func::Role;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a kernel is compiled and prepared.
const SETUPS: usize = 5;
/// The fewest evaluations, and what they take together at least, unless ..
const EVALUATIONS: usize = 21;
const LEAST: Duration = Duration::from_millis(300);
/// .. they take longer than this.
const MOST: Duration = Duration::from_secs(20);

/// The figures of one kernel that are compared.
const COMPARED: [&str; 5] = ["compile_ms", "prepare_ms", "rebind_ms", "evaluate_ms", "evaluate_min_ms"];

pub(crate) fn bench(args: &BenchArgs) -> Result<(), Error> {
    let before = args.compare.as_deref().map(saved).transpose()?;
    let mut found = Map::new();
    let mut text = String::new();
    for file in &args.files {
        let figures = measure(file, args)?;
        let name = figures.name.clone();
        // Writing to a string cannot fail.
        if args.json {
            let _ = writeln!(text, "{}", Value::Object(figures.json.clone()));
        } else {
            text += &figures.text;
            if let Some(before) = &before {
                text += &compare(&name, before, &figures.json);
            }
            text.push('\n');
        }
        found.insert(name, Value::Object(figures.json));
    }
    if let Some(path) = &args.save {
        let mut staged = Staged::default();
        let figures = format!("{:#}\n", Value::Object(found));
        let failed = |error| Error::Data(format!("cannot write `{}`: {error}", path.display()));
        staged.add(path, |to| std::fs::write(to, &figures).map_err(failed))?;
        staged.commit()?;
    }
    console::print(&text)
}

/// What was measured of one kernel.
struct Figures {
    name: String,
    json: Map<String, Value>,
    text: String,
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e6
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A kernel, opened anew.
fn open(file: &Path, args: &BenchArgs) -> Result<Kernel, Error> {
    Module::open(file)?.kernel(args.kernel.as_deref())
}

fn measure(file: &Path, args: &BenchArgs) -> Result<Figures, Error> {
    let mut kernel = open(file, args)?;
    let derivative = result::largest(&kernel, args.derive.as_deref())?;
    let options = args.method.options(derivative);
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    let memory = Memory::start();
    let mut at = {
        let mut problem = Problem::prepare(&kernel, &inputs, &options)?;
        let mut at = problem.evaluation();
        problem.evaluate(&mut at)?;
        at
    };
    let peak = memory.and_then(|memory| memory.grown());
    let mut compile = Vec::new();
    for _ in 0..SETUPS {
        let started = Instant::now();
        kernel = open(file, args)?;
        let parsed = started.elapsed();
        compile.push(parsed + Problem::prepare(&kernel, &inputs, &options)?.times().compile);
    }
    // Arrays that decide which entries exist come anew, as after a change of connectivity; where nothing comes, nothing is prepared.
    let mut structural = Inputs::new();
    for data in kernel.func().buffers.values().filter(|data| data.role == Role::Structural) {
        if let Some(array) = inputs.get(&data.name) {
            structural.set(data.name.clone(), array);
        }
    }
    let (mut prepare, mut rebind) = (Vec::new(), Vec::new());
    let mut problem = Problem::prepare(&kernel, &inputs, &options)?;
    for _ in 0..SETUPS {
        prepare.push(Problem::prepare(&kernel, &inputs, &options)?.times().prepare);
        let started = Instant::now();
        problem.rebind(&structural)?;
        rebind.push(started.elapsed());
    }
    let mut evaluate = Vec::new();
    problem.evaluate(&mut at)?;
    let started = Instant::now();
    while evaluate.is_empty()
        || ((evaluate.len() < EVALUATIONS || started.elapsed() < LEAST) && started.elapsed() < MOST)
    {
        let one = Instant::now();
        problem.evaluate(&mut at)?;
        evaluate.push(one.elapsed());
    }
    let shortest = evaluate.iter().min().copied().unwrap_or_default();
    let times = [median(&mut compile), median(&mut prepare), median(&mut rebind), median(&mut evaluate)];
    let explanation = kernel.explain(derivative, options.wrt.as_deref())?;
    let ops: u64 = explanation.phases.iter().map(|phase| phase.cost.total()).sum();
    let passes = if args.emit.contains(&BenchEmit::Timing) {
        kernel.timings(derivative, options.wrt.as_deref())?
    } else {
        Vec::new()
    };
    let moved =
        inputs.names().filter_map(|name| inputs.get(name)).map(|array| array.len() * 8).sum::<usize>()
            + 8 * (at.results.len() + at.gradient.len() + at.matrix.len())
            + problem.slot_bytes();
    let mut found = figures(&problem, &options, times, shortest, &Counts { ops, moved, peak });
    timing(&mut found, &passes, times[0]);
    Ok(found)
}

/// Adds the time of each pass; the rest of compiling is parsing, checking, the index program and machine code.
fn timing(found: &mut Figures, passes: &[(&'static str, Duration)], compile: Duration) {
    if passes.is_empty() {
        return;
    }
    let together: Duration = passes.iter().map(|&(_, time)| time).sum();
    let rest = ("rest", compile.saturating_sub(together));
    let mut list = Vec::new();
    for (pass, time) in passes.iter().chain([&rest]) {
        // Writing to a string cannot fail.
        let _ = writeln!(found.text, "  {pass:<12} {:>8.3} ms", ms(*time));
        list.push(json!({ "pass": pass, "ms": ms(*time) }));
    }
    found.json.insert("passes".into(), Value::Array(list));
}

/// Figures that are no times.
struct Counts {
    ops: u64,
    /// Bytes read and written at least in one evaluation.
    moved: usize,
    peak: Option<u64>,
}

fn figures(
    problem: &Problem,
    options: &Options,
    [compile, prepare, rebind, evaluate]: [Duration; 4],
    shortest: Duration,
    counts: &Counts,
) -> Figures {
    let name = problem.kernel().name().to_owned();
    let (elements, n) = (problem.elements(), problem.columns());
    let nnz = options.derivative.has_matrix().then(|| problem.pattern().nnz());
    let json = json!({
        "kernel": name,
        "derivative": options.derivative.name(),
        "compile_ms": ms(compile),
        "prepare_ms": ms(prepare),
        "rebind_ms": ms(rebind),
        "evaluate_ms": ms(evaluate),
        "evaluate_min_ms": ms(shortest),
        "threads": options.threads,
        "n": n,
        "nnz": nnz,
        "elements": elements,
        "ops": counts.ops,
        "code_bytes": problem.code_bytes(),
        "slot_bytes": problem.slot_bytes(),
        "peak_bytes": counts.peak,
    });
    let seconds = evaluate.as_secs_f64().max(1e-9);
    // Without loops there is nothing to count.
    let each = match elements {
        0 => String::new(),
        _ => format!("{:.1} ns an iteration, ", seconds * 1e9 / elements as f64),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{name} {}, {} thread(s): {n} unknowns, {} entries, {elements} iterations",
        options.derivative.name(),
        options.threads,
        nnz.unwrap_or(0)
    );
    let _ = writeln!(
        text,
        "  compile {:.2} ms, prepare {:.2} ms ({:.1} evaluations), rebind {:.2} ms ({:.1})",
        ms(compile),
        ms(prepare),
        prepare.as_secs_f64() / seconds,
        ms(rebind),
        rebind.as_secs_f64() / seconds,
    );
    let _ = writeln!(
        text,
        "  evaluate {:.3} ms (shortest {:.3}): {each}{:.2} GB/s of data and results",
        ms(evaluate),
        ms(shortest),
        counts.moved as f64 / seconds / 1e9,
    );
    let _ = writeln!(
        text,
        "  {} operations an iteration of each loop, {} bytes of code, {} of slots{}",
        counts.ops,
        problem.code_bytes(),
        problem.slot_bytes(),
        counts.peak.map(|bytes| format!(", memory grows by {bytes} bytes")).unwrap_or_default(),
    );
    let json = if let Value::Object(map) = json { map } else { Map::new() };
    Figures { name, json, text }
}

/// Ratios of new times to saved ones.
fn compare(name: &str, before: &Map<String, Value>, now: &Map<String, Value>) -> String {
    let Some(old) = before.get(name).and_then(Value::as_object) else {
        return format!("  `{name}` is not among the saved figures\n");
    };
    let mut ratios = Vec::new();
    for key in COMPARED {
        let figure = |map: &Map<String, Value>| map.get(key).and_then(Value::as_f64);
        if let (Some(old), Some(now)) = (figure(old), figure(now))
            && old > 0.0
        {
            ratios.push(format!("{} {:.2}", key.trim_end_matches("_ms"), now / old));
        }
    }
    format!("  against the saved figures: {}\n", ratios.join(", "))
}

fn saved(path: &Path) -> Result<Map<String, Value>, Error> {
    let wrong = |why: String| Error::Data(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(wrong("no figures that `--save` wrote".into())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Resident memory of the process.
struct Memory {
    before: u64,
}

impl Memory {
    /// Notes what is resident, and forgets earlier peaks.
    fn start() -> Option<Memory> {
        // 5 resets the peak (Linux 4.0).
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Memory { before: Memory::read("VmRSS:")? })
    }

    /// What the peak since lies above it, in bytes.
    fn grown(&self) -> Option<u64> {
        Some(Memory::read("VmHWM:")?.saturating_sub(self.before))
    }

    fn read(field: &str) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kilobytes)
    }
}
