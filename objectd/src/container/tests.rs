//! The container service against a recorded Swift.

use super::serve;
use crate::db::key::Kind;
use crate::db::replay::replay;
use base::http::server::RequestBody;

#[test]
fn answers_as_swifts_container_server_does() {
    let transcript = include_str!("../../tests/vectors/container-transcript.json");
    let played = replay(transcript, Kind::Container, |service, head, body| {
        Box::pin(async move { serve(&service, &head, &mut RequestBody::full(body)).await })
    });
    assert_eq!(played, 81);
}

/// A queue of the system's own is made by its first rows, and then holds them; another container is not.
const QUEUES: &str = r#"[
    {"test": "no container", "request": "UPDATE /d3/53/AUTH_v/none HTTP/1.1\r\nX-Timestamp: 1795344060.00000\r\n\r\n[]",
     "response": "HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<html><h1>Not Found</h1><p>The resource could not be found.</p></html>"},
    {"test": "queue", "request": "UPDATE /d3/53/.expiring_objects/1795305600 HTTP/1.1\r\nX-Timestamp: 1795344060.00000\r\nX-Backend-Storage-Policy-Index: 0\r\n\r\n[{\"name\": \"1795344060.00000-AUTH_v/c/o\", \"created_at\": \"1795344060.00000\", \"size\": 0, \"content_type\": \"application/async-deleted\", \"etag\": \"d41d8cd98f00b204e9800998ecf8427e\", \"deleted\": 0, \"storage_policy_index\": 0}]",
     "response": "HTTP/1.1 202 Accepted\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<html><h1>Accepted</h1><p>The request is accepted for processing.</p></html>"},
    {"test": "not empty", "request": "DELETE /d3/53/.expiring_objects/1795305600 HTTP/1.1\r\nX-Timestamp: 1795344061.00000\r\n\r\n",
     "response": "HTTP/1.1 409 Conflict\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<html><h1>Conflict</h1><p>There was a conflict when trying to complete your request.</p></html>"}
]"#;

#[test]
fn rows_make_the_queue_they_are_for_and_no_other_container() {
    let played = replay(QUEUES, Kind::Container, |service, head, body| {
        Box::pin(async move { serve(&service, &head, &mut RequestBody::full(body)).await })
    });
    assert_eq!(played, 3);
}
