//! Medit meshes (`.mesh`, text): vertices, edges, triangles, quadrilaterals (split), tetrahedra.
//!
//! Other sections are skipped; volume elements other than tetrahedra are refused, for dropping them would change
//! the mesh. Reference: P. Frey, MEDIT: an interactive mesh visualization software, INRIA RT-0253, 2001.

use crate::error::Error;
use crate::mesh::types::{Mesh, coordinate, distinct, fan, not_empty};

/// Parses the text of a Medit file; `file` stands for it in messages.
///
/// # Errors
/// A missing header, another dimension than 2 or 3, malformed numbers, indices out of range, with their line.
pub fn parse_medit(bytes: &[u8], file: &str) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.lines().enumerate().flat_map(|(k, line)| {
        line.split('#').next().unwrap_or_default().split_whitespace().map(move |word| (k + 1, word))
    });
    let mut tokens = Tokens { words: words.collect(), at: 0 };
    let mut mesh = Mesh::default();
    let done = sections(&mut tokens, &mut mesh);
    done.map_err(|message| Error::line(file, tokens.line(), message))?;
    not_empty(mesh, file)
}

/// The words of the file with their line numbers.
struct Tokens<'a> {
    words: Vec<(usize, &'a str)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).map(|w| w.1);
        self.at += 1;
        word
    }

    fn next_number_like(&self) -> bool {
        self.words.get(self.at).is_some_and(|w| !w.1.starts_with(|c: char| c.is_ascii_alphabetic()))
    }

    /// The line of the word last taken.
    fn line(&self) -> usize {
        let last = self.at.saturating_sub(1).min(self.words.len().saturating_sub(1));
        self.words.get(last).map_or(1, |w| w.0)
    }

    fn count(&mut self) -> Result<usize, String> {
        let word = self.next().ok_or("a count is missing at the end of the file")?;
        word.parse().map_err(|_| format!("`{word}` is not a count"))
    }

    /// One element: its corners, zero-based, and the reference number behind them.
    fn element<const N: usize>(&mut self, what: &str, n_vertices: usize) -> Result<[i64; N], String> {
        let mut corners = [0; N];
        for corner in &mut corners {
            let word = self.next().ok_or_else(|| format!("the file ends inside a {what}"))?;
            match word.parse::<usize>() {
                Ok(i) if 1 <= i && i <= n_vertices => *corner = i as i64 - 1,
                _ => return Err(format!("vertex index {word} is out of range (1..={n_vertices})")),
            }
        }
        distinct(what, &corners)?;
        self.reference()?;
        Ok(corners)
    }

    fn reference(&mut self) -> Result<(), String> {
        let word = self.next().ok_or("the file ends before a reference number")?;
        word.parse::<i64>().map(|_| ()).map_err(|_| format!("`{word}` is not a reference number"))
    }
}

fn sections(tokens: &mut Tokens<'_>, mesh: &mut Mesh) -> Result<(), String> {
    let header = tokens.next();
    if !header.is_some_and(|w| w.eq_ignore_ascii_case("MeshVersionFormatted")) {
        return Err("expected `MeshVersionFormatted`".into());
    }
    let version = tokens.next().unwrap_or_default();
    if !matches!(version, "1" | "2" | "3" | "4") {
        return Err(format!("Medit version `{version}` is not supported (1 to 4 are)"));
    }
    let mut dimension = 3;
    while let Some(keyword) = tokens.next() {
        let n_vertices = mesh.vertices.len();
        match keyword.to_ascii_lowercase().as_str() {
            "dimension" => {
                dimension = tokens.count()?;
                if !matches!(dimension, 2 | 3) {
                    return Err(format!("dimension {dimension} is not supported (2 and 3 are)"));
                }
            }
            "vertices" => {
                if !mesh.vertices.is_empty() {
                    return Err("a second section of vertices".into());
                }
                for _ in 0..tokens.count()? {
                    let mut at = [0.0; 3];
                    for c in &mut at[..dimension] {
                        *c = coordinate(tokens.next())?;
                    }
                    tokens.reference()?;
                    mesh.vertices.push(at);
                }
            }
            "edges" => {
                for _ in 0..tokens.count()? {
                    mesh.segments.push(tokens.element("edge", n_vertices)?);
                }
            }
            "triangles" => {
                for _ in 0..tokens.count()? {
                    mesh.faces.push(tokens.element("triangle", n_vertices)?);
                }
            }
            "quadrilaterals" => {
                for _ in 0..tokens.count()? {
                    fan(&tokens.element::<4>("quadrilateral", n_vertices)?, &mut mesh.faces);
                }
            }
            "tetrahedra" => {
                for _ in 0..tokens.count()? {
                    mesh.tets.push(tokens.element("tetrahedron", n_vertices)?);
                }
            }
            "hexahedra" | "hexaedra" | "prisms" | "pyramids" => {
                if tokens.count()? > 0 {
                    return Err(format!("`{keyword}` are not supported (tetrahedra are)"));
                }
            }
            "end" => return Ok(()),
            _ if !keyword.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                return Err(format!(
                    "expected a section, found `{}`",
                    keyword.chars().take(20).collect::<String>()
                ));
            }
            _ => {
                while tokens.next_number_like() {
                    tokens.at += 1;
                }
            }
        }
    }
    Ok(())
}
