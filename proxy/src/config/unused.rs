//! Core: options of Swift's servers that have no meaning here, whatever the section; a file that holds them is not wrong.

const STANDARD_ERROR: &str = "logs go to standard error";
const NO_STATSD: &str =
    "the access log tells StatsD of every request; there are no other StatsD metrics, and no labels";
const NO_EVENTLET: &str = "the kernel is asked for as much as is there";

/// Beginnings of names, each with the reason.
const BEGINNINGS: [(&str, &str); 21] = [
    ("log_statsd_", NO_STATSD),
    ("access_log_statsd_", NO_STATSD),
    ("statsd_", NO_STATSD),
    ("log_udp_", STANDARD_ERROR),
    ("log_custom_handlers", STANDARD_ERROR),
    ("log_max_line_length", "a line is as long as the request was allowed to be"),
    ("access_log_name", STANDARD_ERROR),
    ("access_log_facility", STANDARD_ERROR),
    ("access_log_level", "set RUST_LOG"),
    ("access_log_address", STANDARD_ERROR),
    ("access_log_route", STANDARD_ERROR),
    ("access_log_udp_", STANDARD_ERROR),
    ("keep_idle", "idle connections end by keepalive_timeout"),
    ("bind_timeout", "a port that is taken is an error"),
    ("key_file", "TLS is ended in front of the proxy"),
    ("nice_priority", "set it where the daemon is started"),
    ("ionice_", "set it where the daemon is started"),
    ("object_chunk_size", NO_EVENTLET),
    ("client_chunk_size", NO_EVENTLET),
    ("stale_worker_timeout", "there are no workers to be replaced"),
    ("write_legacy_ec_crc", "there is no erasure code yet"),
];

/// Why an option has no effect.
pub(super) fn reason(option: &str) -> Option<&'static str> {
    BEGINNINGS.iter().find(|(beginning, _)| option.starts_with(beginning)).map(|(_, reason)| *reason)
}
