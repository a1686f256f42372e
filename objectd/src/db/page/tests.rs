//! Pages whole and in pieces, on a database of the simulator.

use super::*;
use crate::container::Intake;
use crate::db::object_row::ObjectUpdate;
use crate::db::policies::Policies;
use crate::db::render::Listing;
use crate::db::tests::{at, change, hash, put_object};
use crate::db::{TABLES, lifecycle};
use base::http::server::ResponseBody;
use base::io::kv::WriteTxn;
use base::io::sim::{Sim, SimOptions};
use base::limits::Constraints;
use base::names::Path;
use std::rc::Rc;
use std::time::Duration;

const ROWS: usize = 2_000;

async fn service() -> Service {
    let rows = Kv::open("/rows".as_ref(), TABLES).await.unwrap();
    let create = change(Kind::Container, 1);
    let updates: Vec<_> = (0..ROWS).map(|number| put_object(&format!("o{number:04}é"), 2, 7, 0)).collect();
    let write = rows.write(move |write| lifecycle::merge_objects(write, &create.hash, Some(&create), &updates));
    assert!(write.await.unwrap());
    Service {
        intake: Rc::new(Intake::new(rows.clone())),
        rows,
        device: "d1".to_owned(),
        path: Path { account: "a".into(), container: Some("c".into()), object: None },
        hash: hash("c"),
        kind: Kind::Container,
        constraints: Constraints::default(),
        policies: Policies::default(),
        reclaim_age: Duration::from_secs(1),
        node: None,
    }
}

async fn page(service: &Service, selection: &Selection, format: Format, in_pieces: bool) -> ResponseBody {
    let renderer = Renderer::new(Listing::Objects("c".to_owned()), format);
    let answer = list(service, selection.clone(), None, renderer, in_pieces).await;
    let (info, response) = answer.unwrap_or_else(|refused| panic!("{}", refused.head.status.0));
    assert!(info.is_some());
    assert_eq!(response.head.headers.get_str("Content-Type"), Some(format.content_type()));
    response.body
}

fn whole_of(body: ResponseBody) -> Bytes {
    match body {
        ResponseBody::Full(body) => body,
        ResponseBody::Empty | ResponseBody::Stream { .. } => panic!("it is whole"),
    }
}

#[test]
fn a_long_page_in_pieces_is_the_page_and_a_short_one_is_whole() {
    Sim::new(1, SimOptions::default()).run(async {
        let service = service().await;
        for (format, reverse) in
            [(Format::Json, false), (Format::Json, true), (Format::Plain, false), (Format::Xml, true)]
        {
            let selection = Selection { limit: ROWS + 1, reverse, ..Selection::default() };
            // Asked for twice: by the threads, and by the core.
            for _ in 0..2 {
                let expected = whole_of(page(&service, &selection, format, false).await);
                let ResponseBody::Stream { length: None, mut source } = page(&service, &selection, format, true).await
                else {
                    panic!("it has pieces");
                };
                let (mut pieces, mut largest) = (Vec::new(), 0);
                while let Some(piece) = source.next().await {
                    let piece = piece.unwrap();
                    assert!(!piece.is_empty());
                    largest = largest.max(piece.len());
                    pieces.push(piece);
                }
                assert!(
                    pieces.len() >= ROWS / SLICE && largest <= PIECE_BYTES + ROW_BYTES,
                    "{} {largest}",
                    pieces.len()
                );
                assert_eq!(pieces.concat(), expected, "{format:?} {reverse}");
            }
        }
        let short = Selection { limit: 100, marker: "o1000".to_owned(), ..Selection::default() };
        let body = whole_of(page(&service, &short, Format::Json, true).await);
        assert_eq!(body.windows(5).filter(|window| window == b"name\"").count(), 100);
    });
}

#[test]
fn rows_that_are_written_behind_a_piece_are_seen_and_those_before_it_are_not() {
    Sim::new(2, SimOptions::default()).run(async {
        let service = service().await;
        let selection = Selection { limit: ROWS + 1, ..Selection::default() };
        let ResponseBody::Stream { mut source, .. } = page(&service, &selection, Format::Json, true).await else {
            panic!("it has pieces");
        };
        let mut body = source.next().await.unwrap().unwrap().to_vec();
        let change = change(Kind::Container, 1);
        let updates = ["early", "o1999é and later"].map(|name| put_object(name, 3, 7, 0));
        let write = service.rows.write(move |write| lifecycle::merge_objects(write, &change.hash, None, &updates));
        assert!(write.await.unwrap());
        while let Some(piece) = source.next().await {
            body.extend_from_slice(&piece.unwrap());
        }
        let names: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
        let names: Vec<&str> = names.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert!(names.is_sorted() && names.len() == ROWS + 1 && !names.contains(&"early"));
        assert_eq!(names.last(), Some(&"o1999é and later"));
    });
}

#[test]
fn a_page_that_is_kept_is_good_until_a_row_changes() {
    Sim::new(3, SimOptions::default()).run(async {
        let service = service().await;
        let selection = Selection { limit: 3, ..Selection::default() };
        let mut seen = Vec::new();
        let changes =
            [put_object("o0001é", 3, 70, 0), ObjectUpdate::deletion("o0000é", 0, at(4)), put_object("a", 5, 1, 0)];
        for change in [None].into_iter().chain(changes.map(Some)) {
            if let Some(update) = change {
                let write = move |write: &mut WriteTxn<'_>| {
                    lifecycle::merge_objects(write, &hash("c"), None, std::slice::from_ref(&update))
                };
                assert!(service.rows.write(write).await.unwrap());
            }
            let mut pages = Vec::new();
            for _ in 0..4 {
                pages.push(whole_of(page(&service, &selection, Format::Json, true).await));
            }
            assert!(pages.iter().all(|page| *page == pages[0]));
            assert_eq!(pages[2].as_ptr(), pages[3].as_ptr(), "it was kept");
            seen.push(pages.swap_remove(0));
        }
        let sizes = |page: &Bytes| {
            let rows: Vec<serde_json::Value> = serde_json::from_slice(page).unwrap();
            rows.iter().map(|row| row["bytes"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(seen.iter().map(sizes).collect::<Vec<_>>(), [[7, 7, 7], [7, 70, 7], [70, 7, 7], [1, 70, 7]]);
    });
}
