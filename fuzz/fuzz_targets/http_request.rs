//! Fuzz target: `checks::http_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::http_request(bytes);
});
