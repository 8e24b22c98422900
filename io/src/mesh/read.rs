//! Reads a mesh, the format chosen by the end of the file's name.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::mesh::types::Mesh;
use crate::mesh::{medit, obj, off};

/// Reads `.obj`, `.off` or `.mesh` (Medit, text).
///
/// # Errors
/// Another ending, and whatever is wrong with the file, with its line.
pub fn read_mesh(path: &Path) -> Result<Mesh, Error> {
    let name = path.display().to_string();
    let parse = match path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).as_deref() {
        Some("obj") => obj::parse_obj,
        Some("off") => off::parse_off,
        Some("mesh") => medit::parse_medit,
        _ => return Err(Error::format(&name, "the name of a mesh file must end in .obj, .off or .mesh")),
    };
    let bytes = fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    // Editors may put a byte order mark in front.
    parse(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes), &name)
}
