//! Fuzz target: `checks::record_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::record_head(bytes);
});
