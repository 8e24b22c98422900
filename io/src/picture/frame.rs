//! Where things stand in a picture of a matrix: panel, ticks, caption, legend. Shared by SVG and PNG.

use crate::index::Index;
use crate::picture::pattern::{Paint, Pattern, Style, grouped};

/// Pixels of a text cell: width and height of a glyph with its spacing.
pub(crate) const GLYPH: (usize, usize) = (12, 18);

/// Pixels of a letter in SVG pictures, at most on average.
const LETTER: usize = 9;

/// Most colors that a legend shows, and the pixels from one to the next.
pub(crate) const SAMPLES: usize = 12;
pub(crate) const SAMPLE: usize = 20;

/// What follows the samples where there are more colors.
pub(crate) const MORE: &str = "..";

/// What stands between the caption and the largest magnitude.
pub(crate) const MAGNITUDES: &str = " · magnitudes to ";

/// Least pixels of a side of the panel.
const THINNEST: usize = 24;

/// Least pixels between ticks: the widest number with its spacing fits.
const TICK_DISTANCE: f64 = 100.0;

/// A tick: pixels from the start of the panel, and its number.
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// Positions in pixels.
pub(crate) struct Frame {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) left: usize,
    pub(crate) top: usize,
    /// Where title, caption and legend start: with the panel or, where they are wider, before it.
    pub(crate) text_left: usize,
    pub(crate) panel: (usize, usize),
    /// Bins of the raster, rows and columns.
    pub(crate) bins: (usize, usize),
    /// Pixels of a bin: width and height.
    pub(crate) cell: (usize, usize),
    pub(crate) x_ticks: Vec<Tick>,
    pub(crate) y_ticks: Vec<Tick>,
    pub(crate) caption: String,
    pub(crate) title: Option<String>,
    pub(crate) legend: Option<String>,
}

impl Frame {
    pub(crate) fn new<P: Index, I: Index>(
        pattern: &Pattern<'_, P, I>,
        paint: &Paint<'_>,
        style: &Style,
    ) -> Self {
        let size = style.size.clamp(32, 4096);
        let (nrows, ncols) = (pattern.nrows, pattern.ncols);
        let longer = nrows.max(ncols).max(1);
        let square = (size / longer).clamp(1, 32);
        // Bins are square, but no side gets thinner than can be seen.
        let bins = |n: usize| {
            let square =
                if longer > size { (n as f64 * size as f64 / longer as f64).round() as usize } else { n };
            square.clamp(n.min(THINNEST), n.min(size))
        };
        let bins = (bins(nrows), bins(ncols));
        // Cells are square, too, but for those of vectors and their like, which fill a panel that can be seen.
        let side = |bins: usize| square.max(THINNEST.div_ceil(bins.max(1)));
        let cell = (side(bins.1), side(bins.0));
        let extent = |bins: usize, cell: usize| (bins * cell).max(THINNEST);
        let panel = (extent(bins.1, cell.0), extent(bins.0, cell.1));
        let x_ticks = ticks(ncols, (bins.1 * cell.0) as f64, TICK_DISTANCE);
        let y_ticks = ticks(nrows, (bins.0 * cell.1) as f64, TICK_DISTANCE);
        let caption = pattern.caption();
        let reduced = if bins == (nrows, ncols) { "" } else { ", a pixel has that of most of its entries" };
        let legend = paint
            .class_count()
            .map(|n| format!("{} {}{reduced}", grouped(n), if n == 1 { "color" } else { "colors" }));

        let chars = |s: &str| s.chars().count() * GLYPH.0;
        let numbers = y_ticks.iter().map(|t| chars(&t.label)).max().unwrap_or(0);
        let margin = 28;
        let beside = margin + numbers + 12;
        let text = chars(&caption).max(chars(style.title.as_deref().unwrap_or_default()));
        // The text, a space, and the samples of the colors.
        let legend_width =
            legend.as_deref().map_or(0, |l| chars(l) + GLYPH.0 + SAMPLES * SAMPLE + chars(MORE));
        // SVG pictures have one line of narrower letters for caption and legend, or caption and magnitudes.
        let further = match paint {
            Paint::Values(_) => MAGNITUDES.len() + 12,
            Paint::Plain | Paint::Columns(_) | Paint::Rows(_) | Paint::Entries(_) => {
                legend.as_deref().map_or(0, |l| l.chars().count() + 3)
            }
        };
        let line = (caption.chars().count() + further) * LETTER;
        let text = text.max(legend_width).max(line);
        let inner = panel.0.max(text);
        let width = beside + inner + margin + GLYPH.0;
        let left = beside + (inner - panel.0) / 2;
        let text_left = if text > panel.0 { beside } else { left };
        let top = margin + GLYPH.1 + 10 + if style.title.is_some() { GLYPH.1 + 14 } else { 0 };
        let below = 20 + GLYPH.1 + if legend.is_some() { GLYPH.1 + 10 } else { 0 };
        let height = top + panel.1 + below + margin;
        let title = style.title.clone();
        Self {
            width,
            height,
            left,
            top,
            text_left,
            panel,
            bins,
            cell,
            x_ticks,
            y_ticks,
            caption,
            title,
            legend,
        }
    }

    /// Line of the caption's top, in pixels.
    pub(crate) fn caption_top(&self) -> usize {
        self.top + self.panel.1 + 20
    }

    /// Whether entries are large enough to leave a gap between them.
    pub(crate) fn gap(&self) -> usize {
        match self.cell.0.min(self.cell.1) {
            0..=4 => 0,
            5..=11 => 1,
            _ => 2,
        }
    }
}

/// Round numbers about `apart` pixels from each other; a tick stands at the middle of its row or column.
fn ticks(extent: usize, pixels: f64, apart: f64) -> Vec<Tick> {
    if extent == 0 {
        return Vec::new();
    }
    let wanted = (extent as f64 * apart / pixels.max(1.0)).max(1.0);
    let decade = 10_f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * decade).find(|s| *s >= wanted).unwrap_or(wanted);
    let step = step as usize;
    let cell = pixels / extent as f64;
    (0..extent)
        .step_by(step.max(1))
        .map(|n| Tick { at: (n as f64 + 0.5) * cell, label: grouped(n) })
        .collect()
}
