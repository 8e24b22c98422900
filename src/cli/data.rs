//! `--data`, `--size` and `--mesh`: from files and numbers to inputs.
//!
//! Without any of them (or with numbers only) a kernel runs on the input its `#[example(..)]` names. A mesh comes first; then every
//! `--data` in order, so that later ones override earlier ones.

use super::args::DataArgs;
use super::{console, example, mesh};
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_ir::types::Ty;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One `--data`.
enum Binding<'a> {
    Directory(&'a Path),
    File(&'a str, &'a Path),
    Number(&'a str, &'a str, Array),
}

/// Everything the arguments bind.
pub(crate) fn inputs(kernel: &Kernel, args: &DataArgs) -> Result<Inputs, Error> {
    let bindings = args.data.iter().map(|arg| binding(arg)).collect::<Result<Vec<_>, Error>>()?;
    let sizes = args.size.iter().map(|arg| size(arg)).collect::<Result<Vec<_>, Error>>()?;
    let only_numbers = bindings.iter().all(|b| match b {
        Binding::Number(..) => true,
        Binding::File(name, _) => is_multiplier(kernel, name),
        Binding::Directory(_) => false,
    });
    let mut inputs = Inputs::new();
    if only_numbers && args.mesh.is_none() {
        example::bind(kernel, &sizes, &mut inputs)?;
    }
    for (name, value) in sizes {
        inputs.size(name, value);
    }
    if let Some(path) = &args.mesh {
        mesh::bind(kernel, path, &mut inputs)?;
    }
    let known = parameters(kernel);
    for binding in bindings {
        match binding {
            Binding::Directory(path) => directory(kernel, path, &known, &mut inputs)?,
            Binding::File(name, path) => {
                known_name(kernel, &known, name)?;
                if !path.exists() {
                    let value = path.display();
                    return Err(Error::Data(format!(
                        "`--data {name}={value}`: `{value}` is neither a number nor a file"
                    )));
                }
                inputs.set_from(name, &read_npy(path)?, path.display().to_string());
            }
            Binding::Number(name, text, array) => {
                known_name(kernel, &known, name)?;
                check_whole(kernel, name, text, &array)?;
                inputs.set(name, &array);
            }
        }
    }
    Ok(inputs)
}

/// What the names of multipliers start with.
const MULTIPLIERS: &str = "multipliers.";

/// Whether multipliers are among the arguments.
pub(crate) fn has_multipliers(kernel: &Kernel, args: &DataArgs) -> bool {
    let known = parameters(kernel);
    args.data
        .iter()
        .filter_map(|arg| arg.split_once('='))
        .any(|(name, _)| name.starts_with(MULTIPLIERS) && !known.contains(name))
}

fn parameters(kernel: &Kernel) -> BTreeSet<String> {
    let func = kernel.func();
    let buffers = kernel.lowered().params.iter().flat_map(|p| &p.buffers);
    buffers.map(|&b| func.buffers[b].name.clone()).collect()
}

/// Whether the name is that of multipliers of a result.
fn is_multiplier(kernel: &Kernel, name: &str) -> bool {
    let result = name.strip_prefix(MULTIPLIERS);
    result.is_some_and(|result| kernel.lowered().results.iter().any(|r| r.name == result))
}

