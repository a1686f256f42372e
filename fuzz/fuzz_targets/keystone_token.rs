//! Fuzz target: `checks::keystone_token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::keystone_token(bytes);
});
