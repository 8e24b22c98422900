//! Triangle meshes as SVG pictures: filled by a value a face, shaded, or as wires.

use std::fmt::Write;

use crate::error::Error;
use crate::picture::palette::{self, Rgb, hex};
use crate::picture::svg::{FONT, escape};
use crate::picture::view::View;
use crate::vec3::{cross, norm, sub};

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct MeshPicture<'a> {
    /// Positions; a mesh in the plane has zero third coordinates (see [`flat`]).
    pub vertices: &'a [[f64; 3]],
    /// Triangles.
    pub faces: &'a [[i64; 3]],
    /// One value a face, shown by color with a scale beside the picture.
    pub scalar: Option<&'a [f64]>,
    /// From where it is seen.
    pub view: View,
    /// Longer side of the drawing in pixels.
    pub size: usize,
    /// A line above the picture.
    pub title: Option<&'a str>,
    /// What the colors show, written at the scale.
    pub label: Option<&'a str>,
    /// Whether edges are drawn.
    pub wires: bool,
}

impl Default for MeshPicture<'_> {
    fn default() -> Self {
        Self {
            vertices: &[],
            faces: &[],
            scalar: None,
            view: View::Plane,
            size: 800,
            title: None,
            label: None,
            wires: true,
        }
    }
}

/// Points of the plane as points in space.
pub fn flat(points: &[[f64; 2]]) -> Vec<[f64; 3]> {
    points.iter().map(|p| [p[0], p[1], 0.0]).collect()
}

/// Draws a mesh, far faces first.
///
/// # Errors
/// A face that names no vertex, values that are not one a face, positions that are not finite.
pub fn mesh_svg(picture: &MeshPicture<'_>) -> Result<String, Error> {
    let MeshPicture { vertices, faces, .. } = *picture;
    if let Some((k, f)) =
        faces.iter().enumerate().find(|(_, f)| f.iter().any(|&v| v < 0 || v as u64 >= vertices.len() as u64))
    {
        return Err(Error::Invalid(format!("face {k} {f:?} names no vertex of {}", vertices.len())));
    }
    if let Some(scalar) = picture.scalar.filter(|s| s.len() != faces.len()) {
        return Err(Error::Invalid(format!("{} values for {} faces", scalar.len(), faces.len())));
    }
    if let Some(v) = vertices.iter().position(|p| p.iter().any(|c| !c.is_finite())) {
        return Err(Error::Invalid(format!("vertex {v} is not finite: {:?}", vertices[v])));
    }
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut out, picture);
    Ok(out)
}

