//! The account service against a recorded Swift.

use super::serve;
use crate::db::key::Kind;
use crate::db::replay::replay;

#[test]
fn answers_as_swifts_account_server_does() {
    let transcript = include_str!("../../tests/vectors/account-transcript.json");
    let played =
        replay(transcript, Kind::Account, |service, head, _| Box::pin(async move { serve(&service, &head).await }));
    assert_eq!(played, 49);
}
