//! The mesh that every reader gives, and the checks they share.

use crate::error::Error;

/// Vertices with the elements that a file or a generator gives; all indices are zero-based and in range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mesh {
    /// Positions, one a vertex.
    pub vertices: Vec<[f64; 3]>,
    /// Texture coordinates, one a vertex, when the file gives exactly that.
    pub uv: Option<Vec<[f64; 2]>>,
    /// Segments the file itself lists (OBJ `l`, Medit `Edges`); see [`Mesh::edges`] for those of all elements.
    pub segments: Vec<[i64; 2]>,
    /// Triangles.
    pub faces: Vec<[i64; 3]>,
    /// Tetrahedra.
    pub tets: Vec<[i64; 4]>,
}

/// Parses a finite coordinate.
pub(crate) fn coordinate(word: Option<&str>) -> Result<f64, String> {
    let word = word.ok_or("a coordinate is missing")?;
    match word.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        Ok(_) => Err(format!("coordinate `{word}` is not finite")),
        Err(_) => Err(format!("`{word}` is not a coordinate")),
    }
}

/// Refuses an element that names a vertex twice.
pub(crate) fn distinct(what: &str, corners: &[i64]) -> Result<(), String> {
    for (k, c) in corners.iter().enumerate() {
        if corners[..k].contains(c) {
            return Err(format!("{what} names vertex {} twice", c + 1));
        }
    }
    Ok(())
}

/// Triangles of a polygon, all from its first corner.
pub(crate) fn fan(corners: &[i64], faces: &mut Vec<[i64; 3]>) {
    for pair in corners[1..].windows(2) {
        faces.push([corners[0], pair[0], pair[1]]);
    }
}

/// A file without vertices is no mesh.
pub(crate) fn not_empty(mesh: Mesh, file: &str) -> Result<Mesh, Error> {
    if mesh.vertices.is_empty() { Err(Error::format(file, "no vertices found")) } else { Ok(mesh) }
}
