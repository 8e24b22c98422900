//! `--rows`, `--assemble`, `--lower`, `--upper`, `--fixed`: which entries of the matrix, and how they are stored.

use super::args::{Assemble, Rule, RunArgs};
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::{Fixed, FixedRule, Format, Options, Triangle};
use spadina_io::array::Data;
use spadina_io::npy::read::read_npy;
use spadina_ir::types::SizeExpr;
use std::path::Path;

/// Adds what the arguments say, or the kernel's `#[derive(hessian(lower))]`, to the options.
pub(crate) fn choose(kernel: &Kernel, args: &RunArgs, options: &mut Options) -> Result<(), Error> {
    let chosen = &args.assembly;
    options.rows.clone_from(&chosen.rows);
    if args.derive.is_none() && chosen.rows.is_none() {
        let usual = kernel.default_options();
        if usual.derivative == options.derivative {
            options.assembly.triangle = usual.assembly.triangle;
        }
    }
    if chosen.lower {
        options.assembly.triangle = Triangle::Lower;
    } else if chosen.upper {
        options.assembly.triangle = Triangle::Upper;
    }
    options.assembly.fixed = chosen.fixed.iter().map(|arg| fixed(arg)).collect::<Result<_, Error>>()?;
    options.assembly.fixed_rule = match chosen.fixed_rule {
        Rule::Drop => FixedRule::Drop,
        Rule::Identity => FixedRule::Identity,
    };
    options.assembly.format = match chosen.assemble {
        Assemble::Format(format) => format,
        Assemble::Blocks => {
            let columns = kernel.primal(options.wrt.as_deref())?.columns;
            let width = block(kernel, &columns);
            let height = match &options.rows {
                Some(rows) => block(kernel, &kernel.primal(Some(rows))?.columns),
                None if options.derivative.is_square() => width,
                None => block(
                    kernel,
                    &kernel.lowered().results.iter().map(|result| result.buffer).collect::<Vec<_>>(),
                ),
            };
            Format::Bsr(height, width)
        }
    };
    Ok(())
}

/// The largest block that the last axes of all these arrays are made of.
fn block(kernel: &Kernel, buffers: &[spadina_ir::func::Buffer]) -> usize {
    let literal =
        |dim: &SizeExpr| if dim.terms.is_empty() { usize::try_from(dim.constant).ok() } else { None };
    let width = |&buffer: &spadina_ir::func::Buffer| -> usize {
        let dims = &kernel.func().buffers[buffer].dims;
        dims.iter().rev().map_while(literal).product()
    };
    buffers.iter().map(width).fold(0, gcd).max(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `FILE` or `NAME=FILE`.
fn fixed(arg: &str) -> Result<Fixed, Error> {
    let (name, path) = super::direction::named(arg);
    let array = read_npy(Path::new(path))?;
    match (array.data(), name) {
        (Data::Bool(mask), None) => Ok(Fixed::Mask(mask.clone())),
        (Data::Bool(mask), Some(name)) => Ok(Fixed::Of(name.to_owned(), mask.clone())),
        (Data::F64(_) | Data::F32(_), _) => Err(Error::Data(format!(
            "`{path}`: fixed unknowns are truth values or whole numbers, not floats"
        ))),
        (_, Some(_)) => Err(Error::Data(format!(
            "`{path}`: a list of numbers counts over all unknowns and goes without a name; with one, give truth values"
        ))),
        (_, None) => {
            let list = array.to_i64(path)?;
            let position = |&n: &i64| {
                usize::try_from(n).map_err(|_| {
                    Error::Data(format!("`{path}`: unknown {n} does not exist; they count from 0"))
                })
            };
            Ok(Fixed::List(list.iter().map(position).collect::<Result<_, Error>>()?))
        }
    }
}
