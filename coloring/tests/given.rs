//! Colorings given by the user: what is accepted, and what the refusals name.
#![allow(clippy::unwrap_used)]

use spadina_coloring::check;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{ColorScatter, Decompressor, Target};
use spadina_coloring::error::ColoringError;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::pattern::Pattern;

mod support;
use support::{arrow, dense, random, random_symmetric, symmetric};

use Decompression::{Direct, Substitution};

#[test]
fn meeting_columns_and_rows_are_named() {
    let pattern = dense(&["101", "010", "110"]);
    let refused = Coloring::from_column_colors(&pattern, vec![1, 2, 1]);
    assert_eq!(refused, Err(ColoringError::ColumnsMeet { row: 0, first: 0, second: 2, color: 1 }));
    assert_eq!(
        ColoringError::ColumnsMeet { row: 0, first: 0, second: 2, color: 1 }.to_string(),
        "columns 0 and 2 have the same color 1 and both have an entry in row 0"
    );
    let refused = Coloring::from_row_colors(&pattern, vec![1, 2, 2]);
    assert_eq!(refused, Err(ColoringError::RowsMeet { col: 1, first: 1, second: 2, color: 2 }));
    let refused = Coloring::from_column_colors(&pattern, vec![1, 2, 0]);
    assert_eq!(refused, Err(ColoringError::Uncovered { row: 0, col: 2 }));
    let refused = Coloring::from_row_colors(&pattern, vec![1, 0, 2]);
    assert_eq!(refused, Err(ColoringError::Uncovered { row: 1, col: 1 }));
}

#[test]
fn wrong_numbers_of_colors_are_refused() {
    let pattern = dense(&["101", "010"]);
    let refused = Coloring::from_column_colors(&pattern, vec![1, 2]);
    assert_eq!(refused, Err(ColoringError::ColorsLength { what: "columns", expected: 3, found: 2 }));
    let refused = Coloring::from_row_colors(&pattern, vec![1, 3]);
    assert_eq!(refused, Err(ColoringError::ColorOutOfRange { color: 3, limit: 2 }));
}

#[test]
fn two_colored_paths_and_cycles_are_named() {
    let path = symmetric(4, true, &[(1, 2), (2, 3), (3, 4)]);
    let refused = Coloring::from_symmetric_colors(&path, vec![1, 2, 1, 2], Direct);
    assert_eq!(refused, Err(ColoringError::NotDirect { row: 1, col: 2 }));
    assert!(Coloring::from_symmetric_colors(&path, vec![1, 2, 1, 2], Substitution).is_ok());
    let refused = Coloring::from_symmetric_colors(&path, vec![1, 2, 2, 1], Substitution);
    assert_eq!(refused, Err(ColoringError::Adjacent { row: 1, col: 2, color: 2 }));
    let ring = symmetric(4, true, &[(1, 2), (2, 3), (3, 4), (4, 1)]);
    let refused = Coloring::from_symmetric_colors(&ring, vec![1, 2, 1, 2], Substitution);
    assert!(matches!(refused, Err(ColoringError::TwoColoredCycle { .. })));
    assert!(Coloring::from_symmetric_colors(&ring, vec![1, 2, 1, 3], Substitution).is_ok());
}

#[test]
fn neutral_colors_must_leave_every_entry_recoverable() {
    let star = symmetric(4, false, &[(1, 2), (1, 3), (1, 4)]);
    for decompression in [Direct, Substitution] {
        let coloring = Coloring::from_symmetric_colors(&star, vec![1, 0, 0, 0], decompression).unwrap();
        assert_eq!(coloring.n_colors(), 1);
        let refused = Coloring::from_symmetric_colors(&star, vec![0, 1, 1, 2], decompression);
        assert!(matches!(refused, Err(ColoringError::Uncovered { .. })), "{refused:?}");
    }
    let with_diagonal = symmetric(2, true, &[(1, 2)]);
    let refused = Coloring::from_symmetric_colors(&with_diagonal, vec![1, 0], Direct);
    assert_eq!(refused, Err(ColoringError::Uncovered { row: 1, col: 1 }));
}

#[test]
fn bidirectional_colors_are_verified() {
    let pattern = arrow(5);
    let columns = vec![1, 2, 2, 2, 2];
    let accepted =
        Coloring::from_bidirectional_colors(&pattern, columns.clone(), vec![1, 0, 0, 0, 0], Direct);
    assert_eq!(accepted.unwrap().n_colors(), 3);
    let refused = Coloring::from_bidirectional_colors(&pattern, columns, vec![0; 5], Direct);
    assert_eq!(refused, Err(ColoringError::NotDirect { row: 0, col: 1 }));
}

#[test]
fn wrong_buffers_are_refused() {
    let pattern = arrow(5);
    let direct = Coloring::new(&pattern, &Options::new(Partition::Symmetric)).unwrap();
    let decompressor = Decompressor::new(&direct, Target::default()).unwrap();
    let compressed = vec![0.0; decompressor.compressed_len()];
    assert!(matches!(
        decompressor.decompress(&compressed[1..], &mut [0.0; 13]),
        Err(ColoringError::BufferLength { .. })
    ));
    assert!(matches!(
        decompressor.decompress(&compressed, &mut [0.0; 12]),
        Err(ColoringError::BufferLength { .. })
    ));
    let scatter = ColorScatter::new(&direct, Target::default()).unwrap();
    for color in [0, 3] {
        let refused = scatter.decompress(color, &[0.0; 5], &mut [0.0; 13]);
        assert_eq!(refused, Err(ColoringError::ColorOutOfRange { color, limit: 2 }));
    }
    let options = Options::new(Partition::Symmetric).decompression(Substitution);
    let trees = Coloring::new(&pattern, &options).unwrap();
    assert_eq!(ColorScatter::new(&trees, Target::default()), Err(ColoringError::SingleColorSubstitution));
}

/// Verification and the independent checks accept the same random colors, valid or not.
#[test]
fn verification_agrees_with_the_definitions() {
    let (mut accepted, mut refused) = (0, 0);
    let mut agree = |ours: bool, definition: bool| {
        assert_eq!(ours, definition);
        *(if ours { &mut accepted } else { &mut refused }) += 1;
    };
    for seed in 0..400 {
        let mut rng = support::Rng(seed);
        let mut colors = |n: usize, least: u64, most: u64| -> Vec<u32> {
            (0..n).map(|_| (least + rng.next() % (most + 1 - least)) as u32).collect()
        };
        let p = random(4, 5, 0.3, seed);
        let columns = colors(5, 0, 4);
        let rows = colors(4, 0, 3);
        agree(
            Coloring::from_column_colors(&p, columns.clone()).is_ok(),
            check::columns(&p, &columns).is_ok(),
        );
        agree(Coloring::from_row_colors(&p, rows.clone()).is_ok(), check::rows(&p, &rows).is_ok());
        let given = |how| Coloring::from_bidirectional_colors(&p, columns.clone(), rows.clone(), how).is_ok();
        agree(given(Direct), check::bidirectional_direct(&p, &columns, &rows).is_ok());
        agree(given(Substitution), check::bidirectional_substitution(&p, &columns, &rows).is_ok());
        let s: Pattern = random_symmetric(6, 0.35, seed);
        let unknowns = colors(6, 1, 4);
        let given = |how| Coloring::from_symmetric_colors(&s, unknowns.clone(), how).is_ok();
        agree(given(Direct), check::star(&s, &unknowns).is_ok());
        agree(given(Substitution), check::acyclic(&s, &unknowns).is_ok());
    }
    assert!(accepted > 200 && refused > 200, "{accepted} accepted, {refused} refused");
}
