//! HTTP/1.1, both sides. `server` and `client` are the drivers on `io::Stream`; the rest are cores: `reader` turns bytes into
//! events (`parser` heads, `framing` lengths, `body` data), `encode` turns heads into bytes, `transitions` says which step may
//! follow which. Framing is strict: what could be read in two ways is refused with 400 and the connection closed.

pub mod body;
pub mod client;
pub mod date;
pub mod encode;
pub mod framing;
pub mod head;
pub mod headers;
mod inlet;
pub mod mime;
pub mod multipart;
mod outlet;
pub mod parser;
pub mod reader;
pub mod server;
pub mod status;
pub mod transitions;

pub use head::{HeadParts, Method, RequestHead, ResponseHead};
pub use headers::{Headers, title_case};
pub use status::Status;
