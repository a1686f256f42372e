//! Core: refusals of the pipeline itself, with the bodies Swift's clients know.

use base::http::Status;
use base::http::server::Response;

/// Swift's content type of everything that is not said otherwise.
pub const HTML: &str = "text/html; charset=UTF-8";

/// A status with Swift's standard HTML body.
pub fn standard(status: Status) -> Response {
    let body = format!("<html><h1>{}</h1><p>{}</p></html>", status.reason(), sentence(status));
    Response::full(status, HTML, body)
}

/// A status with a body that says what is wrong.
pub fn because(status: Status, reason: impl Into<String>) -> Response {
    Response::full(status, HTML, reason.into())
}

/// What Swift says below the status.
fn sentence(status: Status) -> &'static str {
    match status.0 {
        400 => "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        401 => "This server could not verify that you are authorized to access the document you requested.",
        403 => "Access was denied to this resource.",
        404 => "The resource could not be found.",
        405 => "The method is not allowed for this resource.",
        406 => "The resource is not available in a format acceptable to your browser.",
        408 => "The server has waited too long for the request to be sent by the client.",
        409 => "There was a conflict when trying to complete your request.",
        411 => "Content-Length header required.",
        412 => "A precondition for this request was not met.",
        413 => "The body of your request was too large for this server.",
        416 => "The Range requested is not available.",
        422 => "Unable to process the contained instructions",
        500 => "The server has either erred or is incapable of performing the requested operation.",
        503 => "The server is currently unavailable. Please try again at a later time.",
        507 => "There was not enough space to save the resource.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::server::ResponseBody;

    #[test]
    fn the_body_is_the_one_clients_know() {
        let response = standard(Status(404));
        let ResponseBody::Full(body) = response.body else { panic!("a body in memory") };
        assert_eq!(body.as_ref(), b"<html><h1>Not Found</h1><p>The resource could not be found.</p></html>");
    }
}
