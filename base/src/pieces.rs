//! Core: what our proxy and our row services agree on for a page of a listing that is too long to be made whole.
//!
//! A proxy that asks so is answered without a length and in chunks: each begins and ends between two rows, and is on its way before the next is made.
//! Swift's own proxy does not ask: it turns a page into text or XML only when it knows its length.

use crate::http::Headers;

const FIELD: &str = "X-Backend-Listing-In-Pieces";

/// Asks for it.
pub fn ask(headers: &mut Headers) {
    headers.set(FIELD, "true");
}

/// Whether it is asked for.
pub fn are_asked(headers: &Headers) -> bool {
    headers.get(FIELD).is_some_and(|value| value.as_ref() == b"true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_ask_gets_a_page_whole() {
        let mut headers = Headers::new();
        assert!(!are_asked(&headers));
        ask(&mut headers);
        assert!(are_asked(&headers));
    }
}
