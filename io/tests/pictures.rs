//! Pictures: exact text, decoded pixels, well-formed SVG, and extents that leave nothing to draw.
#![allow(clippy::unwrap_used)] // helpers of tests may fail as tests do

use std::time::Instant;

use spadina_io::picture::mesh::{MeshPicture, flat, mesh_svg};
use spadina_io::picture::pattern::{Paint, Pattern, Scale, Style};
use spadina_io::picture::png::pattern_png;
use spadina_io::picture::svg::pattern_svg;
use spadina_io::picture::text::{Glyphs, TextStyle, pattern_text};
use spadina_io::picture::view::View;

/// Three diagonals, in 32-bit indices.
fn tridiagonal(n: usize) -> (Vec<u64>, Vec<u32>) {
    let (mut ptr, mut idx) = (vec![0], Vec::new());
    for r in 0..n {
        idx.extend((r.saturating_sub(1)..(r + 2).min(n)).map(|c| c as u32));
        ptr.push(idx.len() as u64);
    }
    (ptr, idx)
}

fn text(n: usize, paint: &Paint<'_>, style: &TextStyle) -> String {
    let (row_ptr, col_idx) = tridiagonal(n);
    pattern_text(&Pattern { nrows: n, ncols: n, row_ptr: &row_ptr, col_idx: &col_idx }, paint, style).unwrap()
}

#[test]
fn small_matrices_are_dots_with_their_colors() {
    let colors = [0, 1, 2, 0, 1];
    let got = text(5, &Paint::Columns(&colors), &TextStyle::default());
    let want = "╭───────────╮\n│ 0 1 ⋅ ⋅ ⋅ │\n│ 0 1 2 ⋅ ⋅ │\n│ ⋅ 1 2 0 ⋅ │\n│ ⋅ ⋅ 2 0 1 │\n│ ⋅ ⋅ ⋅ 0 1 │\n\
                ╰───────────╯\n  5 × 5 · 13 entries · 52 % · 3 colors\n";
    assert_eq!(got, want);
    let tinted = text(5, &Paint::Columns(&colors), &TextStyle { color: true, ..TextStyle::default() });
    assert_eq!(tinted.matches("\x1b[38;2;").count(), 13);
    assert_eq!(tinted.matches("\x1b[0m").count(), 13);
}

#[test]
fn large_matrices_are_braille_within_the_width() {
    let got = text(8, &Paint::Plain, &TextStyle { glyphs: Glyphs::Braille, ..TextStyle::default() });
    assert_eq!(got, "╭────╮\n│⠻⣦⡀⠀│\n│⠀⠈⠻⣦│\n╰────╯\n  8 × 8 · 22 entries · 34 %\n");
    for (glyphs, note) in [(Glyphs::Auto, "a dot is 6.4 × 6.4"), (Glyphs::Shade, "a sign is 26 × 13")] {
        let got = text(1000, &Paint::Plain, &TextStyle { glyphs, ..TextStyle::default() });
        assert!(got.contains(note), "{got}");
        assert!(got.lines().all(|l| l.chars().count() <= 80), "{got}");
        assert!(got.lines().count() <= 43);
    }
}

#[test]
fn every_extent_can_be_drawn() {
    for (nrows, ncols) in
        [(0, 0), (0, 5), (5, 0), (1, 1), (1, 1_000_000), (1_000_000, 1), (3000, 7), (2500, 2500)]
    {
        let mut row_ptr = vec![0_usize; nrows + 1];
        let mut col_idx = Vec::new();
        if nrows > 0 && ncols > 0 {
            row_ptr[nrows] = 1;
            col_idx.push(ncols - 1);
        }
        let pattern = Pattern { nrows, ncols, row_ptr: &row_ptr, col_idx: &col_idx };
        for glyphs in [Glyphs::Auto, Glyphs::Braille, Glyphs::Shade] {
            pattern_text(&pattern, &Paint::Plain, &TextStyle { glyphs, ..TextStyle::default() }).unwrap();
        }
        let values = vec![f64::NAN; col_idx.len()];
        let colors = vec![u32::MAX; ncols];
        for paint in [Paint::Plain, Paint::Values(&values), Paint::Columns(&colors)] {
            for size in [0, 100, 960, usize::MAX] {
                let style = Style { size: size.min(2000), scale: Scale::Linear, title: None };
                let svg = pattern_svg(&pattern, &paint, &style).unwrap();
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
            }
            decode(&pattern_png(&pattern, &paint, &Style::default()).unwrap());
        }
    }
}

