//! Core: whole lines in pieces of a bounded size.

/// Cuts behind lines, so that no piece is longer than `max` bytes unless its only line is. The pieces together are `lines`.
pub(super) fn pieces(mut lines: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let window = lines.get(..max).unwrap_or(lines);
        let end = if window.len() == lines.len() { Some(lines.len()) } else { after_last_line(window) };
        let end = end.unwrap_or_else(|| {
            let newline = lines.iter().position(|byte| *byte == b'\n');
            newline.map_or(lines.len(), |place| place + 1)
        });
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        Some(piece)
    })
}

fn after_last_line(window: &[u8]) -> Option<usize> {
    window.iter().rposition(|byte| *byte == b'\n').map(|place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 4096;

    #[test]
    fn pieces_end_with_lines_and_are_all_there() {
        let long = [vec![b'x'; 3 * MAX], vec![b'\n']].concat();
        for lines in [vec![], b"one\n".to_vec(), b"no end".to_vec(), b"a line\n".repeat(2000), long.clone()] {
            let cut: Vec<&[u8]> = pieces(&lines, MAX).collect();
            assert_eq!(cut.concat(), lines);
            for piece in &cut {
                assert!(piece.len() <= MAX || piece.iter().filter(|byte| **byte == b'\n').count() <= 1);
                assert!(piece.ends_with(b"\n") || lines == b"no end");
            }
        }
        let mixed = [b"short\n".as_slice(), &long, b"short\n"].concat();
        assert_eq!(pieces(&mixed, MAX).map(<[u8]>::len).collect::<Vec<_>>(), [6, 3 * MAX + 1, 6]);
    }
}
