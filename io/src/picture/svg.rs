//! Sparsity patterns as SVG pictures.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::error::Error;
use crate::index::Index;
use crate::picture::frame::{Frame, GLYPH, MAGNITUDES, MORE, SAMPLE, SAMPLES};
use crate::picture::mesh::short;
use crate::picture::palette::{self, Rgb, hex};
use crate::picture::pattern::{Paint, Pattern, Style};
use crate::picture::raster::Raster;

/// Letters in SVG pictures.
pub(crate) const FONT: &str = "font-family=\"Inter, Helvetica, Arial, sans-serif\"";

/// Draws a pattern with ticks, light grid lines, its size and number of entries, one path a color.
///
/// # Errors
/// A pattern or paint that does not fit together.
pub fn pattern_svg<P: Index, I: Index>(
    pattern: &Pattern<'_, P, I>,
    paint: &Paint<'_>,
    style: &Style,
) -> Result<String, Error> {
    pattern.check(paint)?;
    let f = Frame::new(pattern, paint, style);
    let raster = Raster::new(pattern, paint, f.bins, style.scale);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut out, &f, &raster, paint);
    Ok(out)
}

fn draw(out: &mut String, f: &Frame, raster: &Raster, paint: &Paint<'_>) -> std::fmt::Result {
    let (w, h, l, t) = (f.width, f.height, f.left, f.top);
    let (pw, ph) = f.panel;
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">"#
    )?;
    writeln!(out, r#"<rect width="{w}" height="{h}" fill="{}"/>"#, hex(palette::PAGE))?;
    writeln!(out, r#"<rect x="{l}" y="{t}" width="{pw}" height="{ph}" fill="{}"/>"#, hex(palette::GROUND))?;

    let mut grid = String::new();
    for tick in &f.x_ticks {
        write!(grid, "M{:.1} {t}v{ph}", l as f64 + tick.at)?;
    }
    for tick in &f.y_ticks {
        write!(grid, "M{l} {:.1}h{pw}", t as f64 + tick.at)?;
    }
    if f.gap() == 0 {
        writeln!(out, r#"<path d="{grid}" stroke="{}" fill="none"/>"#, hex(palette::GRID))?;
    }

    let mut paths: BTreeMap<Rgb, String> = BTreeMap::new();
    let separate = f.gap() > 0;
    for (row, col, length, color) in raster.runs() {
        let path = paths.entry(color).or_default();
        if separate {
            for c in col..col + length {
                write!(path, "M{c}.06 {row}.06h.88v.88h-.88z")?;
            }
        } else {
            write!(path, "M{col} {row}h{length}v1h-{length}z")?;
        }
    }
    writeln!(
        out,
        r#"<g transform="translate({l} {t}) scale({} {})" shape-rendering="crispEdges">"#,
        f.cell.0, f.cell.1
    )?;
    for (color, path) in paths {
        writeln!(out, r#"<path fill="{}" d="{path}"/>"#, hex(color))?;
    }
    writeln!(out, "</g>")?;
    writeln!(
        out,
        r#"<rect x="{l}" y="{t}" width="{pw}" height="{ph}" fill="none" stroke="{}"/>"#,
        hex(palette::FRAME)
    )?;

    writeln!(out, r#"<g {FONT} font-size="15" fill="{}">"#, hex(palette::LABEL))?;
    for tick in &f.x_ticks {
        let x = l as f64 + tick.at;
        writeln!(out, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#, t - 9, tick.label)?;
    }
    for tick in &f.y_ticks {
        let y = t as f64 + tick.at + 5.0;
        writeln!(out, r#"<text x="{}" y="{y:.1}" text-anchor="end">{}</text>"#, l - 8, tick.label)?;
    }
    let caption = match (&f.legend, paint) {
        (Some(legend), _) => format!("{} · {legend}", f.caption),
        (None, Paint::Values(_)) => format!("{}{MAGNITUDES}{}", f.caption, short(raster.max_value)),
        (None, _) => f.caption.clone(),
    };
    writeln!(out, r#"<text x="{}" y="{}">{caption}</text>"#, f.text_left, f.caption_top() + 14)?;
    writeln!(out, "</g>")?;
    if let Some(title) = &f.title {
        let y = t - 22 - GLYPH.1;
        let (ink, title, l) = (hex(palette::TITLE), escape(title), f.text_left);
        writeln!(
            out,
            r#"<text x="{l}" y="{y}" {FONT} font-size="18" font-weight="600" fill="{ink}">{title}</text>"#
        )?;
    }
    let classes = paint.classes().unwrap_or_default();
    let y = f.caption_top() + GLYPH.1 + 10;
    if classes.len() > SAMPLES {
        let (x, y, ink) = (f.text_left + SAMPLE * SAMPLES, y + 12, hex(palette::LABEL));
        writeln!(out, r#"<text x="{x}" y="{y}" {FONT} font-size="15" fill="{ink}">{MORE}</text>"#)?;
    }
    for (k, class) in classes.into_iter().take(SAMPLES).enumerate() {
        let x = f.text_left + SAMPLE * k;
        let fill = hex(palette::class(class));
        writeln!(out, r#"<rect x="{x}" y="{y}" width="14" height="14" rx="3" fill="{fill}"/>"#)?;
    }
    writeln!(out, "</svg>")
}

/// Text as it may stand in an SVG file.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
