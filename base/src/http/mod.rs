//! HTTP/1.1, both sides. `head`, `framing`, `parser` are cores (bytes in, events out); `server` and `client` are the drivers on
//! `io::Stream`. Framing is strict: what could be read in two ways is refused with 400 and the connection closed.

pub mod client;
pub mod date;
pub mod head;
pub mod headers;
pub mod multipart;
pub mod server;
pub mod status;

pub use head::{Method, RequestHead, ResponseHead};
pub use headers::Headers;
pub use status::Status;
