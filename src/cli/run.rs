//! `spadina run`: bind, prepare, evaluate, show, write.

use super::args::{RunArgs, What};
use super::{assembly, console, data, direction, result};
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::options::{Derivative, Engine, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::Array;
use spadina_io::picture::pattern::{Paint, Pattern};
use spadina_io::picture::text::{TextStyle, pattern_text};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Evaluations of a small problem, the median of which is reported.
const REPEATS: usize = 5;
/// What a problem may take and still count as small.
const SMALL: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<(), Error> {
    let outputs = result::outputs(&args.output)?;
    let started = Instant::now();
    let module = Module::open(&args.kernel.file)?;
    let parsed = started.elapsed();
    if let Some(report) = module.report() {
        console::report(&report);
    }
    let kernel = module.kernel(args.kernel.kernel.as_deref())?;
    let multipliers = data::has_multipliers(&kernel, &args.data);
    let wanted = result::wanted(&kernel, args.derive.as_deref(), &outputs, multipliers)?;
    direction::check(&wanted.what, args)?;
    // The block that a product with `--rows` is of.
    let mixed = args.assembly.rows.is_some() && wanted.what.contains(&What::Hvp);
    let derivative = match wanted.derivative {
        Derivative::Value | Derivative::Gradient if mixed => Derivative::Hessian,
        other => other,
    };
    let mut options = args.method.options(derivative);
    assembly::choose(&kernel, args, &mut options)?;
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    let mut problem = Problem::prepare(&kernel, &inputs, &options)?;
    if let Some(report) = problem.warnings() {
        console::report(&report);
    }
    let mut at = problem.evaluation();
    let evaluate = measure(&mut problem, &mut at, options.engine)?;
    if let Some(report) = problem.doubts(&at)? {
        console::report(&report);
    }
    let products = direction::products(&problem, &wanted.what, args)?;
    result::write(&outputs, &problem, &at, &products)?;
    let times =
        Shown { compile: parsed + problem.times().compile, prepare: problem.times().prepare, evaluate };
    let text = if args.json {
        as_json(&problem, &at, &times)
    } else {
        as_text(&problem, &at, &times, &wanted.what, &products)?
    };
    console::print(&text)
}

/// What is shown of the time.
struct Shown {
    compile: Duration,
    prepare: Duration,
    evaluate: Duration,
}

fn measure(problem: &mut Problem, at: &mut Evaluation, engine: Engine) -> Result<Duration, Error> {
    let mut times = Vec::new();
    let started = Instant::now();
    loop {
        let before = Instant::now();
        problem.evaluate(at)?;
        times.push(before.elapsed());
        if times.len() == REPEATS || engine == Engine::Interp || started.elapsed() > SMALL {
            times.sort();
            return Ok(times[times.len() / 2]);
        }
    }
}

/// A number, or text where JSON has no number for it.
pub(crate) fn number(x: f64) -> Value {
    if x.is_nan() {
        json!("nan")
    } else if x.is_infinite() {
        json!(if x > 0.0 { "inf" } else { "-inf" })
    } else {
        json!(x)
    }
}

pub(crate) fn milliseconds(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1e6).round() / 1e3)
}

fn as_json(problem: &Problem, at: &Evaluation, times: &Shown) -> String {
    let value = if problem.kernel().is_energy() {
        at.results.first().map_or(Value::Null, |&x| number(x))
    } else {
        Value::Null
    };
    let sizes: Map<String, Value> = problem.sizes().map(|(name, n)| (name.to_owned(), json!(n))).collect();
    let has_matrix = problem.options().derivative.has_matrix();
    let mut object = json!({
        "value": value,
        "sizes": sizes,
        "n": problem.columns(),
        "m": problem.rows(),
        "nnz": has_matrix.then(|| problem.pattern().nnz()),
        "strategy": problem.strategy().map(|s| s.to_string()),
        "threads": problem.options().threads,
        "times_ms": {
            "compile": milliseconds(times.compile),
            "prepare": milliseconds(times.prepare),
            "evaluate": milliseconds(times.evaluate),
        },
    });
    // What only matrices from products, or only counted choices have.
    if let Some((columns, rows)) = problem.products() {
        object["products"] = json!({ "columns": columns, "rows": rows });
    }
    if let Some((mode, decompression)) = problem.way() {
        object["mode"] = json!(mode.to_string());
        object["decompression"] = json!(decompression.to_string());
    }
    if let Some(work) = problem.work() {
        object["work"] = json!({ "structural": work.structural, "compressed": work.compressed });
    }
    format!("{object}\n")
}

fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        // From zero, because an empty sum is -0.
        return values.iter().fold(0.0, |sum, x| sum + x.abs());
    }
    largest * values.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

fn as_text(
    problem: &Problem,
    at: &Evaluation,
    times: &Shown,
    what: &BTreeSet<What>,
    products: &BTreeMap<What, Array>,
) -> Result<String, Error> {
    let kernel = problem.kernel();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "kernel     {}", kernel.name());
    let sizes: Vec<String> = problem.sizes().map(|(name, n)| format!("{name} = {n}")).collect();
    if !sizes.is_empty() {
        let _ = writeln!(text, "sizes      {}", sizes.join(", "));
    }
    if kernel.is_energy() {
        let _ = writeln!(text, "value      {:?}", at.results.first().copied().unwrap_or(f64::NAN));
    } else {
        let _ = writeln!(text, "residual   {} entries, norm {:?}", at.results.len(), norm(&at.results));
    }
    if what.contains(&What::Grad) {
        let _ = writeln!(text, "gradient   {} entries, norm {:?}", at.gradient.len(), norm(&at.gradient));
    }
    if let Some(strategy) = problem.strategy() {
        let pattern = problem.pattern();
        let name = problem.options().derivative.name().replace('_', "-");
        let size = format!("{} x {}, {} entries", pattern.rows(), pattern.cols(), pattern.nnz());
        let _ =
            writeln!(text, "{name:<10} {size}, norm {:?} ({})", norm(&at.matrix), road(problem, strategy));
        text += &picture(problem.pattern(), &Paint::Plain)?;
    }
    for (what, product) in products {
        let name = what.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let values = product.to_f64(&name)?;
        if let [value] = values[..] {
            let _ = writeln!(text, "{name:<10} {value:?}");
        } else {
            let _ = writeln!(text, "{name:<10} {} entries, norm {:?}", values.len(), norm(&values));
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (threads, engine) = (problem.options().threads, problem.options().engine);
    let plural = if threads == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "times      compile {:.2} ms, prepare {:.2} ms, evaluate {:.3} ms ({engine}, {threads} thread{plural})",
        ms(times.compile),
        ms(times.prepare),
        ms(times.evaluate),
    );
    Ok(text)
}

/// The road that was taken, and, where two were compared, the work of both.
fn road(problem: &Problem, strategy: Strategy) -> String {
    let mut text = strategy.to_string();
    if let (Some((mode, decompression)), Some((columns, rows))) = (problem.way(), problem.products()) {
        let _ = write!(text, ": {mode}, {decompression}, {} products", columns + rows);
    }
    if let Some(work) = problem.work() {
        let _ = write!(text, "; work {} structural, {} compressed", work.structural, work.compressed);
    }
    text
}

/// The pattern as the terminal shows it.
pub(crate) fn picture(pattern: &spadina_runtime::csr::Pattern, paint: &Paint<'_>) -> Result<String, Error> {
    let view = Pattern {
        nrows: pattern.rows(),
        ncols: pattern.cols(),
        row_ptr: pattern.row_ptr(),
        col_idx: pattern.col_idx(),
    };
    let style = TextStyle { width: 62, height: 30, ..TextStyle::default() };
    Ok(pattern_text(&view, paint, &style)?)
}
