//! Fuzz target: `checks::dns_reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::dns_reply(bytes);
});
