//! Sparsity patterns as PNG pictures.

use crate::error::Error;
use crate::index::Index;
use crate::picture::canvas::Canvas;
use crate::picture::frame::{Frame, GLYPH, MORE, SAMPLE, SAMPLES};
use crate::picture::mesh::short;
use crate::picture::palette;
use crate::picture::pattern::{Paint, Pattern, Style};
use crate::picture::raster::Raster;

/// Draws a pattern with ticks, light grid lines, its size and number of entries; the bytes are a PNG file.
///
/// Matrices larger than `style.size` are binned: shades tell how many entries share a pixel, and
/// colors are those of most of them.
///
/// # Errors
/// A pattern or paint that does not fit together.
pub fn pattern_png<P: Index, I: Index>(
    pattern: &Pattern<'_, P, I>,
    paint: &Paint<'_>,
    style: &Style,
) -> Result<Vec<u8>, Error> {
    pattern.check(paint)?;
    let frame = Frame::new(pattern, paint, style);
    let raster = Raster::new(pattern, paint, frame.bins, style.scale);
    let mut canvas = Canvas::new(frame.width, frame.height, palette::PAGE);
    draw_frame(&mut canvas, &frame);
    let (cell, gap) = (frame.cell, frame.gap());
    for (row, col, length, color) in raster.runs() {
        let y = frame.top + row * cell.1;
        if gap == 0 {
            canvas.fill((frame.left + col * cell.0, y), (length * cell.0, cell.1), color);
        } else {
            for c in col..col + length {
                rounded(&mut canvas, (frame.left + c * cell.0, y), cell, gap, color);
            }
        }
    }
    draw_legend(&mut canvas, &frame, &raster, paint);
    encode(&canvas)
}

/// An entry as a rectangle that leaves a gap on two sides and loses its corner points.
fn rounded(
    canvas: &mut Canvas,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    gap: usize,
    color: palette::Rgb,
) {
    let (x, y, width, height) = (x + gap / 2, y + gap / 2, width - gap, height - gap);
    let cut = usize::from(width.min(height) > 5);
    canvas.fill((x + cut, y), (width - 2 * cut, height), color);
    canvas.fill((x, y + cut), (width, height - 2 * cut), color);
}

fn draw_frame(canvas: &mut Canvas, f: &Frame) {
    let corner = (f.left, f.top);
    canvas.fill(corner, f.panel, palette::GROUND);
    if f.gap() > 0 {
        // Every cell is seen: an empty one is a faint square.
        for row in 0..f.bins.0 {
            for col in 0..f.bins.1 {
                let at = (f.left + col * f.cell.0, f.top + row * f.cell.1);
                rounded(canvas, at, f.cell, f.gap(), [238, 240, 246]);
            }
        }
    }
    let text = |s: &str| s.chars().count() * GLYPH.0;
    for tick in &f.x_ticks {
        let x = f.left + tick.at as usize;
        if f.gap() == 0 {
            canvas.fill((x, f.top), (1, f.panel.1), palette::GRID);
        }
        canvas.fill((x, f.top - 5), (1, 4), palette::FRAME);
        let start = x.saturating_sub(text(&tick.label) / 2 - 1);
        if start + text(&tick.label) <= f.width {
            canvas.text((start, f.top - 8 - 14), &tick.label, palette::LABEL);
        }
    }
    for tick in &f.y_ticks {
        let y = f.top + tick.at as usize;
        if f.gap() == 0 {
            canvas.fill((f.left, y), (f.panel.0, 1), palette::GRID);
        }
        canvas.fill((f.left - 5, y), (4, 1), palette::FRAME);
        let start = f.left.saturating_sub(8 + text(&tick.label));
        canvas.text((start, y.saturating_sub(7)), &tick.label, palette::LABEL);
    }
    canvas.outline(corner, f.panel, palette::FRAME);
    if let Some(title) = &f.title {
        canvas.text((f.text_left, f.top - 8 - 14 - 14 - GLYPH.1), title, palette::TITLE);
    }
    canvas.text((f.text_left, f.caption_top()), &f.caption, palette::LABEL);
}

fn draw_legend(canvas: &mut Canvas, f: &Frame, raster: &Raster, paint: &Paint<'_>) {
    if let Some(legend) = &f.legend {
        let y = f.caption_top() + GLYPH.1 + 10;
        canvas.text((f.text_left, y), legend, palette::LABEL);
        let start = f.text_left + (legend.chars().count() + 1) * GLYPH.0;
        let classes = paint.classes().unwrap_or_default();
        if classes.len() > SAMPLES {
            canvas.text((start + SAMPLE * SAMPLES, y), MORE, palette::LABEL);
        }
        for (k, class) in classes.into_iter().take(SAMPLES).enumerate() {
            rounded(canvas, (start + SAMPLE * k, y), (16, 16), 2, palette::class(class));
        }
        return;
    }
    // A ramp at the right of the caption, where there is room.
    let (low, high, ramp): (String, String, fn(f64) -> palette::Rgb) = match paint {
        Paint::Values(_) if raster.max_value > 0.0 => {
            let m = short(raster.max_value);
            (format!("-{m}"), m, |t| palette::diverging(2.0 * t - 1.0))
        }
        Paint::Plain if raster.max_count > 1 => {
            ("1".into(), format!("{} a pixel", raster.max_count), palette::density)
        }
        _ => return,
    };
    let bar = 90;
    let width = (low.len() + high.len() + 2) * GLYPH.0 + bar;
    let end = f.left + f.panel.0;
    if f.text_left + (f.caption.chars().count() + 2) * GLYPH.0 + width > end {
        return;
    }
    let y = f.caption_top();
    let mut x = end - width;
    canvas.text((x, y), &low, palette::LABEL);
    x += (low.len() + 1) * GLYPH.0;
    for k in 0..bar {
        canvas.fill((x + k, y), (1, 13), ramp(k as f64 / (bar - 1) as f64));
    }
    canvas.text((x + bar + GLYPH.0, y), &high, palette::LABEL);
}

fn encode(canvas: &Canvas) -> Result<Vec<u8>, Error> {
    let fail = |e: png::EncodingError| Error::Invalid(format!("cannot encode the picture: {e}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, canvas.width as u32, canvas.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&canvas.pixels).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(bytes)
}
