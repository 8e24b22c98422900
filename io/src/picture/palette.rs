//! Colors: distinct ones for numbered classes, ramps for densities, values and fields.
//!
//! Made in OKLCH, where equal steps look equal. Reference: B. Ottosson, A perceptual color space for image
//! processing, 2020.

use std::f64::consts::PI;

/// Red, green, blue in sRGB.
pub type Rgb = [u8; 3];

/// Page behind everything.
pub const PAGE: Rgb = [255, 255, 255];
/// Ground of the matrix.
pub const GROUND: Rgb = [247, 248, 251];
/// Frame of the matrix.
pub const FRAME: Rgb = [186, 193, 206];
/// Grid lines.
pub const GRID: Rgb = [229, 232, 240];
/// Captions and numbers.
pub const LABEL: Rgb = [84, 93, 110];
/// Titles.
pub const TITLE: Rgb = [33, 39, 54];

/// Lightness 0..1, chroma, hue in degrees, as sRGB; colors outside its gamut are clipped.
pub fn oklch(lightness: f64, chroma: f64, hue: f64) -> Rgb {
    let (s, c) = (hue * PI / 180.0).sin_cos();
    let (a, b) = (chroma * c, chroma * s);
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
    .map(|linear| {
        let v = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (255.0 * v.clamp(0.0, 1.0)).round() as u8
    })
}

/// A color for a class; the first ones are told apart easily, later ones walk round the circle by the golden angle.
pub fn class(number: u32) -> Rgb {
    const FIRST: [(f64, f64); 10] = [
        (0.52, 262.0),
        (0.66, 40.0),
        (0.60, 150.0),
        (0.55, 325.0),
        (0.75, 85.0),
        (0.68, 215.0),
        (0.50, 20.0),
        (0.72, 120.0),
        (0.58, 295.0),
        (0.70, 350.0),
    ];
    let k = number as usize;
    if let Some(&(lightness, hue)) = FIRST.get(k) {
        return oklch(lightness, 0.15, hue);
    }
    let lightness = [0.50, 0.66, 0.78][k % 3];
    oklch(lightness, 0.13, (262.0 + 137.507_764 * f64::from(number % 100_000)) % 360.0)
}

/// Ink for a density of 0..1: from a light blue to a dark one.
pub fn density(t: f64) -> Rgb {
    let t = t.clamp(0.0, 1.0);
    oklch(0.76 - 0.46 * t, 0.11 + 0.06 * (PI * t).sin(), 245.0 + 30.0 * t)
}

/// Value of -1..1: blue, pale, red.
pub fn diverging(t: f64) -> Rgb {
    let t = if t.is_nan() { 0.0 } else { t.clamp(-1.0, 1.0) };
    let hue = if t < 0.0 { 258.0 } else { 28.0 };
    oklch(0.84 - 0.42 * t.abs(), 0.05 + 0.13 * t.abs().sqrt(), hue)
}

/// Field value of 0..1: from a dark violet through teal to a light yellow, lightness rising evenly.
pub fn field(t: f64) -> Rgb {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    oklch(0.30 + 0.62 * t, 0.12 + 0.03 * (PI * t).sin(), 300.0 - 195.0 * t)
}

/// Color as `#rrggbb`.
pub fn hex(c: Rgb) -> String {
    format!("#{:02x}{:02x}{:02x}", c[0], c[1], c[2])
}
