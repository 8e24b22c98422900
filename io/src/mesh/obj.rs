//! Wavefront OBJ: positions, texture coordinates, polygons (split into fans) and polylines.
//!
//! Negative indices count from the last element read so far. Normals, groups and materials are skipped.

use crate::error::Error;
use crate::mesh::types::{Mesh, coordinate, distinct, fan, not_empty};

/// Parses the text of an OBJ file; `file` stands for it in messages.
///
/// Texture coordinates are kept when every vertex has exactly one.
///
/// # Errors
/// Malformed numbers, indices out of range, faces of fewer than three corners, with their line.
pub fn parse_obj(bytes: &[u8], file: &str) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::default();
    let mut joined = String::new();
    for (number, line) in text.lines().enumerate() {
        // A backslash at its end continues a line.
        if let Some(part) = line.trim_end().strip_suffix('\\') {
            joined.push_str(part);
            joined.push(' ');
            continue;
        }
        let done = if joined.is_empty() {
            reader.statement(line)
        } else {
            joined.push_str(line);
            reader.statement(&std::mem::take(&mut joined))
        };
        done.map_err(|message| Error::line(file, number + 1, message))?;
    }
    not_empty(reader.finish(), file)
}

#[derive(Default)]
struct Reader {
    mesh: Mesh,
    texture: Vec<[f64; 2]>,
    /// Texture coordinate of each vertex, as far as faces name it.
    texture_of: Vec<Option<usize>>,
    /// Some vertex has two texture coordinates: a seam.
    seam: bool,
}

impl Reader {
    fn statement(&mut self, line: &str) -> Result<(), String> {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("v") => {
                let mut c = || coordinate(words.next());
                self.mesh.vertices.push([c()?, c()?, c()?]);
            }
            Some("vt") => {
                let u = coordinate(words.next())?;
                let v = words.next().map_or(Ok(0.0), |w| coordinate(Some(w)))?;
                self.texture.push([u, v]);
            }
            Some("f") => {
                let corners = words.map(|w| self.corner(w)).collect::<Result<Vec<_>, _>>()?;
                if corners.len() < 3 {
                    return Err(format!("a face of {} corners", corners.len()));
                }
                distinct("face", &corners)?;
                fan(&corners, &mut self.mesh.faces);
            }
            Some("l") => {
                let corners = words.map(|w| self.corner(w)).collect::<Result<Vec<_>, _>>()?;
                for pair in corners.windows(2) {
                    distinct("line", pair)?;
                    self.mesh.segments.push([pair[0], pair[1]]);
                }
            }
            // Normals and groups have words of their own; a misspelled vertex would shift all that follow.
            Some(word) if word.starts_with(['v', 'f']) && !matches!(word, "vn" | "vp" | "fo") => {
                return Err(format!("`{word}` is not `v`, `vt`, `vn` or `f`"));
            }
            _ => {}
        }
        Ok(())
    }

    /// One corner, `v`, `v/vt`, `v//vn` or `v/vt/vn`.
    fn corner(&mut self, word: &str) -> Result<i64, String> {
        let mut parts = word.split('/');
        let vertex = resolve(parts.next().unwrap_or_default(), self.mesh.vertices.len(), "vertex")?;
        if let Some(part) = parts.next().filter(|p| !p.is_empty()) {
            let texture = resolve(part, self.texture.len(), "texture coordinate")?;
            if self.texture_of.len() <= vertex {
                self.texture_of.resize(vertex + 1, None);
            }
            self.seam |= self.texture_of[vertex].is_some_and(|t| t != texture);
            self.texture_of[vertex] = Some(texture);
        }
        Ok(vertex as i64)
    }

    fn finish(mut self) -> Mesh {
        let n = self.mesh.vertices.len();
        self.texture_of.resize(n, None);
        if !self.seam && self.texture.len() == n {
            // Vertices that no face gives a texture coordinate keep the one of their own number.
            let of = self.texture_of.iter().enumerate().map(|(v, t)| self.texture[t.unwrap_or(v)]);
            self.mesh.uv = Some(of.collect());
        }
        self.mesh
    }
}

/// A one-based or negative index as a zero-based one.
fn resolve(word: &str, count: usize, what: &str) -> Result<usize, String> {
    let index: i64 = word.parse().map_err(|_| format!("`{word}` is not a {what} index"))?;
    let zero_based = if index > 0 { index - 1 } else { index.saturating_add(count as i64) };
    match usize::try_from(zero_based) {
        Ok(i) if index != 0 && i < count => Ok(i),
        _ => Err(format!("{what} index {index} is out of range ({count} defined so far)")),
    }
}
