//! Object File Format (`.off`, text): counts, vertices, polygons (split into fans).

use crate::error::Error;
use crate::mesh::types::{Mesh, coordinate, distinct, fan, not_empty};

/// Parses the text of an OFF file; `file` stands for it in messages. Colors and normals after the numbers are skipped.
///
/// # Errors
/// A missing header, too few lines, malformed numbers, indices out of range, with their line.
pub fn parse_off(bytes: &[u8], file: &str) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(k, line)| (k + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty());
    let (number, header) = lines.next().ok_or_else(|| Error::format(file, "the file is empty"))?;
    let mut words = header.split_whitespace();
    if !matches!(words.next(), Some("OFF" | "COFF" | "NOFF" | "CNOFF" | "STOFF")) {
        return Err(Error::line(file, number, "expected `OFF`"));
    }
    let rest: Vec<&str> = words.collect();
    if rest.first() == Some(&"BINARY") {
        return Err(Error::line(file, number, "binary OFF is not supported"));
    }
    let (number, counts) = if rest.is_empty() {
        let (number, line) = lines.next().ok_or_else(|| Error::format(file, "the counts are missing"))?;
        (number, line.split_whitespace().collect())
    } else {
        (number, rest)
    };
    let count = |k: usize| counts.get(k).and_then(|w| w.parse::<usize>().ok());
    let (Some(n_vertices), Some(n_faces)) = (count(0), count(1)) else {
        return Err(Error::line(file, number, "expected the numbers of vertices and faces"));
    };

    let mut mesh = Mesh::default();
    let ended = |what: &str, seen: usize, wanted: usize| {
        Error::format(file, format!("the file ends after {seen} of {wanted} {what}"))
    };
    for k in 0..n_vertices {
        let (number, line) = lines.next().ok_or_else(|| ended("vertices", k, n_vertices))?;
        let mut words = line.split_whitespace();
        let mut c = || coordinate(words.next()).map_err(|m| Error::line(file, number, m));
        mesh.vertices.push([c()?, c()?, c()?]);
    }
    for k in 0..n_faces {
        let (number, line) = lines.next().ok_or_else(|| ended("faces", k, n_faces))?;
        polygon(line, n_vertices, &mut mesh.faces).map_err(|m| Error::line(file, number, m))?;
    }
    not_empty(mesh, file)
}

fn polygon(line: &str, n_vertices: usize, faces: &mut Vec<[i64; 3]>) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let word = words.next().unwrap_or_default();
    let n: usize = word.parse().map_err(|_| format!("`{word}` is not a number of corners"))?;
    if n < 3 {
        return Err(format!("a face of {n} corners"));
    }
    let mut corners = Vec::new();
    for _ in 0..n {
        let word = words.next().ok_or_else(|| format!("a face of {n} corners names {}", corners.len()))?;
        match word.parse::<usize>() {
            Ok(i) if i < n_vertices => corners.push(i as i64),
            _ => return Err(format!("vertex index {word} is out of range (0..{n_vertices})")),
        }
    }
    distinct("face", &corners)?;
    fan(&corners, faces);
    Ok(())
}
