//! Sends operations to the object service of a node and reads its answers, as the proxy would but for the socket.

use super::map::{Answer, Operation, Shown, Verb};
use base::http::headers::Headers;
use base::http::server::{BodySource, LocalFuture, Request, RequestBody, Response, ResponseBody};
use base::http::{Method, RequestHead};
use base::timestamp::Timestamp;
use bytes::{Bytes, BytesMut};
use objectd::node::Node;
use std::net::SocketAddr;
use std::rc::Rc;

/// Sends one operation on object `name`. `None`: it failed, and nobody knows.
pub async fn send(node: &Rc<Node>, name: &str, operation: &Operation) -> Option<Answer> {
    let hash = node.config.hash_path.hash("a", Some("c"), Some(name));
    // The ring of the bed has 2^8 partitions.
    let path = format!("/d1/{}/a/c/{name}", hash.0[0]);
    let response = objectd::object::handle(node.clone(), request(path, operation)).await;
    read(response, matches!(operation.verb, Verb::Get { .. })).await
}

fn request(path: String, operation: &Operation) -> Request {
    let method = match operation.verb {
        Verb::Put { .. } => Method::Put,
        Verb::Post { .. } => Method::Post,
        Verb::Delete { .. } => Method::Delete,
        Verb::Get { .. } => Method::Get,
        Verb::Head => Method::Head,
    };
    let mut head = RequestHead::new(method, path);
    head.headers.set("X-Timestamp", operation.at.internal());
    let mut body = RequestBody::full(Bytes::new());
    match &operation.verb {
        Verb::Put { content, content_type, meta, sysmeta, delete_at, unless_there, of_unknown_length } => {
            head.headers.set("Content-Type", format!("type/{content_type}"));
            head.headers.set("Etag", content.etag.clone());
            describe(&mut head.headers, *meta, *delete_at);
            if let Some(sysmeta) = sysmeta {
                head.headers.set("X-Object-Sysmeta-Number", sysmeta.to_string());
            }
            if *unless_there {
                head.headers.set("If-None-Match", "*");
            }
            let bytes = content.bytes.clone();
            body = match of_unknown_length {
                true => RequestBody::streaming(None, Box::new(Pieces(bytes))),
                false => RequestBody::full(bytes),
            };
        }
        Verb::Post { meta, delete_at, content_type } => {
            describe(&mut head.headers, *meta, *delete_at);
            if let Some((value, stated)) = content_type {
                head.headers.set("Content-Type", format!("type/{value}"));
                if let Some(stated) = stated {
                    head.headers.set("Content-Type-Timestamp", stated.internal());
                }
            }
        }
        Verb::Delete { expected: Some(expected) } => {
            // As Swift's expirer sends it; the transcripts have whole numbers.
            head.headers.set("X-If-Delete-At", format!("{expected:010}.00000"));
        }
        Verb::Get { range: Some((first, last)) } => head.headers.set("Range", format!("bytes={first}-{last}")),
        _ => {}
    }
    Request { head, body, peer: SocketAddr::from(([10, 0, 0, 1], 1)) }
}

fn describe(headers: &mut Headers, meta: u64, delete_at: Option<u64>) {
    headers.set("X-Object-Meta-Number", meta.to_string());
    if let Some(second) = delete_at {
        headers.set("X-Delete-At", second.to_string());
    }
}

/// A body in odd pieces.
struct Pieces(Bytes);

impl BodySource for Pieces {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        let piece = self.0.split_to(self.0.len().min(10_007));
        Box::pin(async move { (!piece.is_empty()).then_some(Ok(piece)) })
    }
}

async fn read(response: Response, wants_body: bool) -> Option<Answer> {
    let status = response.head.status.0;
    let headers = &response.head.headers;
    let text = |name: &str| headers.get_str(name).map(str::to_owned);
    let number = |name: &str| text(name).map(|text| text.trim_start_matches("type/").parse::<u64>().unwrap());
    let backend = text("X-Backend-Timestamp").map(|text| Timestamp::parse(&text).unwrap());
    if status >= 500 {
        return None;
    }
    if !matches!(status, 200 | 206) {
        return Some(Answer { status, backend, shown: None });
    }
    let bytes = match response.body {
        ResponseBody::Empty => wants_body.then(Bytes::new),
        ResponseBody::Full(bytes) => Some(bytes),
        ResponseBody::Stream { length, mut source } => {
            let mut all = BytesMut::new();
            while let Some(piece) = source.next().await {
                all.extend_from_slice(&piece.ok()?);
            }
            // What is too short is seen to be so.
            (length == Some(all.len() as u64)).then_some(())?;
            Some(all.freeze())
        }
    };
    let shown = Shown {
        data: Timestamp::parse(&text("X-Backend-Data-Timestamp").unwrap()).unwrap(),
        etag: text("Etag").unwrap().trim_matches('"').to_owned(),
        content_type: number("Content-Type").unwrap(),
        meta: number("X-Object-Meta-Number").unwrap(),
        sysmeta: number("X-Object-Sysmeta-Number"),
        delete_at: number("X-Delete-At"),
        length: bytes.as_ref().map_or_else(|| number("Content-Length").unwrap(), |bytes| bytes.len() as u64),
        bytes,
    };
    Some(Answer { status, backend, shown: Some(shown) })
}
