//! `spadina explain CODE`: what a message means, with a wrong and a right example. `spadina explain K.ir`: how the derivatives of a
//! kernel are computed, and what they cost.

use super::args::ExplainArgs;
use super::codes::CODES;
use super::{console, data, run};
use serde_json::{Value, json};
use spadina::compiler::Module;
use spadina::detect;
use spadina::error::Error;
use spadina::explain::{Explanation, Phase};
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options};
use spadina::problem::Problem;
use spadina_ir::frontend::suggest::nearest;
use std::fmt::Write;
use std::path::Path;

pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Error> {
    let Some(subject) = &args.subject else {
        let list: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        let text = if args.json { json!({ "codes": list }).to_string() } else { list.join("\n") };
        return console::print(&format!("{text}\n"));
    };
    if Path::new(subject).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ir")) {
        return kernel(Path::new(subject), args);
    }
    let code = subject.trim_end_matches(']');
    let code =
        ["error[", "warning[", "note["].iter().fold(code, |code, start| code.trim_start_matches(start));
    match CODES.binary_search_by_key(&code, |(known, _)| known) {
        Ok(at) if args.json => console::print(&format!("{}\n", json!({ "code": code, "page": CODES[at].1 }))),
        Ok(at) => console::print(CODES[at].1),
        Err(_) => {
            let near = nearest(code, CODES.iter().map(|(known, _)| *known));
            let near = near.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            Err(Error::Usage(format!(
                "no message has the code `{code}`{near} (`spadina explain` lists all; a kernel ends in .ir)"
            )))
        }
    }
}

fn kernel(file: &Path, args: &ExplainArgs) -> Result<(), Error> {
    let module = Module::open(file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    let kernel = module.kernel(args.kernel.as_deref())?;
    let wrt = args.wrt.as_deref();
    if let Some(entry) = &args.entry {
        return terms(&kernel, entry, args);
    }
    let found = wanted(&kernel, args)?.into_iter().map(|derivative| kernel.explain(derivative, wrt));
    let found = found.collect::<Result<Vec<_>, Error>>()?;
    if args.json {
        let list: Vec<Value> = found.iter().map(|e| object(&kernel, e)).collect();
        return console::print(&format!("{}\n", json!({ "kernel": kernel.name(), "derivatives": list })));
    }
    let mut text = String::new();
    for explanation in &found {
        describe(&mut text, &kernel, explanation, args.ops);
    }
    console::print(&text)
}

/// `--entry`: the value of an entry, and the terms that it comes from.
fn terms(kernel: &Kernel, entry: &str, args: &ExplainArgs) -> Result<(), Error> {
    let numbers = entry.split_once(',').and_then(|(row, column)| {
        Some((row.trim().parse::<usize>().ok()?, column.trim().parse::<usize>().ok()?))
    });
    let (row, column) = numbers.ok_or_else(|| {
        Error::Usage(format!("`--entry {entry}`: expected a row and a column, such as 3,7"))
    })?;
    let derivative = wanted(kernel, args)?.into_iter().max().unwrap_or(Derivative::Value);
    let mut options = Options::new(derivative);
    options.wrt.clone_from(&args.wrt);
    let mut problem = Problem::prepare(kernel, &data::inputs(kernel, &args.data)?, &options)?;
    let (rows, columns) = (problem.rows(), problem.columns());
    let names = problem.row_name(row).zip(problem.column_name(column));
    let Some((of, by)) = names.filter(|_| derivative.has_matrix()) else {
        let message = format!("`--entry {entry}`: the matrix of `{}` is {rows} x {columns}", kernel.name());
        return Err(Error::Usage(message));
    };
    let mut at = problem.evaluation();
    problem.evaluate(&mut at)?;
    let place = u32::try_from(column).ok().and_then(|column| problem.pattern().find(row, column));
    let value = place.map(|place| at.matrix[place]);
    // An entry that is not stored comes from no term.
    let spans = if place.is_some() { detect::terms(&problem, row, column)? } else { Vec::new() };
    let source = kernel.source();
    let places: Vec<(usize, usize, &str, Option<&str>)> = spans
        .iter()
        .map(|span| {
            let (line, at) = source.line_col(span.start);
            let text = span.slice(&source.text).lines().next().unwrap_or("").trim_end();
            (line, at, text, kernel.term_name(*span))
        })
        .collect();
    if args.json {
        let terms: Vec<Value> = places
            .iter()
            .map(|(line, at, text, name)| json!({ "line": line, "column": at, "text": text, "name": name }))
            .collect();
        let value = value.map(run::number);
        let object =
            json!({ "row": of, "column": by, "stored": place.is_some(), "value": value, "terms": terms });
        return console::print(&format!("{object}\n"));
    }
    let stored =
        value.map_or_else(|| "not stored: zero for all values".to_owned(), |value| format!("{value:?}"));
    let meaning = match derivative {
        Derivative::Hessian => format!("d2 {} / d {of} d {by}", kernel.name()),
        Derivative::Lagrangian => format!("d2 L / d {of} d {by}"),
        Derivative::GaussNewton => format!("(J^T J) of {of} and {by}"),
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian => format!("d {of} / d {by}"),
    };
    let mut text = format!("{} ({row}, {column}) = {meaning}: {stored}\n", derivative.name());
    for (line, at, term, name) in places {
        let name = name.map(|name| format!("\"{name}\": ")).unwrap_or_default();
        let _ = writeln!(text, "  {}:{line}:{at}: {name}{term}", source.name);
    }
    console::print(&text)
}

/// What was asked for, or everything that the kernel has.
fn wanted(kernel: &Kernel, args: &ExplainArgs) -> Result<Vec<Derivative>, Error> {
    let mut list: Vec<Derivative> = match &args.derive {
        Some(list) if list.iter().any(|what| what.product().is_some()) => {
            return Err(Error::usage(
                "products are explained by what they multiply with: ask for grad, jacobian or hessian",
            ));
        }
        Some(list) => list.iter().map(|what| what.derivative()).collect(),
        None if kernel.columns(args.wrt.as_deref())?.is_empty() => vec![Derivative::Value],
        None if kernel.is_energy() => vec![Derivative::Value, Derivative::Gradient, Derivative::Hessian],
        None => vec![Derivative::Value, Derivative::Jacobian],
    };
    list.dedup();
    Ok(list)
}

fn describe(text: &mut String, kernel: &Kernel, explanation: &Explanation, ops: bool) {
    let name = explanation.derivative.name();
    let road = explanation.road.unwrap_or("refused by the structural road");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name:<10} {road}");
    for refusal in &explanation.refused {
        let line = refusal.labels.first().map(|(span, _)| kernel.source().line_col(span.start).0);
        let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let _ = writeln!(text, "           {at}{} [{}]", refusal.message, refusal.code);
        let _ = writeln!(
            text,
            "           `--strategy auto` detects the pattern and forms colored products, or a dense matrix{}; of what follows \
             the matrix is no part",
            by_substitution(explanation.derivative)
        );
    }
    if !explanation.stages.is_empty() {
        let _ = writeln!(text, "           eliminated: {}", explanation.stages.join(", "));
    }
    if explanation.compared {
        let _ = writeln!(
            text,
            "           with data `--strategy auto` counts the work of this against products with directions (`run` says both)"
        );
    }
    for phase in &explanation.phases {
        let _ = writeln!(text, "           {}", line(phase));
    }
    let total: u64 = explanation.phases.iter().map(|p| p.cost.total()).sum();
    let with = match explanation.derivative {
        Derivative::Value => "",
        Derivative::Gradient => ", value included",
        Derivative::Jacobian => ", results included",
        Derivative::Hessian | Derivative::Lagrangian => ", value and gradient included",
        Derivative::GaussNewton => " of the Jacobian, results included",
    };
    let _ = writeln!(
        text,
        "           {} in one iteration of each loop{with}",
        counted(total, "operation", "operations")
    );
    if ops {
        let mut kinds = explanation.operations();
        kinds.sort_by_key(|&(op, count)| (std::cmp::Reverse(count), op));
        let kinds: Vec<String> = kinds.iter().map(|(op, count)| format!("{} {count}", op.name())).collect();
        let _ = writeln!(text, "           {}", kinds.join(", "));
    }
    text.push('\n');
}

fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// What is chosen between where a symmetric matrix is made of products.
fn by_substitution(derivative: Derivative) -> &'static str {
    match derivative {
        Derivative::Hessian | Derivative::Lagrangian => {
            " (with data it counts whether entries are read directly, or solved for in fewer products)"
        }
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian | Derivative::GaussNewton => "",
    }
}

fn line(phase: &Phase) -> String {
    let name = phase.name.as_ref().map(|name| format!(" (\"{name}\")")).unwrap_or_default();
    let place = phase.line.map(|line| format!("line {line}{name}, ")).unwrap_or_default();
    let range = match &phase.range {
        Some(range) => format!("{place}for {range}:"),
        None => "outside of loops:".to_owned(),
    };
    let mut text = format!("{range} {}", counted(phase.cost.total(), "operation", "operations"));
    if phase.cost.entries > 0 {
        let entries = counted(phase.cost.entries, "entry", "entries");
        let _ = write!(text, ", {entries} in {}", counted(phase.cost.emissions, "block", "blocks"));
    }
    if phase.cost.inner_loops {
        text.push_str(" (inner loops counted once)");
    }
    text
}

fn object(kernel: &Kernel, explanation: &Explanation) -> Value {
    let phases: Vec<Value> = explanation
        .phases
        .iter()
        .map(|phase| {
            json!({
                "range": phase.range,
                "line": phase.line,
                "name": phase.name,
                "operations": phase.cost.total(),
                "entries": phase.cost.entries,
                "blocks": phase.cost.emissions,
                "inner_loops": phase.cost.inner_loops,
            })
        })
        .collect();
    let kinds: serde_json::Map<String, Value> = explanation
        .operations()
        .into_iter()
        .map(|(op, count)| (op.name().to_owned(), Value::from(count)))
        .collect();
    let refused: Vec<Value> = explanation
        .refused
        .iter()
        .map(|r| {
            let line = r.labels.first().map(|(span, _)| kernel.source().line_col(span.start).0);
            json!({ "code": r.code, "message": r.message, "line": line })
        })
        .collect();
    json!({
        "derivative": explanation.derivative.name(),
        "road": explanation.road,
        "stages": explanation.stages,
        "compared": explanation.compared,
        "phases": phases,
        "operations": explanation.phases.iter().map(|p| p.cost.total()).sum::<u64>(),
        "operations_by_kind": kinds,
        "refused": refused,
    })
}
