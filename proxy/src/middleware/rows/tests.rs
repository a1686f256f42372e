//! A page in pieces becomes what the same page becomes as a whole, wherever it is cut.

use super::*;
use crate::pipeline::tests::block_on;
use proptest::prelude::*;
use std::collections::VecDeque;

struct Pieces(VecDeque<Result<Bytes, ()>>);

impl BodySource for Pieces {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        let piece = self.0.pop_front();
        Box::pin(std::future::ready(piece.map(|piece| piece.map_err(|()| io::Error::other("cut")))))
    }
}

/// Takes the mark off the hash, and says so.
struct Unmark;

impl Edit for Unmark {
    const MARK: &'static [u8] = b"the_mark";

    fn edit(&self, row: &mut Map<String, Value>) {
        let Some(hash) = row.get("hash").and_then(Value::as_str).map(str::to_owned) else { return };
        if let Some(plain) = hash.strip_suffix("; the_mark") {
            row.insert("hash".into(), plain.into());
            row.insert("was_marked".into(), true.into());
        }
    }
}

fn sent(pieces: Vec<Result<Bytes, ()>>) -> (Vec<Bytes>, bool) {
    let mut source = Edited::new(Box::new(Pieces(pieces.into())), Unmark);
    let mut sent = Vec::new();
    loop {
        match block_on(source.next()) {
            Some(Ok(piece)) => sent.push(piece),
            Some(Err(_)) => return (sent, true),
            None => return (sent, false),
        }
    }
}

/// As a storage node writes it.
fn json(rows: &[(bool, String)]) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let row = |(is_marked, name): &(bool, String)| match name.strip_suffix('/') {
        Some(_) => format!("{{\"subdir\": {}}}", text(name)),
        None => {
            let hash = if *is_marked { "d4; the_mark" } else { "d4" };
            format!("{{\"bytes\": 1, \"hash\": \"{hash}\", \"name\": {}, \"last_modified\": \"2026\"}}", text(name))
        }
    };
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(", "))
}

fn name() -> impl Strategy<Value = String> {
    let tricky = ["}, {", "\"}, {\"b", "the_mark", "a", ", ", "}", "\", \"name\": \"", "\\", "/", "; the_mark"];
    proptest::collection::vec(proptest::sample::select(tricky.to_vec()), 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_in_pieces_is_the_page(
        rows in proptest::collection::vec((prop::bool::weighted(0.3), name()), 1..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let whole = json(&rows);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| Ok(Bytes::from(whole[cut[0]..cut[1]].to_owned()))).collect();
        let (pieces, _) = sent(pieces);
        let read = |bytes: &[u8]| serde_json::from_slice::<Vec<Map<String, Value>>>(bytes).unwrap();
        let mut expected = read(whole.as_bytes());
        expected.iter_mut().for_each(|row| Unmark.edit(row));
        prop_assert_eq!(read(&pieces.concat()), expected.clone());
        prop_assert_eq!(read(&page(&Unmark, whole.into())), expected.clone());
        let compact = serde_json::to_vec(&read(json(&rows).as_bytes())).unwrap();
        prop_assert_eq!(read(&page(&Unmark, compact.into())), expected);
    }
}

#[test]
fn what_is_not_marked_passes_without_a_copy_and_a_cut_page_stays_cut() {
    let rows: Vec<_> = (0..100).map(|number| (false, format!("o{number}"))).collect();
    let whole = Bytes::from(json(&rows));
    let cut = whole.len() / 2;
    let (pieces, was_cut) = sent(vec![Ok(whole.slice(..cut)), Err(())]);
    assert!(was_cut);
    assert_eq!(pieces.iter().map(|piece| piece.as_ptr()).collect::<Vec<_>>(), [whole.as_ptr()]);
    assert!(pieces[0].len() > cut - 60, "only the beginning of a row is held");
}
