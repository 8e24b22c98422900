//! `spadina gen`: generated inputs as `.npy` files.

use super::args::GenArgs;
use super::console;
use super::staged::Staged;
use spadina::error::Error;
use spadina_io::array::Shape;
use spadina_io::generate::kind::{Kind, generate as make};
use spadina_io::npy::write::write_npy;
use std::fmt::Write;

pub(crate) fn generate(args: &GenArgs) -> Result<(), Error> {
    let kind: Kind = args.kind.parse().map_err(|e: spadina_io::error::Error| Error::Usage(e.to_string()))?;
    let digits = args.size.strip_prefix(['-', '+']).unwrap_or(&args.size);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::Usage(format!("`--size {}` is not a whole number", args.size)));
    }
    let size = args.size.parse().map_err(|_| Error::Data(format!("size {} is out of range", args.size)))?;
    let arrays = make(kind, size)?;
    let dir = &args.output;
    std::fs::create_dir_all(dir)
        .map_err(|e| Error::Data(format!("cannot make directory `{}`: {e}", dir.display())))?;
    let mut staged = Staged::default();
    let mut text = String::new();
    for named in &arrays {
        let path = dir.join(format!("{}.npy", named.name));
        staged.add(&path, |to| Ok(write_npy(to, &named.array)?))?;
        let (shape, ty) = (Shape(named.array.shape()), named.array.data().type_name());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {ty} {shape}", path.display());
    }
    staged.commit()?;
    console::print(&text)
}
