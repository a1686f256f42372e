//! Core: answers as Swift's servers spell them. The only place where a status gets its body.

use base::http::Status;
use base::http::server::Response;

/// Content type of everything Swift writes itself.
pub const HTML: &str = "text/html; charset=UTF-8";

/// A success without a body.
pub fn empty(status: Status) -> Response {
    Response::empty(status).header("Content-Type", HTML)
}

/// The status with Swift's HTML body.
pub fn status(code: u16) -> Response {
    let status = Status(code);
    message(code, format!("<html><h1>{}</h1><p>{}</p></html>", status.reason(), explanation(code)))
}

/// The status with a body of our own, sent as HTML.
pub fn message(code: u16, body: impl Into<bytes::Bytes>) -> Response {
    Response::full(Status(code), HTML, body)
}

/// The status with a plain text body: what is wrong with the request.
pub fn text(code: u16, body: impl Into<bytes::Bytes>) -> Response {
    Response::full(Status(code), "text/plain", body)
}

/// 507: the device is not there, not mounted, full or broken.
pub fn insufficient_storage(device: &str) -> Response {
    let device: String = device.chars().map(escape).collect();
    message(
        507,
        format!(
            "<html><h1>Insufficient Storage</h1><p>There was not enough space to save the resource. Drive: {device}</p></html>"
        ),
    )
}

/// The answer to OPTIONS.
pub fn options(server: &str, methods: &'static str) -> Response {
    empty(Status(200)).header("Allow", methods).header("Server", format!("{server}/{}", base::SWIFT_VERSION))
}

/// Keeps a name from becoming markup.
fn escape(character: char) -> String {
    match character {
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        other => other.to_string(),
    }
}

fn explanation(code: u16) -> &'static str {
    match code {
        202 => "The request is accepted for processing.",
        301 => "The resource has moved permanently.",
        400 => "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        403 => "Access was denied to this resource.",
        404 => "The resource could not be found.",
        405 => "The method is not allowed for this resource.",
        406 => "The resource is not available in a format acceptable to your browser.",
        408 => "The server has waited too long for the request to be sent by the client.",
        409 => "There was a conflict when trying to complete your request.",
        411 => "Content-Length header required.",
        412 => "A precondition for this request was not met.",
        413 => "The body of your request was too large for this server.",
        414 => "The request URI was too long for this server.",
        416 => "The Range requested is not available.",
        422 => "Unable to process the contained instructions",
        499 => "The client was disconnected during request.",
        500 => "The server has either erred or is incapable of performing the requested operation.",
        501 => "The requested method is not implemented by this server.",
        503 => "The server is currently unavailable. Please try again at a later time.",
        507 => "There was not enough space to save the resource.",
        _ => "",
    }
}
