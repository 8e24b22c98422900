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

impl Raster {
    /// Bins a pattern that fits its paint; `rows` and `cols` are at most those of the pattern.
    pub(crate) fn new<P: Index, I: Index>(
        pattern: &Pattern<'_, P, I>,
        paint: &Paint<'_>,
        (rows, cols): (usize, usize),
        scale: Scale,
    ) -> Self {
        let mut counts = vec![0_u32; rows * cols];
        let mut values = match paint {
            Paint::Values(_) => vec![0.0_f64; rows * cols],
            _ => Vec::new(),
        };
        let mut classes = Classes::new(if paint.is_classes() { rows * cols } else { 0 });
        for r in 0..pattern.nrows {
            let at = bin(r, rows, pattern.nrows) * cols;
            classes.start_row(at);
            for k in pattern.row_ptr[r].get()..pattern.row_ptr[r + 1].get() {
                let c = pattern.col_idx[k].get();
                let at = at + bin(c, cols, pattern.ncols);
                counts[at] = counts[at].saturating_add(1);
                if let Paint::Values(v) = paint {
                    if v[k].abs() > values[at].abs() || v[k].is_nan() {
                        values[at] = v[k];
                    }
                } else if let Some(class) = paint.class(r, c, k) {
                    classes.seen.push((at, class));
                }
            }
        }
        let classes = classes.finish();
        let max_count = counts.iter().copied().max().unwrap_or(0);
        let finite = |v: f64| if v.is_finite() { v.abs() } else { 0.0 };
        let max_value = values.iter().map(|&v| finite(v)).fold(0.0, f64::max);
        let min_value = values.iter().map(|&v| finite(v)).filter(|v| *v > 0.0).fold(max_value, f64::min);
        let shade = |count: u32| match scale {
            // One entry where no bin has more is full ink.
            _ if max_count <= 1 => 1.0,
            Scale::Linear => f64::from(count) / f64::from(max_count),
            Scale::Log => f64::from(count).ln_1p() / f64::from(max_count).ln_1p(),
        };
        // Classes repeat: each color is computed once.
        let mut known: Vec<Option<Rgb>> = Vec::new();
        let color = |(at, &count): (usize, &u32)| match paint {
            _ if count == 0 => palette::GROUND,
            Paint::Plain => palette::density(shade(count)),
            Paint::Values(_) => palette::diverging(signed(values[at], (min_value, max_value), scale)),
            _ => {
                let opacity = 0.35 + 0.65 * shade(count) as f32;
                let rgb = class_rgb(&mut known, classes[at]);
                [0, 1, 2].map(|k| {
                    let ground = f32::from(palette::GROUND[k]);
                    (ground + opacity * (f32::from(rgb[k]) - ground)).round().clamp(0.0, 255.0) as u8
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

/// The class that most entries of a bin have: colors that are mixed become grey, and grey is no class. Of equally frequent ones the
/// first counts.
struct Classes {
    most: Vec<u32>,
    /// First bin of the row of bins that is being filled.
    row: usize,
    /// Its entries: bin and class.
    seen: Vec<(usize, u32)>,
}

impl Classes {
    fn new(bins: usize) -> Self {
        Self { most: vec![0; bins], row: 0, seen: Vec::new() }
    }

    /// Entries from now on are of this row of bins; rows come in order.
    fn start_row(&mut self, row: usize) {
        if row != self.row {
            self.count();
            self.row = row;
        }
    }

    fn count(&mut self) {
        self.seen.sort_unstable();
        for bin in self.seen.chunk_by(|a, b| a.0 == b.0) {
            let mut longest: &[(usize, u32)] = &[];
            for run in bin.chunk_by(|a, b| a == b) {
                if run.len() > longest.len() {
                    longest = run;
                }
            }
            if let Some(&(at, class)) = longest.first() {
                self.most[at] = class;
            }
        }
        self.seen.clear();
    }

    fn finish(mut self) -> Vec<u32> {
        self.count();
        self.most
    }
}

fn class_rgb(known: &mut Vec<Option<Rgb>>, class: u32) -> Rgb {
    const KEPT: usize = 1 << 16;
    let fresh = || palette::class(class);
    let at = class as usize;
    if at >= KEPT {
        return fresh();
    }
    if known.len() <= at {
        known.resize(at + 1, None);
    }
    *known[at].get_or_insert_with(fresh)
}
