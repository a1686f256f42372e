//! Fuzz target: `checks::memcache_reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::memcache_reply(bytes);
});