fn decode(bytes: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width as usize, info.height as usize, pixels)
}

#[test]
fn a_png_shows_every_entry_of_a_large_matrix() {
    // One entry in the far corner of an otherwise diagonal matrix must leave a mark of its own.
    let n = 100_000;
    let (row_ptr, mut col_idx) = tridiagonal(n);
    let lone = |col_idx: &[u32]| {
        let pattern = Pattern { nrows: n, ncols: n, row_ptr: &row_ptr, col_idx };
        decode(&pattern_png(&pattern, &Paint::Plain, &Style::default()).unwrap())
    };
    let start = Instant::now();
    let (width, height, before) = lone(&col_idx);
    col_idx[1] = n as u32 - 1;
    let (_, _, after) = lone(&col_idx);
    assert!(width > 960 && height > 960 && width < 1300 && height < 1300);
    let changed: Vec<usize> =
        (0..width * height).filter(|k| before[3 * k..3 * k + 3] != after[3 * k..3 * k + 3]).collect();
    let [.., pixel] = changed[..] else { panic!("no mark: {changed:?}") };
    assert!(changed.iter().any(|k| k % width > 900 && k / width < 120), "{pixel}");
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn colors_and_values_reach_the_picture() {
    let (row_ptr, col_idx) = tridiagonal(6);
    let pattern = Pattern { nrows: 6, ncols: 6, row_ptr: &row_ptr, col_idx: &col_idx };
    let rows = [0, 1, 0, 1, 0, 1];
    let title = Some("<& \"x\"".to_string());
    let svg = pattern_svg(&pattern, &Paint::Rows(&rows), &Style { title, ..Style::default() }).unwrap();
    assert!(svg.contains("&lt;&amp; &quot;x&quot;") && svg.contains("2 colors"));
    assert_eq!(svg.matches("<path fill=").count(), 2);
    // The legend shows the colors that are painted, also where their numbers do not start at 0.
    let svg = pattern_svg(&pattern, &Paint::Rows(&[3, 1, 3, 1, 3, 1]), &Style::default()).unwrap();
    let inks = |start: &str| {
        let parts = svg.split(start).skip(1).map(|part| part.split_once("fill=\"").unwrap().1);
        let mut inks: Vec<&str> = parts.map(|part| part.split('"').next().unwrap()).collect();
        inks.sort_unstable();
        inks
    };
    let legend: Vec<&str> = inks("<rect").into_iter().filter(|ink| inks("<path").contains(ink)).collect();
    assert_eq!((legend, inks("<path").len()), (inks("<path"), 2));
    let values: Vec<f64> = (0..col_idx.len()).map(|k| if k % 2 == 0 { 1e-3 } else { -4.0 }).collect();
    let svg = pattern_svg(&pattern, &Paint::Values(&values), &Style::default()).unwrap();
    assert_eq!(svg.matches("<path fill=").count(), 2);
    assert!(svg.contains("magnitudes to 4.000"));
}

#[test]
fn pattern_and_paint_must_fit() {
    let pattern = Pattern { nrows: 2, ncols: 2, row_ptr: &[0_usize, 1, 2], col_idx: &[0_usize, 2] };
    let message = pattern_text(&pattern, &Paint::Plain, &TextStyle::default()).unwrap_err().to_string();
    assert!(message.contains("column 2 of 2"), "{message}");
    let pattern = Pattern { col_idx: &[0_usize, 1], ..pattern };
    for paint in [Paint::Columns(&[0]), Paint::Rows(&[0; 3]), Paint::Entries(&[]), Paint::Values(&[1.0])] {
        assert!(pattern_png(&pattern, &paint, &Style::default()).is_err());
        assert!(pattern_svg(&pattern, &paint, &Style::default()).is_err());
    }
}

#[test]
fn meshes_are_drawn_or_refused() {
    let points = flat(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
    let faces = [[0, 1, 2], [0, 2, 3]];
    let base = MeshPicture { vertices: &points, faces: &faces, ..MeshPicture::default() };
    let svg =
        mesh_svg(&MeshPicture { scalar: Some(&[1.0, 2.0]), title: Some("a < b"), label: Some("E"), ..base })
            .unwrap();
    assert_eq!(svg.matches("<path d=").count(), 2);
    assert!(svg.contains("a &lt; b") && svg.contains(">2.000<") && svg.contains(">E<"));
    let orbit = View::Orbit { azimuth: 20.0, elevation: 30.0 };
    assert!(mesh_svg(&MeshPicture { view: orbit, wires: false, ..base }).is_ok());
    assert!(mesh_svg(&MeshPicture::default()).is_ok());
    assert!(
        mesh_svg(&MeshPicture { scalar: Some(&[f64::NAN, f64::INFINITY]), ..base })
            .is_ok_and(|s| !s.contains("NaN"))
    );
    assert!(mesh_svg(&MeshPicture { faces: &[[0, 1, 4]], ..base }).is_err());
    assert!(mesh_svg(&MeshPicture { faces: &[[0, -1, 2]], ..base }).is_err());
    assert!(mesh_svg(&MeshPicture { scalar: Some(&[1.0]), ..base }).is_err());
    assert!(mesh_svg(&MeshPicture { vertices: &[[f64::NAN; 3]; 4], ..base }).is_err());
}

#[test]
fn reduced_pictures_keep_colors_apart() {
    // A diagonal of 9,600 entries, of which ten share a pixel: seven of color 3, three of color 1.
    let n = 9_600;
    let (row_ptr, col_idx): (Vec<u64>, Vec<u32>) = ((0..=n).collect(), (0..n as u32).collect());
    let pattern = Pattern { nrows: 9_600, ncols: 9_600, row_ptr: &row_ptr, col_idx: &col_idx };
    let colors: Vec<u32> = (0..n).map(|k| if k % 10 < 7 { 3 } else { 1 }).collect();
    let inks = |colors: &[u32]| {
        let svg = pattern_svg(&pattern, &Paint::Columns(colors), &Style::default()).unwrap();
        svg.lines().filter(|line| line.starts_with("<path fill")).map(|line| line[..20].to_owned()).collect()
    };
    let (mixed, pure): (Vec<String>, Vec<String>) = (inks(&colors), inks(&vec![3; 9_600]));
    assert_eq!(mixed, pure);
    let many: Vec<u32> = (0..n as u32).map(|k| k % 15).collect();
    let svg = pattern_svg(&pattern, &Paint::Columns(&many), &Style::default()).unwrap();
    assert!(svg.contains("15 colors, a pixel has") && svg.contains(">..</text>"));
}

#[test]
fn vectors_fill_their_panel() {
    let row = Pattern { nrows: 1, ncols: 200, row_ptr: &[0_usize, 1], col_idx: &[7_usize] };
    let svg = pattern_svg(&row, &Paint::Plain, &Style::default()).unwrap();
    assert!(svg.contains("scale(4 24)") && svg.contains(r#"width="800" height="24""#), "{svg}");
}

#[test]
fn narrow_pictures_are_as_wide_as_their_text() {
    // 450 x 9 with nine colors: the caption and the legend are wider than the panel.
    let (row_ptr, col_idx): (Vec<u64>, Vec<u32>) = ((0..=450).collect(), (0..450).map(|r| r % 9).collect());
    let pattern = Pattern { nrows: 450, ncols: 9, row_ptr: &row_ptr, col_idx: &col_idx };
    let colors: Vec<u32> = (1..=9).collect();
    let (paint, style) = (Paint::Columns(&colors), Style::default());
    let (width, height, pixels) = decode(&pattern_png(&pattern, &paint, &style).unwrap());
    let page = &pixels[..3];
    let blank = |x: usize| (0..height).all(|y| &pixels[3 * (y * width + x)..][..3] == page);
    // Nothing reaches the margins.
    assert!((0..8).all(|x| blank(x) && blank(width - 1 - x)), "{width} x {height}");
    let svg = pattern_svg(&pattern, &paint, &style).unwrap();
    assert!(svg.contains("9 colors"), "{svg}");
    for rect in svg.lines().filter(|line| line.contains("rx=")) {
        let x: usize = rect.split('"').nth(1).unwrap().parse().unwrap();
        assert!(x + 20 <= width, "{rect}");
    }
}
