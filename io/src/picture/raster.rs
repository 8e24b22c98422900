//! Bins the entries of a pattern into a grid of points, each with a count and a color.

use crate::index::Index;
use crate::picture::palette::{self, Rgb};
use crate::picture::pattern::{Paint, Pattern, Scale};

/// A grid of bins over a matrix.
pub(crate) struct Raster {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Entries in each bin, row-major.
    pub(crate) counts: Vec<u32>,
    /// Largest count.
    pub(crate) max_count: u32,
    /// Color of each bin that has entries.
    pub(crate) colors: Vec<Rgb>,
    /// Largest finite magnitude when values are painted.
    pub(crate) max_value: f64,
}

/// What is summed up for the color of a bin.
#[derive(Clone, Copy)]
struct Sum {
    rgb: [f32; 3],
    value: f64,
}

impl Raster {
    /// Bins a pattern that fits its paint; `rows` and `cols` are at most those of the pattern.
    pub(crate) fn new<P: Index, I: Index>(
        pattern: &Pattern<'_, P, I>,
        paint: &Paint<'_>,
        (rows, cols): (usize, usize),
        scale: Scale,
    ) -> Self {
        let mut counts = vec![0_u32; rows * cols];
        let mut sums = match paint {
            Paint::Plain => Vec::new(),
            _ => vec![Sum { rgb: [0.0; 3], value: 0.0 }; rows * cols],
        };
        // Classes repeat: each color is computed once.
        let mut classes: Vec<Option<[f32; 3]>> = Vec::new();
        for r in 0..pattern.nrows {
            let at = bin(r, rows, pattern.nrows) * cols;
            for k in pattern.row_ptr[r].get()..pattern.row_ptr[r + 1].get() {
                let c = pattern.col_idx[k].get();
                let at = at + bin(c, cols, pattern.ncols);
                counts[at] = counts[at].saturating_add(1);
                if let Paint::Values(v) = paint {
                    if v[k].abs() > sums[at].value.abs() || v[k].is_nan() {
                        sums[at].value = v[k];
                    }
                } else if let Some(class) = paint.class(r, c, k) {
                    let rgb = class_rgb(&mut classes, class);
                    for (sum, part) in sums[at].rgb.iter_mut().zip(rgb) {
                        *sum += part;
                    }
                }
            }
        }
        let max_count = counts.iter().copied().max().unwrap_or(0);
        let finite = |v: f64| if v.is_finite() { v.abs() } else { 0.0 };
        let max_value = sums.iter().map(|s| finite(s.value)).fold(0.0, f64::max);
        let min_value = sums.iter().map(|s| finite(s.value)).filter(|v| *v > 0.0).fold(max_value, f64::min);
        let shade = |count: u32| match scale {
            // One entry where no bin has more is full ink.
            _ if max_count <= 1 => 1.0,
            Scale::Linear => f64::from(count) / f64::from(max_count),
            Scale::Log => f64::from(count).ln_1p() / f64::from(max_count).ln_1p(),
        };
        let color = |(at, &count): (usize, &u32)| match paint {
            _ if count == 0 => palette::GROUND,
            Paint::Plain => palette::density(shade(count)),
            Paint::Values(_) => palette::diverging(signed(sums[at].value, (min_value, max_value), scale)),
            _ => {
                let opacity = 0.35 + 0.65 * shade(count) as f32;
                let mean = |k: usize| sums[at].rgb[k] / count as f32;
                [0, 1, 2].map(|k| {
                    let ground = f32::from(palette::GROUND[k]);
                    (ground + opacity * (mean(k) - ground)).round().clamp(0.0, 255.0) as u8
                })
            }
        };
        let colors = counts.iter().enumerate().map(color).collect();
        Self { rows, cols, counts, max_count, colors, max_value }
    }

    /// Runs of bins of one row that have entries and one color: row, first column, number, color.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize, Rgb)> {
        (0..self.rows).flat_map(move |r| {
            let row = r * self.cols..(r + 1) * self.cols;
            let (counts, colors) = (&self.counts[row.clone()], &self.colors[row]);
            let mut c = 0;
            std::iter::from_fn(move || {
                while c < counts.len() && counts[c] == 0 {
                    c += 1;
                }
                let start = c;
                let color = *colors.get(start)?;
                while c < counts.len() && counts[c] > 0 && colors[c] == color {
                    c += 1;
                }
                Some((r, start, c - start, color))
            })
        })
    }
}

/// Bin of a row or column.
pub(crate) fn bin(index: usize, bins: usize, extent: usize) -> usize {
    if bins == extent { index } else { (index as u128 * bins as u128 / extent as u128) as usize }
}

/// A value as -1..1; the logarithmic scale spans the magnitudes there are, eight decades at most.
fn signed(value: f64, (min, max): (f64, f64), scale: Scale) -> f64 {
    const FAINTEST: f64 = 0.05;
    if value == 0.0 || max == 0.0 {
        return 0.0;
    }
    if !value.is_finite() {
        return value.signum();
    }
    let t = match scale {
        Scale::Linear => value.abs() / max,
        Scale::Log => {
            let decades = (max / min).log10().clamp(1.0, 8.0);
            (1.0 + (value.abs() / max).log10() / decades).clamp(FAINTEST, 1.0)
        }
    };
    t.copysign(value)
}

fn class_rgb(known: &mut Vec<Option<[f32; 3]>>, class: u32) -> [f32; 3] {
    const KEPT: usize = 1 << 16;
    let fresh = || palette::class(class).map(f32::from);
    let at = class as usize;
    if at >= KEPT {
        return fresh();
    }
    if known.len() <= at {
        known.resize(at + 1, None);
    }
    *known[at].get_or_insert_with(fresh)
}
