//! Passes everything for now.
use crate::config::Config;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::{LocalFuture, Response};
use std::rc::Rc;
/// The layer.
#[expect(dead_code, reason = "to come")]
pub struct Cors {
    config: Rc<Config>,
    next: Rc<dyn Application>,
}
impl Cors {
    /// Around next.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>) -> Self {
        Self { config, next }
    }
}
impl Application for Cors {
    fn call(&self, request: ClientRequest) -> LocalFuture<'static, Response> {
        self.next.call(request)
    }
}
