//! Passes everything for now.

use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::{LocalFuture, Response};
use std::rc::Rc;
/// The layer.
pub struct ListingFormats {
    next: Rc<dyn Application>,
}
impl ListingFormats {
    /// Around next.
    pub fn new(next: Rc<dyn Application>) -> Self {
        Self { next }
    }
}
impl Application for ListingFormats {
    fn call(&self, request: ClientRequest) -> LocalFuture<'static, Response> {
        self.next.call(request)
    }
}
