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