fn draw(out: &mut String, picture: &MeshPicture<'_>) -> std::fmt::Result {
    const MARGIN: f64 = 28.0;
    let eye: Vec<[f64; 3]> = picture.vertices.iter().map(|&p| picture.view.project(p)).collect();
    let bound = |c: usize, pick: fn(f64, f64) -> f64| eye.iter().map(|p| p[c]).reduce(pick).unwrap_or(0.0);
    let (x0, x1, y0, y1) = (bound(0, f64::min), bound(0, f64::max), bound(1, f64::min), bound(1, f64::max));
    let extent = (x1 - x0).max(y1 - y0);
    let scale = if extent > 0.0 { picture.size.clamp(32, 8192) as f64 / extent } else { 1.0 };
    let top = MARGIN + if picture.title.is_some() { 34.0 } else { 0.0 };
    let (w, h) = (scale * (x1 - x0), scale * (y1 - y0));
    let bar = if picture.scalar.is_some() { 110.0 } else { 0.0 };
    let (width, height) =
        ((w + 2.0 * MARGIN + bar).max(160.0), h.max(if bar > 0.0 { 160.0 } else { 0.0 }) + top + MARGIN);
    let at = |v: i64| {
        let p = eye[v as usize];
        (MARGIN + scale * (p[0] - x0), top + scale * (y1 - p[1]))
    };

    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}">"#
    )?;
    writeln!(out, r#"<rect width="100%" height="100%" fill="{}"/>"#, hex(palette::PAGE))?;
    let range = picture.scalar.map(finite_range);
    let mut order: Vec<usize> = (0..picture.faces.len()).collect();
    let depth = |f: usize| picture.faces[f].iter().map(|&v| eye[v as usize][2]).sum::<f64>();
    order.sort_by(|&a, &b| depth(a).total_cmp(&depth(b)));

    let average = (w * h / picture.faces.len().max(1) as f64).sqrt();
    let stroke = (0.05 * average).clamp(0.15, 1.2);
    writeln!(out, r#"<g stroke-linejoin="round" stroke-width="{stroke:.2}">"#)?;
    for f in order {
        let corners = picture.faces[f];
        // In the plane there is no relief to show: colors stay those of the scale.
        let lit = if picture.view == View::Plane { 1.0 } else { light(corners.map(|v| eye[v as usize])) };
        let fill = match (picture.scalar, range) {
            (Some(values), Some((low, high))) => {
                let t = if high > low { (values[f] - low) / (high - low) } else { 0.5 };
                dimmed(palette::field(t), 0.75 + 0.25 * lit)
            }
            _ => dimmed([206, 217, 240], 0.55 + 0.45 * lit),
        };
        let edge = if picture.wires { dimmed(fill, 0.72) } else { fill };
        let [a, b, c] = corners.map(at);
        writeln!(
            out,
            r#"<path d="M{:.2} {:.2}L{:.2} {:.2}L{:.2} {:.2}z" fill="{}" stroke="{}"/>"#,
            a.0,
            a.1,
            b.0,
            b.1,
            c.0,
            c.1,
            hex(fill),
            hex(edge)
        )?;
    }
    writeln!(out, "</g>")?;
    if let Some(title) = picture.title {
        let (ink, title) = (hex(palette::TITLE), escape(title));
        writeln!(
            out,
            r#"<text x="{MARGIN}" y="40" {FONT} font-size="18" font-weight="600" fill="{ink}">{title}</text>"#
        )?;
    }
    if let Some((low, high)) = range {
        let x = MARGIN + w.max(160.0 - 2.0 * MARGIN - bar).max(0.0) + 24.0;
        color_bar(out, (x, top), h.clamp(120.0, 320.0), (low, high), picture.label)?;
    }
    writeln!(out, "</svg>")
}

fn color_bar(
    out: &mut String,
    (x, y): (f64, f64),
    height: f64,
    (low, high): (f64, f64),
    label: Option<&str>,
) -> std::fmt::Result {
    const STEPS: usize = 64;
    let step = height / STEPS as f64;
    for k in 0..STEPS {
        let fill = hex(palette::field(1.0 - k as f64 / (STEPS - 1) as f64));
        let y = y + k as f64 * step;
        writeln!(
            out,
            r#"<rect x="{x:.1}" y="{y:.2}" width="14" height="{:.2}" fill="{fill}"/>"#,
            step + 0.3
        )?;
    }
    writeln!(out, r#"<g {FONT} font-size="13" fill="{}">"#, hex(palette::LABEL))?;
    let mid = f64::midpoint(low, high);
    for (value, at) in [(high, y + 10.0), (mid, y + 0.5 * height + 4.0), (low, y + height)] {
        writeln!(out, r#"<text x="{:.1}" y="{at:.1}">{}</text>"#, x + 20.0, short(value))?;
    }
    if let Some(label) = label {
        writeln!(out, r#"<text x="{x:.1}" y="{:.1}">{}</text>"#, y + height + 22.0, escape(label))?;
    }
    writeln!(out, "</g>")
}

/// A number in few characters.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (0.01..10_000.0).contains(&size) {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

fn finite_range(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    let range = finite.fold(None, |r: Option<(f64, f64)>, v| {
        Some(r.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    });
    range.unwrap_or((0.0, 0.0))
}

/// How much light falls on a triangle from above the eye's left shoulder, 0..1, the same from both sides.
fn light([a, b, c]: [[f64; 3]; 3]) -> f64 {
    const FROM: [f64; 3] = [-0.30, 0.45, 0.84];
    let n = cross(sub(b, a), sub(c, a));
    let length = norm(n);
    if length == 0.0 {
        return 1.0;
    }
    let toward = if n[2] < 0.0 { -1.0 } else { 1.0 };
    let cosine = toward * (n[0] * FROM[0] + n[1] * FROM[1] + n[2] * FROM[2]) / length;
    cosine.clamp(0.0, 1.0)
}

fn dimmed(c: Rgb, factor: f64) -> Rgb {
    c.map(|v| (f64::from(v) * factor).round().clamp(0.0, 255.0) as u8)
}
