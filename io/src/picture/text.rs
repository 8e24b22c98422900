//! Sparsity patterns as text: dots for small matrices, braille for large ones, shades for density.

use std::fmt::Write;

use crate::error::Error;
use crate::index::Index;
use crate::picture::palette::{self, Rgb};
use crate::picture::pattern::{Paint, Pattern, Scale};
use crate::picture::raster::{Raster, bin};

/// What a character stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Dots when the matrix fits, braille when it does not.
    #[default]
    Auto,
    /// A sign for every place: `●` an entry (its color's digit or letter when colors are given), `⋅` none.
    Dots,
    /// Eight points a character: a point is set when any entry falls into it.
    Braille,
    /// One of four shades a character, by the number of entries.
    Shade,
}

/// Size and looks of a text.
#[derive(Debug, Clone)]
pub struct TextStyle {
    /// Most characters across, frame included; at least 12.
    pub width: usize,
    /// Most lines of the matrix; at least 4.
    pub height: usize,
    /// What a character stands for.
    pub glyphs: Glyphs,
    /// Whether terminal color sequences may be used.
    pub color: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self { width: 80, height: 40, glyphs: Glyphs::Auto, color: false }
    }
}

/// Largest extent that [`Glyphs::Auto`] draws with dots.
const DOTS_MAX: usize = 36;

/// Draws a pattern as framed lines with a caption of size and number of entries.
///
/// ```
/// use spadina_io::picture::pattern::{Paint, Pattern};
/// use spadina_io::picture::text::{TextStyle, pattern_text};
/// let pattern = Pattern { nrows: 2, ncols: 3, row_ptr: &[0_usize, 2, 3], col_idx: &[0_usize, 2, 1] };
/// let text = pattern_text(&pattern, &Paint::Plain, &TextStyle::default())?;
/// assert_eq!(text, "╭───────╮\n│ ● ⋅ ● │\n│ ⋅ ● ⋅ │\n╰───────╯\n  2 × 3 · 3 entries · 50 %\n");
/// # Ok::<(), spadina_io::error::Error>(())
/// ```
///
/// # Errors
/// A pattern or paint that does not fit together.
pub fn pattern_text<P: Index, I: Index>(
    pattern: &Pattern<'_, P, I>,
    paint: &Paint<'_>,
    style: &TextStyle,
) -> Result<String, Error> {
    pattern.check(paint)?;
    let (width, height) = (style.width.max(12) - 2, style.height.max(4));
    let small =
        pattern.ncols <= DOTS_MAX && 2 * pattern.ncols < width && pattern.nrows <= height.min(DOTS_MAX);
    let mut caption = pattern.caption();
    let lines = match style.glyphs {
        Glyphs::Auto if small => dots(pattern, paint, style.color),
        Glyphs::Dots => dots(pattern, paint, style.color),
        Glyphs::Auto | Glyphs::Braille => {
            let bins = fit(pattern.nrows, pattern.ncols, 4 * height, 2 * width, 1.0);
            note_bins(&mut caption, pattern, bins, "a dot");
            braille(&Raster::new(pattern, paint, bins, Scale::Log), style.color)
        }
        Glyphs::Shade => {
            let bins = fit(pattern.nrows, pattern.ncols, height, width, 0.5);
            note_bins(&mut caption, pattern, bins, "a sign");
            shades(&Raster::new(pattern, paint, bins, Scale::Log), style.color)
        }
    };
    if let Some(n) = paint.class_count() {
        let _ = write!(caption, " · {n} {}", if n == 1 { "color" } else { "colors" });
    }
    Ok(framed(&lines, &caption))
}

/// A line of the picture with the number of characters it shows.
struct Line {
    text: String,
    shown: usize,
}

fn framed(lines: &[Line], caption: &str) -> String {
    let width = lines.iter().map(|l| l.shown).max().unwrap_or(0);
    let rule = "─".repeat(width);
    let mut out = format!("╭{rule}╮\n");
    for line in lines {
        let _ = writeln!(out, "│{}{}│", line.text, " ".repeat(width - line.shown));
    }
    let _ = writeln!(out, "╰{rule}╯\n  {caption}");
    out
}

/// Bins that fit, squares on the screen: `ratio` is the height of a bin's row over the width of its column, inverted.
fn fit(nrows: usize, ncols: usize, max_rows: usize, max_cols: usize, ratio: f64) -> (usize, usize) {
    let per_row = (nrows as f64 / max_rows as f64).max(ncols as f64 / max_cols as f64 / ratio).max(1.0);
    let per_col = (per_row * ratio).max(1.0);
    let bins =
        |n: usize, per: f64, max: usize| ((n as f64 / per).ceil() as usize).clamp(n.min(4), n.min(max));
    (bins(nrows, per_row, max_rows), bins(ncols, per_col, max_cols))
}

