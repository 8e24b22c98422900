//! A picture in memory: rectangles and text on 24-bit pixels.

use crate::picture::font::{HEIGHT, WIDTH, glyph};
use crate::picture::palette::Rgb;

/// Pixels, row-major from the top left.
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, ground: Rgb) -> Self {
        Self { width, height, pixels: ground.repeat(width * height) }
    }

    /// Fills a rectangle; what lies outside is cut off.
    pub(crate) fn fill(&mut self, (x, y): (usize, usize), (w, h): (usize, usize), color: Rgb) {
        let (x1, y1) = ((x + w).min(self.width), (y + h).min(self.height));
        for row in y..y1 {
            let start = 3 * (row * self.width + x.min(x1));
            let end = 3 * (row * self.width + x1);
            for pixel in self.pixels[start..end].as_chunks_mut::<3>().0 {
                *pixel = color;
            }
        }
    }

    /// The outline of a rectangle, one pixel wide, just outside it.
    pub(crate) fn outline(&mut self, (x, y): (usize, usize), (w, h): (usize, usize), color: Rgb) {
        let (x0, y0) = (x.saturating_sub(1), y.saturating_sub(1));
        self.fill((x0, y0), (w + 2, 1), color);
        self.fill((x0, y + h), (w + 2, 1), color);
        self.fill((x0, y0), (1, h + 2), color);
        self.fill((x + w, y0), (1, h + 2), color);
    }

    /// Text at twice the size of its bitmap, corners rounded (each point becomes four, and a corner follows its two
    /// sides where they agree), with its top left corner at the point given.
    pub(crate) fn text(&mut self, (x, y): (usize, usize), text: &str, color: Rgb) {
        let mut left = x;
        for c in text.chars() {
            let rows = glyph(c);
            let on = |col: isize, row: isize| {
                let inside = (0..WIDTH as isize).contains(&col) && (0..HEIGHT as isize).contains(&row);
                inside && rows[row as usize] >> (WIDTH as isize - 1 - col) & 1 == 1
            };
            for row in 0..HEIGHT as isize {
                for col in 0..WIDTH as isize {
                    let me = on(col, row);
                    let (up, down) = (on(col, row - 1), on(col, row + 1));
                    let (west, east) = (on(col - 1, row), on(col + 1, row));
                    let quarter =
                        |a: bool, b: bool, c: bool, d: bool| if a == b && a != c && b != d { a } else { me };
                    let quarters = [
                        (0, 0, quarter(up, west, down, east)),
                        (1, 0, quarter(up, east, down, west)),
                        (0, 1, quarter(down, west, up, east)),
                        (1, 1, quarter(down, east, up, west)),
                    ];
                    for (dx, dy, set) in quarters {
                        if set {
                            let at = (left + 2 * col as usize + dx, y + 2 * row as usize + dy);
                            self.fill(at, (1, 1), color);
                        }
                    }
                }
            }
            left += 2 * (WIDTH + 1);
        }
    }
}
