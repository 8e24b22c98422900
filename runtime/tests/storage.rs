//! Patterns, and the same matrix by columns, coordinates, blocks and triangles.

use spadina_layout::filter::Triangle;
use spadina_runtime::convert::{BsrView, CooView, CscView, TriangleView};
use spadina_runtime::csr::{Csr, Pattern};
use std::sync::Arc;

/// A 4 x 6 matrix with an empty row; entry (i, j) is 10 i + j + 1.
fn sample() -> Csr {
    let rows: [&[u32]; 4] = [&[0, 3, 5], &[], &[1, 2, 3], &[0, 5]];
    let mut row_ptr = vec![0];
    let mut values = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        row_ptr.push(row_ptr[i] + row.len() as u32);
        values.extend(row.iter().map(|&j| 10.0 * i as f64 + f64::from(j) + 1.0));
    }
    let pattern = Pattern::new(4, 6, row_ptr, rows.concat()).expect("sorted rows");
    Csr { pattern: Arc::new(pattern), values }
}

#[test]
fn by_columns_coordinates_and_blocks() {
    let a = sample();
    let mut values = Vec::new();
    let csc = CscView::new(&a.pattern);
    csc.gather(&a.values, &mut values);
    for col in 0..6 {
        let range = csc.col_ptr[col] as usize..csc.col_ptr[col + 1] as usize;
        assert!(csc.row_idx[range.clone()].is_sorted());
        for at in range {
            assert_eq!(values[at], a.get(csc.row_idx[at] as usize, col));
        }
    }
    let coo = CooView::new(&a.pattern);
    for (k, &value) in a.values.iter().enumerate() {
        assert_eq!(value, a.get(coo.rows[k] as usize, coo.cols[k] as usize));
    }
    let bsr = BsrView::new(&a.pattern, (2, 3)).unwrap();
    bsr.gather(&a.values, &mut values);
    assert_eq!((&bsr.row_ptr[..], &bsr.col_idx[..]), (&[0, 2, 4][..], &[0, 1, 0, 1][..]));
    for row in 0..2 {
        for block in bsr.row_ptr[row] as usize..bsr.row_ptr[row + 1] as usize {
            for (k, &value) in values[6 * block..6 * block + 6].iter().enumerate() {
                let (i, j) = (2 * row + k / 3, 3 * bsr.col_idx[block] as usize + k % 3);
                assert_eq!(value, a.get(i, j));
            }
        }
    }
    assert_eq!(BsrView::new(&a.pattern, (3, 3)), None);
    assert_eq!(BsrView::new(&a.pattern, (0, 3)), None);
}

#[test]
fn triangles_and_sprs() {
    let a = sample();
    for (triangle, nnz) in [(Triangle::Full, 8), (Triangle::Lower, 4), (Triangle::Upper, 6)] {
        let view = TriangleView::new(&a.pattern, triangle);
        let mut values = Vec::new();
        view.gather(&a.values, &mut values);
        let part = Csr { pattern: Arc::new(view.pattern), values };
        assert_eq!(part.pattern.nnz(), nnz);
        assert!(part.entries().all(|(i, j, v)| v == a.get(i, j)));
    }
    let s = a.to_cs_mat();
    assert_eq!(s.nnz(), 8);
    assert!(s.iter().all(|(&v, (i, j))| v == a.get(i, j)));
    assert_eq!(a.to_sprs().nnz(), 8);
    assert_eq!(a.matvec(&[1.0, 0.0, 0.0, 0.0, 0.0, 2.0]), Some(vec![13.0, 0.0, 0.0, 103.0]));
    assert_eq!(a.matvec(&[1.0]), None);
}

#[test]
fn ids_follow_the_pattern() {
    let a = sample();
    assert_eq!(a.pattern.id(), sample().pattern.id());
    let other = Pattern::new(4, 7, a.pattern.row_ptr().to_vec(), a.pattern.col_idx().to_vec()).unwrap();
    assert_ne!(other.id(), a.pattern.id());
    assert_eq!(Pattern::new(1, 3, vec![0, 2], vec![1, 1]), None);
    assert_eq!(Pattern::new(1, 3, vec![0, 2], vec![1, 3]), None);
    assert_eq!(Pattern::new(1, 3, vec![0, 1], vec![1, 2]), None);
}
