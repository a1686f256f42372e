//! container-quotas: `X-Container-Meta-Quota-Bytes` and `-Count` bound what is uploaded to a container. A container may pass its
//! quota by what several uploads at once bring, as counts arrive late.

use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::io::Job;
use std::rc::Rc;

/// The layer.
pub struct ContainerQuotas {
    next: Rc<dyn Application>,
    innermost: Rc<dyn Application>,
}

impl ContainerQuotas {
    /// Around `next`; `innermost` tells the container's fields.
    pub fn new(next: Rc<dyn Application>, innermost: Rc<dyn Application>) -> Self {
        Self { next, innermost }
    }
}

impl Application for ContainerQuotas {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let is_object = request.path.object.is_some();
        if !is_object && matches!(request.method, Method::Put | Method::Post) {
            let wrong =
                [("Bytes", "Invalid bytes quota."), ("Count", "Invalid count quota.")].into_iter().find(|(kind, _)| {
                    let value = request.headers.get(&format!("X-Container-Meta-Quota-{kind}"));
                    value.is_some_and(|value| !value.iter().all(u8::is_ascii_digit))
                });
            if let Some((_, text)) = wrong {
                return Job::ready(respond::told(Status(400), text));
            }
        }
        if !is_object || request.method != Method::Put {
            return self.next.call(request);
        }
        let (next, innermost) = (Rc::clone(&self.next), Rc::clone(&self.innermost));
        Job::new(async move {
            let container = innermost.container_headers(&request).await;
            let length = request.body.length().unwrap_or(0);
            if exceeds(&container, "Bytes", "X-Container-Bytes-Used", length)
                || exceeds(&container, "Count", "X-Container-Object-Count", 1)
            {
                request.refusal = Some("Upload exceeds quota.");
            }
            next.call(request).await
        })
    }
}

fn exceeds(container: &Headers, kind: &str, used: &str, more: u64) -> bool {
    let quota: Option<u64> = number(container, &format!("X-Container-Meta-Quota-{kind}"));
    quota.is_some_and(|quota| number(container, used).unwrap_or(0).saturating_add(more) > quota)
}

/// A field that holds digits; anything else counts as absent.
pub(super) fn number(headers: &Headers, name: &str) -> Option<u64> {
    headers.get_str(name).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_counts_what_is_there_and_what_comes() {
        let mut container = Headers::new();
        container.set("X-Container-Bytes-Used", "60");
        assert!(!exceeds(&container, "Bytes", "X-Container-Bytes-Used", 1_000));
        container.set("X-Container-Meta-Quota-Bytes", "100");
        assert!(!exceeds(&container, "Bytes", "X-Container-Bytes-Used", 40));
        assert!(exceeds(&container, "Bytes", "X-Container-Bytes-Used", 41));
        container.set("X-Container-Meta-Quota-Bytes", "many");
        assert!(!exceeds(&container, "Bytes", "X-Container-Bytes-Used", 41));
    }
}
