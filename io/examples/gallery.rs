//! Draws generated inputs and the patterns they lead to into a directory: `cargo run --example gallery -- DIR`.

use std::fs;
use std::path::PathBuf;

use spadina_io::array::{Array, NamedArray};
use spadina_io::error::Error;
use spadina_io::generate::kind::{Kind, generate};
use spadina_io::output::write_bytes;
use spadina_io::picture::mesh::{MeshPicture, mesh_svg};
use spadina_io::picture::pattern::{Paint, Pattern, Style};
use spadina_io::picture::png::pattern_png;
use spadina_io::picture::svg::pattern_svg;
use spadina_io::picture::text::{Glyphs, TextStyle, pattern_text};
use spadina_io::picture::view::View;
use spadina_io::sparse_file::csr::Csr;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "gallery".into()));
    fs::create_dir_all(&dir)?;
    let cases = [
        ("cloth_small", Kind::Cloth, 3, 1),
        ("cloth", Kind::Cloth, 12, 3),
        ("cloth_large", Kind::Cloth, 70, 3),
        ("torus", Kind::Torus, 100, 3),
        ("graph", Kind::Graph, 300, 1),
        ("sphere", Kind::Icosphere, 60, 1),
        ("chain", Kind::Rod, 100_000, 1),
    ];
    for (name, kind, size, block) in cases {
        let csr = edge_pattern(&generate(kind, size)?, block)?;
        let pattern =
            Pattern { nrows: csr.nrows, ncols: csr.ncols, row_ptr: &csr.row_ptr, col_idx: &csr.col_idx };
        let style = Style { title: Some(format!("{kind} {size}")), ..Style::default() };
        let classes: Vec<u32> =
            (0..csr.ncols as u32).map(|c| (c / block as u32 * 5 + c % block as u32) % 9).collect();
        for (suffix, paint) in [
            ("", Paint::Plain),
            ("_colors", Paint::Columns(&classes)),
            ("_values", Paint::Values(&csr.values)),
        ] {
            let at = |end: &str| dir.join(format!("{name}{suffix}.{end}"));
            write_bytes(&at("png"), &pattern_png(&pattern, &paint, &style)?)?;
            write_bytes(&at("svg"), pattern_svg(&pattern, &paint, &style)?.as_bytes())?;
            write_bytes(&at("txt"), pattern_text(&pattern, &paint, &TextStyle::default())?.as_bytes())?;
        }
        let shade = TextStyle { glyphs: Glyphs::Shade, ..TextStyle::default() };
        let text = pattern_text(&pattern, &Paint::Plain, &shade)?;
        write_bytes(&dir.join(format!("{name}_shade.txt")), text.as_bytes())?;
    }
    for (name, kind, size, view) in [
        ("torus_mesh", Kind::Torus, 60, View::Orbit { azimuth: 30.0, elevation: 40.0 }),
        ("cloth_mesh", Kind::Cloth, 24, View::Orbit { azimuth: 25.0, elevation: 35.0 }),
        ("sphere_mesh", Kind::Icosphere, 10, View::Orbit { azimuth: 0.0, elevation: 20.0 }),
    ] {
        let arrays = generate(kind, size)?;
        let x = rows(&arrays, "x")?;
        let faces: Vec<[i64; 3]> = find(&arrays, "faces")?.to_i64("faces")?.as_chunks().0.to_vec();
        let area = find(&arrays, "area")?.to_f64("area")?;
        let plain =
            MeshPicture { vertices: &x, faces: &faces, view, title: Some(name), ..MeshPicture::default() };
        write_bytes(&dir.join(format!("{name}.svg")), mesh_svg(&plain)?.as_bytes())?;
        let colored = MeshPicture { scalar: Some(&area), label: Some("area"), ..plain };
        write_bytes(&dir.join(format!("{name}_area.svg")), mesh_svg(&colored)?.as_bytes())?;
    }
    Ok(())
}

fn find<'a>(arrays: &'a [NamedArray], name: &str) -> Result<&'a Array, Error> {
    let found = arrays.iter().find(|a| a.name == name).map(|a| &a.array);
    found.ok_or_else(|| Error::Invalid(format!("no array `{name}`")))
}

fn rows(arrays: &[NamedArray], name: &str) -> Result<Vec<[f64; 3]>, Error> {
    Ok(find(arrays, name)?.to_f64(name)?.as_chunks().0.to_vec())
}

/// The matrix of a quadratic energy on the edges, `block` unknowns a vertex.
fn edge_pattern(arrays: &[NamedArray], block: usize) -> Result<Csr, Error> {
    let n = find(arrays, "x")?.shape()[0];
    let edges = find(arrays, "edges")?.to_usize("edges")?;
    let (mut r, mut c, mut v) = (Vec::new(), Vec::new(), Vec::new());
    for e in edges.as_chunks::<2>().0 {
        for (k, &i) in e.iter().enumerate() {
            for (l, &j) in e.iter().enumerate() {
                for a in 0..block {
                    for b in 0..block {
                        r.push(block * i + a);
                        c.push(block * j + b);
                        v.push((if k == l { 1.0 } else { -1.0 }) / (1.0 + 3.0 * a.abs_diff(b) as f64));
                    }
                }
            }
        }
    }
    Csr::from_triplets(block * n, block * n, &r, &c, &v)
}