fn note_bins<P: Index, I: Index>(
    caption: &mut String,
    pattern: &Pattern<'_, P, I>,
    (rows, cols): (usize, usize),
    what: &str,
) {
    if rows < pattern.nrows || cols < pattern.ncols {
        let (r, c) = (pattern.nrows as f64 / rows.max(1) as f64, pattern.ncols as f64 / cols.max(1) as f64);
        let digits = |v: f64| if v < 10.0 && v.fract() > 0.0 { format!("{v:.1}") } else { format!("{v:.0}") };
        let _ = write!(caption, " · {what} is {} × {}", digits(r), digits(c));
    }
}

fn dots<P: Index, I: Index>(pattern: &Pattern<'_, P, I>, paint: &Paint<'_>, color: bool) -> Vec<Line> {
    let raster = color.then(|| Raster::new(pattern, paint, (pattern.nrows, pattern.ncols), Scale::Log));
    let mut lines = Vec::with_capacity(pattern.nrows);
    for r in 0..pattern.nrows {
        let mut signs = vec!['⋅'; pattern.ncols];
        for k in pattern.row_ptr[r].get()..pattern.row_ptr[r + 1].get() {
            let c = pattern.col_idx[k].get();
            signs[bin(c, pattern.ncols, pattern.ncols)] = match paint.class(r, c, k) {
                Some(class) if !color => class_sign(class),
                _ => '●',
            };
        }
        let mut text = String::from(" ");
        for (c, sign) in signs.into_iter().enumerate() {
            match &raster {
                Some(raster) if sign != '⋅' => tinted(&mut text, sign, raster.colors[r * raster.cols + c]),
                _ => text.push(sign),
            }
            text.push(' ');
        }
        lines.push(Line { text, shown: 2 * pattern.ncols + 1 });
    }
    lines
}

fn class_sign(class: u32) -> char {
    const SIGNS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    SIGNS.get(class as usize).map_or('●', |&b| char::from(b))
}

fn tinted(text: &mut String, sign: char, [r, g, b]: Rgb) {
    let _ = write!(text, "\x1b[38;2;{r};{g};{b}m{sign}\x1b[0m");
}

fn braille(raster: &Raster, color: bool) -> Vec<Line> {
    /// Bits of the eight points, by row and column.
    const POINTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    blocks(raster, (4, 2), |bins| {
        let mut bits = 0;
        let mut sum = [0_u32; 3];
        let mut set = 0;
        for (r, c, at) in bins {
            if raster.counts[at] > 0 {
                bits |= POINTS[r][c];
                set += 1;
                for (s, part) in sum.iter_mut().zip(raster.colors[at]) {
                    *s += u32::from(part);
                }
            }
        }
        let sign = char::from_u32(0x2800 + bits).unwrap_or(' ');
        (sign, (color && set > 0).then(|| lifted(sum.map(|s| (s / set) as u8))))
    })
}

fn shades(raster: &Raster, color: bool) -> Vec<Line> {
    const SIGNS: [char; 4] = ['░', '▒', '▓', '█'];
    let top = f64::from(raster.max_count).ln_1p();
    blocks(raster, (1, 1), |bins| match bins.next() {
        Some((_, _, at)) if raster.counts[at] > 0 => {
            let t = f64::from(raster.counts[at]).ln_1p() / top;
            let sign = SIGNS[((t * 4.0).ceil() as usize).clamp(1, 4) - 1];
            (sign, color.then(|| lifted(raster.colors[at])))
        }
        _ => (' ', None),
    })
}

/// One character for every block of bins; the blocks' bins come as row and column in the block, and place in the raster.
fn blocks(
    raster: &Raster,
    (tall, wide): (usize, usize),
    mut sign: impl FnMut(&mut dyn Iterator<Item = (usize, usize, usize)>) -> (char, Option<Rgb>),
) -> Vec<Line> {
    let (rows, cols) = (raster.rows, raster.cols);
    let mut lines = Vec::new();
    for top in (0..rows).step_by(tall) {
        let mut text = String::new();
        for left in (0..cols).step_by(wide) {
            let mut bins = (0..tall.min(rows - top))
                .flat_map(|r| (0..wide.min(cols - left)).map(move |c| (r, c, (top + r) * cols + left + c)));
            match sign(&mut bins) {
                (sign, Some(rgb)) => tinted(&mut text, sign, rgb),
                (sign, None) => text.push(sign),
            }
        }
        lines.push(Line { text, shown: cols.div_ceil(wide) });
    }
    lines
}

/// Colors made for white paper, lightened so that a dark terminal shows them too.
fn lifted(c: Rgb) -> Rgb {
    let luma = 0.299 * f64::from(c[0]) + 0.587 * f64::from(c[1]) + 0.114 * f64::from(c[2]);
    let lift = ((120.0 - luma) / 255.0).max(0.0);
    c.map(|v| (f64::from(v) + lift * (255.0 - f64::from(v))) as u8)
}

/// The ink of text without colors is the terminal's own; this is the color of a class in a legend.
pub fn class_color(class: u32) -> Rgb {
    lifted(palette::class(class))
}
