//! `spadina sparsity`: the detected pattern of a kernel's derivatives.

use super::args::SparsityArgs;
use super::staged::Staged;
use super::{color, console, pattern, run};
use serde_json::json;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina_coloring::options::Partition;
use spadina_io::picture::pattern::Paint;

pub(crate) fn sparsity(args: &SparsityArgs) -> Result<(), Error> {
    let kernel = pattern::kernel(&args.kernel.file, args.kernel.kernel.as_deref())?;
    let found = pattern::detected(&kernel, args.order, args.local, args.wrt.as_deref(), &args.data)?;
    if kernel.has_fixed() {
        console::note("the pattern is that of all unknowns; `spadina run` leaves out those that are fixed");
    }
    let (m, n, nnz) = (found.pattern.rows(), found.pattern.cols(), found.pattern.nnz());
    if let Some(path) = &args.output {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if !matches!(ending.as_str(), "mtx" | "npz") {
            return Err(Error::usage("`-o`: a pattern is written as .mtx or .npz"));
        }
        let mut staged = Staged::default();
        staged.add(path, |to| pattern::write(to, &found.pattern))?;
        staged.commit()?;
    }
    if args.json {
        let square = found.derivative == Derivative::Hessian;
        let partition = if square { Partition::Symmetric } else { Partition::Column };
        let (coloring, time) = color::timed(&found.pattern, &color::usual(partition))?;
        let object = json!({
            "m": m,
            "n": n,
            "nnz": nnz,
            "scope": if args.local { "local" } else { "global" },
            "n_colors": coloring.n_colors(),
            "colors": coloring.column_colors(),
            "times_ms": { "detect": run::milliseconds(found.time), "color": run::milliseconds(time) },
        });
        return console::print(&format!("{object}\n"));
    }
    let ms = found.time.as_secs_f64() * 1e3;
    let name = found.derivative.name();
    let scope = if args.local { "at the bound point" } else { "for all values" };
    let head = format!("{name:<10} {m} x {n}, {nnz} entries, {scope}\n");
    console::print(&format!(
        "{head}{}times      detect {ms:.2} ms\n",
        run::picture(&found.pattern, &Paint::Plain)?
    ))
}