fn known_name(kernel: &Kernel, known: &BTreeSet<String>, name: &str) -> Result<(), Error> {
    if known.contains(name) || is_multiplier(kernel, name) {
        return Ok(());
    }
    if let Some(result) = name.strip_prefix(MULTIPLIERS) {
        let list: Vec<&str> = kernel.lowered().results.iter().map(|r| r.name.as_str()).collect();
        return Err(Error::Data(format!(
            "`{}` has no result `{result}` to multiply (it has: {})",
            kernel.name(),
            list.join(", ")
        )));
    }
    if kernel.lowered().params.iter().any(|p| p.name == name) {
        // A record: binding it says what its fields are.
        return Ok(());
    }
    let list: Vec<&str> = kernel.lowered().params.iter().map(|p| p.name.as_str()).collect();
    Err(Error::Data(format!("`{}` has no parameter `{name}` (it has: {})", kernel.name(), list.join(", "))))
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn binding(arg: &str) -> Result<Binding<'_>, Error> {
    match arg.split_once('=') {
        Some((name, value)) if is_name(name) => match number(value) {
            _ if value.is_empty() => Err(Error::Usage(format!("`--data {arg}`: nothing after `=`"))),
            Some(array) => Ok(Binding::Number(name, value, array)),
            None => Ok(Binding::File(name, Path::new(value))),
        },
        Some(("", _)) => Err(Error::Usage(format!("`--data {arg}`: nothing before `=`"))),
        _ => Ok(Binding::Directory(Path::new(arg))),
    }
}

/// A number or truth value written on the command line.
fn number(text: &str) -> Option<Array> {
    let data = match text {
        "true" => Data::Bool(vec![true]),
        "false" => Data::Bool(vec![false]),
        _ => match text.parse::<i64>() {
            Ok(n) => Data::I64(vec![n]),
            Err(_) => Data::F64(vec![text.parse().ok()?]),
        },
    };
    Array::new(Vec::new(), data).ok()
}

/// Whether a number suits a parameter that holds no floats.
fn check_whole(kernel: &Kernel, name: &str, text: &str, array: &Array) -> Result<(), Error> {
    let func = kernel.func();
    let elem = func.buffer_named(name).map(|buffer| func.buffers[buffer].elem);
    let wanted = match (elem, array.data()) {
        (Some(Ty::Int), Data::F64(_)) => "whole numbers of 64 bits",
        (Some(Ty::Bool), Data::F64(_)) => "`true` or `false`",
        _ => return Ok(()),
    };
    Err(Error::Data(format!("`--data {name}={text}`: `{name}` takes {wanted}")))
}

/// `N=64`. What is no number is a mistake in usage; a number that does not fit is bad data.
fn size(arg: &str) -> Result<(String, i64), Error> {
    let parts = arg.split_once('=').filter(|(name, _)| is_name(name));
    let (name, value) = parts.ok_or_else(|| Error::Usage(format!("`--size {arg}`: expected NAME=N")))?;
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::Usage(format!("`--size {arg}`: `{value}` is not a whole number")));
    }
    let value =
        value.parse().map_err(|_| Error::Data(format!("size `{name}` = {value} does not fit 64 bits")))?;
    if value < 0 {
        return Err(Error::Data(format!("size `{name}` is {value}; sizes are 0 or more")));
    }
    Ok((name.to_owned(), value))
}

/// Binds every `NAME.npy` of a directory that a parameter asks for; the others are named in a note.
fn directory(
    kernel: &Kernel,
    path: &Path,
    known: &BTreeSet<String>,
    inputs: &mut Inputs,
) -> Result<(), Error> {
    let fail = |e: std::io::Error| Error::Data(format!("cannot read directory `{}`: {e}", path.display()));
    if path.is_file() {
        return Err(Error::Data(format!(
            "`{}` is not a directory; bind a single file as NAME=FILE.npy",
            path.display()
        )));
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    files.sort();
    let mut skipped = Vec::new();
    for file in files {
        if file.extension().is_none_or(|e| e != "npy") {
            continue;
        }
        let Some(stem) = file.file_stem().and_then(|s| s.to_str()) else { continue };
        if known.contains(stem) || is_multiplier(kernel, stem) {
            inputs.set_from(stem, &read_npy(&file)?, file.display().to_string());
        } else {
            skipped.push(format!("{stem}.npy"));
        }
    }
    if !skipped.is_empty() {
        let list = skipped.join(", ");
        console::note(&format!("skipped in {}: {list} (no such parameters)", path.display()));
    }
    Ok(())
}
